#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff d3868782a629f7933dbd7416aae8958c59a5740d
git checkout d3868782a629f7933dbd7416aae8958c59a5740d tests/test_modified.py tests/test_undo.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_modified.py b/tests/test_modified.py
--- a/tests/test_modified.py
+++ b/tests/test_modified.py
@@ -1,3 +1,5 @@
+from itertools import product
+
 import pytest
 
 from inkbuffer import Buffer, HistoryError
@@ -47,3 +49,108 @@ def test_a_group_modifies_from_its_first_change_on():
         with pytest.raises(HistoryError, match="group"):
             buffer.save()
     assert buffer.modified
+
+
+def test_another_change_in_place_of_what_was_saved():
+    buffer = Buffer("one")
+    changed(buffer, "two")
+    buffer.save()
+    buffer.undo()
+    changed(buffer, "six")
+    assert buffer.modified
+    buffer.undo()
+    assert buffer.modified
+
+
+def test_what_was_saved_and_then_overwritten_never_comes_back():
+    buffer = Buffer("one")
+    for word in ("two", "three", "four"):
+        changed(buffer, word)
+    buffer.save()
+    for _ in range(3):
+        buffer.undo()
+    for word in ("five", "six", "seven", "eight"):
+        changed(buffer, word)
+        assert buffer.modified
+    while buffer.can_undo:
+        buffer.undo()
+        assert buffer.modified
+
+
+def test_a_group_in_place_of_what_was_saved():
+    buffer = Buffer("one")
+    changed(buffer, "two")
+    buffer.save()
+    buffer.undo()
+    buffer.replace_all("one", "six")
+    assert buffer.modified
+
+
+def test_typing_on_after_a_save_modifies():
+    buffer = Buffer()
+    buffer.insert(0, "a")
+    buffer.save()
+    buffer.insert(1, "b")
+    assert buffer.modified
+
+
+def test_typing_on_after_undo_and_redo_of_a_save_modifies():
+    buffer = Buffer()
+    buffer.insert(0, "a")
+    buffer.save()
+    buffer.undo()
+    buffer.redo()
+    assert not buffer.modified
+    buffer.insert(1, "b")
+    assert buffer.modified
+
+
+def test_forgotten_steps_leave_what_was_saved_where_it_is():
+    buffer = Buffer("one", limit=2)
+    changed(buffer, "two")
+    buffer.save()
+    changed(buffer, "three")
+    changed(buffer, "four")
+    assert buffer.modified
+    buffer.undo()
+    assert buffer.modified
+    buffer.undo()
+    assert buffer.text == "one\ntwo"
+    assert not buffer.modified
+
+
+def test_a_full_history_is_modified_by_the_next_change():
+    buffer = Buffer("one", limit=2)
+    changed(buffer, "two")
+    changed(buffer, "three")
+    buffer.save()
+    changed(buffer, "four")
+    assert buffer.modified
+    buffer.undo()
+    assert not buffer.modified
+
+
+def test_a_saved_state_that_was_forgotten_is_out_of_reach():
+    buffer = Buffer("one", limit=2)
+    for word in ("two", "three", "four"):
+        changed(buffer, word)
+        assert buffer.modified
+    while buffer.can_undo:
+        buffer.undo()
+        assert buffer.modified
+
+
+def test_a_text_that_is_not_modified_is_what_was_saved():
+    for actions in product("tkus", repeat=7):
+        buffer = Buffer("-", limit=3)
+        saved = "-"
+        for number, action in enumerate(actions):
+            if action == "t":
+                buffer.insert(len(buffer.text), str(number))
+            elif action == "k":
+                buffer.insert(0, str(number))
+            elif action == "u" and buffer.can_undo:
+                buffer.undo()
+            elif action == "s":
+                saved = buffer.save()
+            assert buffer.modified is (buffer.text != saved), actions
diff --git a/tests/test_undo.py b/tests/test_undo.py
--- a/tests/test_undo.py
+++ b/tests/test_undo.py
@@ -66,6 +66,17 @@ def test_typing_after_an_undo_is_another_step():
     assert buffer.text == "a"
 
 
+def test_typing_after_a_save_is_another_step():
+    buffer = Buffer()
+    buffer.insert(0, "a")
+    buffer.save()
+    buffer.insert(1, "b")
+    buffer.insert(2, "c")
+    buffer.undo()
+    assert buffer.text == "a"
+    assert not buffer.modified
+
+
 def test_a_group_is_one_step():
     buffer = Buffer("one two one")
     assert buffer.replace_all("one", "three") == 2

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_modified.py tests/test_undo.py
: '>>>>> End Test Output'
git checkout d3868782a629f7933dbd7416aae8958c59a5740d tests/test_modified.py tests/test_undo.py
