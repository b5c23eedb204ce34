#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 4273ae8324431926c55c3a7ca5e814047e43746e
git checkout 4273ae8324431926c55c3a7ca5e814047e43746e tests/test_join.py tests/test_kinds.py tests/test_reading.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_join.py b/tests/test_join.py
--- a/tests/test_join.py
+++ b/tests/test_join.py
@@ -27,6 +27,21 @@ def test_keys_of_different_kinds_are_compared_by_their_text():
     assert list(join(left, right, on="key").rows) == [(7, "x", "v")]
 
 
+def test_codes_find_their_partners():
+    shops = read_csv("zip,shop\n00501,A\n10001,B\n")
+    cities = read_csv("zip,city\n501,Elsewhere\n00501,Holtsville\n10001,New York\n")
+    assert [tuple(row.values()) for row in join(shops, cities, on="zip")] == [
+        ("00501", "A", "Holtsville"),
+        ("10001", "B", "New York"),
+    ]
+
+
+def test_codes_find_their_partners_in_a_table_of_numbers():
+    shops = read_csv("zip,shop\n00501,A\n10001,B\n501,C\n")
+    cities = read_csv("zip,city\n501,Elsewhere\n10001,New York\n")
+    assert join(shops, cities, on="zip").select("shop", "city").rows == [("B", "New York"), ("C", "Elsewhere")]
+
+
 def test_columns_that_both_have_are_told_apart():
     joined = join(read_csv("k,n\n1,a\n"), read_csv("k,n\n1,b\n"), on="k")
     assert write_csv(joined) == "k,n,n_2\n1,a,b\n"
diff --git a/tests/test_kinds.py b/tests/test_kinds.py
--- a/tests/test_kinds.py
+++ b/tests/test_kinds.py
@@ -24,5 +24,24 @@ def test_a_column_has_the_first_kind_that_fits_all_cells(cells, kind):
     assert kind_of(cells).value == kind
 
 
+@pytest.mark.parametrize(
+    ("cells", "kind"),
+    [
+        (["00501", "10001"], "text"),
+        (["10001", "00501"], "text"),
+        (["007.5"], "text"),
+        (["1.5", "01.5"], "text"),
+        (["1.5", "01"], "text"),
+        (["-01"], "text"),
+        (["00"], "text"),
+        (["0", "10", "100"], "whole"),
+        (["0.5", "-0.5", "10.05"], "decimal"),
+    ],
+    ids=range(9),
+)
+def test_needless_zeros_make_a_code(cells, kind):
+    assert kind_of(cells).value == kind
+
+
 def test_kinds_are_found_from_any_iterable():
     assert kind_of(iter("123")).value == "whole"
diff --git a/tests/test_reading.py b/tests/test_reading.py
--- a/tests/test_reading.py
+++ b/tests/test_reading.py
@@ -15,6 +15,21 @@ def test_a_kind_may_be_given():
     assert read_csv("code\n12\n13\n", {"code": Kind.TEXT}).values("code") == ["12", "13"]
 
 
+def test_a_column_of_codes_is_text_from_top_to_bottom():
+    assert read_csv("zip,city\n10001,New York\n00501,Holtsville\n").values("zip") == ["10001", "00501"]
+    assert read_csv("part\n01.20\n1.3\n").values("part") == ["01.20", "1.3"]
+
+
+def test_a_code_is_no_number_where_one_is_asked_for():
+    with pytest.raises(TableError, match="line 3: '007' is not of kind whole"):
+        read_csv("n\n6\n007\n", {"n": Kind.WHOLE})
+
+
+def test_codes_are_written_as_they_were():
+    text = "zip,part\n00501,007.50\n10001,1.5\n"
+    assert write_csv(read_csv(text)) == text
+
+
 @pytest.mark.parametrize(
     ("text", "message"),
     [

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_join.py tests/test_kinds.py tests/test_reading.py
: '>>>>> End Test Output'
git checkout 4273ae8324431926c55c3a7ca5e814047e43746e tests/test_join.py tests/test_kinds.py tests/test_reading.py
