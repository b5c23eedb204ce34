#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff ca3a580e20e2b86d74b69058966e86497d9388f1
git checkout ca3a580e20e2b86d74b69058966e86497d9388f1 tests/test_parser.py tests/test_simplify.py tests/test_store.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_store.py b/tests/test_store.py
--- a/tests/test_store.py
+++ b/tests/test_store.py
@@ -49,6 +49,48 @@ def test_a_missing_field_compares_with_nothing(people):
     assert names(people.find("age < 1000 or age >= 1000")) == "ann bob eli"
 
 
+@pytest.mark.parametrize(
+    ("text", "expected"),
+    [
+        ("not age < 18", "ann cem dia eli"),
+        ("not age >= 18", "bob cem dia"),
+        ("not age <= 31", "cem dia eli"),
+        ("not (age > 31 or team = 'blue')", "ann cem dia"),
+        ("not (age < 18 and lead = false)", "ann cem dia eli"),
+        ("not not age < 18", "bob"),
+        ("team = 'red' and not age > 18", "cem"),
+    ],
+    ids=range(7),
+)
+def test_a_negated_range_holds_where_the_range_does_not(people, text, expected):
+    assert names(people.find(text)) == expected
+
+
+@pytest.mark.parametrize(
+    ("text", "expected"),
+    [
+        ("age != 17", "ann cem dia eli"),
+        ("team != 'red'", "bob dia eli"),
+        ("lead != true", "bob cem dia"),
+        ("lead != 1", "ann bob cem dia eli"),
+        ("not age = 17", "ann cem dia eli"),
+        ("team != 'red' and age != 17", "dia eli"),
+        ("team != 'red' or age > 18", "ann bob dia eli"),
+    ],
+    ids=range(7),
+)
+def test_unequal_holds_where_equal_does_not(people, text, expected):
+    assert names(people.find(text)) == expected
+
+
+@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
+def test_every_record_is_on_one_side_of_a_comparison(people, operator):
+    for value in ("17", "'unknown'", "true"):
+        inside = people.find(f"age {operator} {value}")
+        outside = people.find(f"not age {operator} {value}")
+        assert sorted(names([*inside, *outside]).split()) == ["ann", "bob", "cem", "dia", "eli"]
+
+
 def test_indexes_narrow_down_what_is_looked_at():
     store = Store(PEOPLE)
     assert store.explain("age > 18 and name = 'ann'") == "age > 18 and name = 'ann' [5]"

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_parser.py tests/test_simplify.py tests/test_store.py
: '>>>>> End Test Output'
git checkout ca3a580e20e2b86d74b69058966e86497d9388f1 tests/test_parser.py tests/test_simplify.py tests/test_store.py
