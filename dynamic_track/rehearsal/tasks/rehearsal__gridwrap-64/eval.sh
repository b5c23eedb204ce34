#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 7d41ddbe3039b61a07a55a90bbad8183fd2f322d
git checkout 7d41ddbe3039b61a07a55a90bbad8183fd2f322d tests/test_align.py tests/test_table.py tests/test_width.py tests/test_wrap.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_align.py b/tests/test_align.py
--- a/tests/test_align.py
+++ b/tests/test_align.py
@@ -10,6 +10,28 @@ def test_a_text_is_filled_up(align, expected):
     assert pad("ab", 5, align) == expected
 
 
+@pytest.mark.parametrize(
+    ("align", "expected"),
+    [("left", "名前   "), ("right", "   名前"), ("center", " 名前  ")],
+    ids=["left", "right", "center"],
+)
+def test_a_wide_text_is_filled_up_by_its_columns(align, expected):
+    assert pad("名前", 7, align) == expected
+
+
+@pytest.mark.parametrize(
+    ("align", "expected"),
+    [("left", "e\u0301a  "), ("right", "  e\u0301a"), ("center", " e\u0301a ")],
+    ids=["left", "right", "center"],
+)
+def test_a_combining_mark_is_filled_up_for(align, expected):
+    assert pad("e\u0301a", 4, align) == expected
+
+
+def test_a_wide_text_that_fits_exactly_stays_as_it_is():
+    assert [pad("名前", 4, align) for align in ("left", "right", "center")] == ["名前"] * 3
+
+
 def test_a_longer_text_stays_as_it_is():
     assert [pad("abc", 2, align) for align in ("left", "right", "center")] == ["abc"] * 3
 
diff --git a/tests/test_table.py b/tests/test_table.py
--- a/tests/test_table.py
+++ b/tests/test_table.py
@@ -29,6 +29,21 @@ def test_a_long_cell_is_wrapped():
     ]
 
 
+@pytest.mark.parametrize("align", ["left", "right", "center"])
+@pytest.mark.parametrize("max_width", [None, 4, 5, 8], ids=["free", "four", "five", "eight"])
+def test_all_lines_take_the_same_columns(align, max_width):
+    rows = (("山田太郎", 31), ("Ann", 5), ("Rene\u0301", 1), ("東京都新宿区 a山b田", 12))
+    assert len({text_width(line) for line in table(*rows, align=align, max_width=max_width)}) == 1
+
+
+def test_a_wide_cell_is_aligned_with_the_others():
+    assert table(("山田", 5), ("Ann", 31)) == ["name |  n", "-----+---", "山田 |  5", "Ann  | 31"]
+
+
+def test_a_wide_cell_is_wrapped_within_its_column():
+    assert table(("東京都", 5), max_width=4) == ["name | n", "-----+--", "東京 | 5", "都   |  "]
+
+
 def test_a_cell_may_hold_line_ends():
     assert table(("a\nb", 5)) == ["name | n", "-----+--", "a    | 5", "b    |  "]
 
diff --git a/tests/test_wrap.py b/tests/test_wrap.py
--- a/tests/test_wrap.py
+++ b/tests/test_wrap.py
@@ -16,6 +16,27 @@ def test_wide_words_count_by_their_columns():
     assert wrap("名前 住所 電話", 9) == ["名前 住所", "電話"]
 
 
+@pytest.mark.parametrize(
+    ("word", "width", "lines"),
+    [
+        ("東京都新宿区", 4, ["東京", "都新", "宿区"]),
+        ("東京都新宿区", 5, ["東京", "都新", "宿区"]),
+        ("東京都", 4, ["東京", "都"]),
+        ("a東京都b", 3, ["a東", "京", "都b"]),
+        ("ab東cd京", 4, ["ab東", "cd京"]),
+        ("東京abcdef", 6, ["東京ab", "cdef"]),
+    ],
+    ids=["even", "odd", "short", "mixed", "runs", "tail"],
+)
+def test_a_long_word_of_wide_characters_is_broken_by_its_columns(word, width, lines):
+    assert wrap(word, width) == lines
+
+
+def test_a_word_with_combining_marks_is_broken_between_its_characters():
+    assert wrap("e\u0301" * 5, 2) == ["e\u0301e\u0301", "e\u0301e\u0301", "e\u0301"]
+    assert wrap("e\u0301" * 3, 3) == ["e\u0301" * 3]
+
+
 def test_line_ends_stay():
     assert wrap("one\n\ntwo three", 5) == ["one", "", "two", "three"]
 

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_align.py tests/test_table.py tests/test_width.py tests/test_wrap.py
: '>>>>> End Test Output'
git checkout 7d41ddbe3039b61a07a55a90bbad8183fd2f322d tests/test_align.py tests/test_table.py tests/test_width.py tests/test_wrap.py
