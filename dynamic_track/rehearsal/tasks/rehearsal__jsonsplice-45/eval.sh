#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 0c960d170811f38310ccb8f82e2d028c084f47c9
git checkout 0c960d170811f38310ccb8f82e2d028c084f47c9 tests/test_difference.py tests/test_patch.py tests/test_pointer.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_difference.py b/tests/test_difference.py
--- a/tests/test_difference.py
+++ b/tests/test_difference.py
@@ -26,3 +26,19 @@ def test_a_difference_is_small():
     assert diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}).to_json() == [
         {"op": "replace", "path": "/a/c", "value": 3}
     ]
+
+
+def test_a_difference_is_independent_of_the_documents():
+    old, new = {"kept": []}, {"kept": [{"x": 1}], "added": {"list": [1]}}
+    made = diff(old, new)
+    expected = made.to_json()
+    new["added"]["list"].append("changed")
+    new["kept"][0]["x"] = "changed"
+    assert made.to_json() == expected
+    assert made.apply(old) == {"kept": [{"x": 1}], "added": {"list": [1]}}
+
+
+def test_what_a_difference_makes_is_independent_of_new():
+    new = {"added": {"list": [1]}}
+    diff({}, new).apply({})["added"]["list"].append("changed")
+    assert new == {"added": {"list": [1]}}
diff --git a/tests/test_patch.py b/tests/test_patch.py
--- a/tests/test_patch.py
+++ b/tests/test_patch.py
@@ -34,6 +34,47 @@ def test_copy_leaves_the_source():
     assert patch(("copy", "/b", "/a/0")).apply({"a": [1]}) == {"a": [1], "b": 1}
 
 
+def test_a_copy_is_independent_of_its_source():
+    document = {"home": {"city": "Bonn"}}
+    done = patch(("copy", "/work", "/home"), ("replace", "/work/city", "Ulm")).apply(document)
+    assert done == {"home": {"city": "Bonn"}, "work": {"city": "Ulm"}}
+
+
+def test_a_copy_is_independent_all_the_way_down():
+    document = {"a": {"list": [{"x": 1}]}}
+    done = patch(("copy", "/b", "/a"), ("add", "/b/list/0/y", 2), ("add", "/a/list/-", 3)).apply(document)
+    assert done == {"a": {"list": [{"x": 1}, 3]}, "b": {"list": [{"x": 1, "y": 2}]}}
+
+
+def test_a_copy_into_itself_ends():
+    assert patch(("copy", "/a/a", "/a")).apply({"a": {"x": 1}}) == {"a": {"x": 1, "a": {"x": 1}}}
+
+
+def test_documents_of_one_patch_are_independent():
+    tagging = patch(("add", "/tags", []), ("add", "/tags/-", "new"))
+    assert tagging.apply({}) == {"tags": ["new"]}
+    assert tagging.apply({}) == {"tags": ["new"]}
+
+
+def test_a_replaced_value_is_independent_of_the_patch():
+    setting = patch(("replace", "/a", {"deep": {"list": []}}))
+    setting.apply({"a": 1})["a"]["deep"]["list"].append("changed")
+    assert setting.apply({"a": 1}) == {"a": {"deep": {"list": []}}}
+
+
+def test_a_replaced_root_is_independent_of_the_patch():
+    setting = patch(("replace", "", {"list": []}))
+    setting.apply(1)["list"].append("changed")
+    assert setting.apply(1) == {"list": []}
+
+
+def test_a_patch_is_independent_of_what_it_was_read_from():
+    content = [{"op": "add", "path": "/a", "value": {"list": [1]}}]
+    made = Patch.from_json(content)
+    content[0]["value"]["list"].append("changed")
+    assert made.to_json() == [{"op": "add", "path": "/a", "value": {"list": [1]}}]
+
+
 def test_what_a_patch_writes_is_independent_of_it():
     made = patch(("add", "/a", {"list": [1]}))
     made.to_json()[0]["value"]["list"].append("changed")
@@ -72,3 +113,10 @@ def test_the_inverse_takes_back(operations):
     document = {"a": [1, {"x": 2}], "b": {"y": 3}}
     made = patch(*operations)
     assert made.inverse(document).apply(made.apply(document)) == document
+
+
+def test_the_inverse_remembers_what_a_copy_was_made_of():
+    document = {"a": {"x": 1}}
+    made = patch(("copy", "/b", "/a"), ("remove", "/a"), ("replace", "/b/x", 2))
+    assert made.apply(document) == {"b": {"x": 2}}
+    assert made.inverse(document).apply(made.apply(document)) == document

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_difference.py tests/test_patch.py tests/test_pointer.py
: '>>>>> End Test Output'
git checkout 0c960d170811f38310ccb8f82e2d028c084f47c9 tests/test_difference.py tests/test_patch.py tests/test_pointer.py
