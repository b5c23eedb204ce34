#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff c2fc6df216b0046a51db4d2e665f5ec0aaabb603
git checkout c2fc6df216b0046a51db4d2e665f5ec0aaabb603 tests/test_ranges.py tests/test_resolve.py tests/test_version.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_ranges.py b/tests/test_ranges.py
--- a/tests/test_ranges.py
+++ b/tests/test_ranges.py
@@ -33,6 +33,26 @@ def test_a_range_has_an_inside_and_an_outside(text, inside, outside):
     assert allowed(text, inside, outside) == [inside]
 
 
+@pytest.mark.parametrize(
+    ("text", "inside", "outside"),
+    [
+        ("^0.0.3", "0.0.3", "0.0.4"),
+        ("^0.0.3-beta", "0.0.3-rc", "0.0.4"),
+        ("^0.0.0", "0.0.0", "0.0.1"),
+        ("^0.0", "0.0.9", "0.1.0"),
+        ("^0.0.x", "0.0.9", "0.1.0"),
+        ("^0", "0.9.0", "1.0.0"),
+        ("^0.x", "0.1.0", "1.0.0"),
+        ("^0.2.0", "0.2.1", "0.3.0"),
+        ("^1.0.0", "1.1.0", "2.0.0"),
+        ("^1.0", "1.0.1", "2.0.0"),
+    ],
+    ids=range(10),
+)
+def test_a_caret_keeps_the_leftmost_part_that_is_not_zero(text, inside, outside):
+    assert allowed(text, inside, outside) == [inside]
+
+
 def test_alternatives_are_enough_one_by_one():
     assert allowed("^1.4 || 2.0.x", "1.3.0", "1.4.0", "2.0.7", "2.1.0") == ["1.4.0", "2.0.7"]
 
diff --git a/tests/test_resolve.py b/tests/test_resolve.py
--- a/tests/test_resolve.py
+++ b/tests/test_resolve.py
@@ -13,6 +13,12 @@ def test_best_of_nothing_is_none():
     assert best([], "*") is None
 
 
+def test_best_stays_within_the_caret_of_a_first_version():
+    assert best(AVAILABLE, "^0.0.3") == Version(0, 0, 3)
+    assert best(AVAILABLE, "^0.0") == Version(0, 0, 9)
+    assert best(AVAILABLE, "^0") == Version(0, 4, 2)
+
+
 def test_outdated_names_what_should_be_installed():
     installed = {"alpha": "1.3.0", "beta": "1.0.0", "gamma": "2.0.0"}
     wanted = {"alpha": "~1.3", "beta": "^1.0.0"}

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_ranges.py tests/test_resolve.py tests/test_version.py
: '>>>>> End Test Output'
git checkout c2fc6df216b0046a51db4d2e665f5ec0aaabb603 tests/test_ranges.py tests/test_resolve.py tests/test_version.py
