#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 8a1dc1aa49089b5a59d5630a1be5769aef0a8396
git checkout 8a1dc1aa49089b5a59d5630a1be5769aef0a8396 tests/test_pieces.py tests/test_region.py tests/test_skyline.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_pieces.py b/tests/test_pieces.py
--- a/tests/test_pieces.py
+++ b/tests/test_pieces.py
@@ -1,3 +1,5 @@
+import pytest
+
 from boxsweep import Box, Region
 
 
@@ -20,3 +22,27 @@ def test_a_box_may_join_two_pieces():
 
 def test_boxes_on_top_of_each_other_are_one_piece():
     assert pieces((0, 0, 2, 1), (1, 1, 3, 2)) == [2]
+
+
+def test_boxes_side_by_side_are_one_piece():
+    assert pieces((0, 0, 1, 2), (1, 1, 2, 3)) == [2]
+    assert pieces((0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 3, 1)) == [3]
+
+
+@pytest.mark.parametrize("second", [(2, 2, 3, 3), (2, 0, 3, 1), (0, 2, 1, 3), (0, 0, 1, 1)])
+def test_a_common_corner_is_not_enough(second):
+    assert pieces((1, 1, 2, 2), second) == [1, 1]
+
+
+def test_a_box_in_a_corner_of_two_joins_them():
+    assert pieces((0, 0, 1, 1), (1, 1, 2, 2), (1, 0, 2, 1)) == [3]
+    assert pieces((0, 0, 1, 1), (1, 1, 2, 2), (0, 1, 1, 2)) == [3]
+
+
+def test_a_box_at_the_end_of_two_that_are_apart_joins_them():
+    assert pieces((0, 0, 1, 1), (0, 4, 1, 5), (1, 0, 2, 5)) == [3]
+    assert pieces((1, 0, 2, 1), (1, 4, 2, 5), (0, 0, 1, 5)) == [3]
+
+
+def test_a_chessboard_falls_into_its_squares():
+    assert pieces(*((x, y, x + 1, y + 1) for x in range(4) for y in range(4) if (x + y) % 2)) == [1] * 8
diff --git a/tests/test_region.py b/tests/test_region.py
--- a/tests/test_region.py
+++ b/tests/test_region.py
@@ -43,10 +43,49 @@ def test_touching_boxes_do_not_cover_each_other():
     assert region((0, 0, 1, 1), (1, 0, 2, 1)).area == 2
 
 
+def test_depth_counts_what_covers_one_square():
+    assert region((0, 0, 2, 2), (2, 0, 4, 2), (1, 1, 3, 3)).depth == 2
+    assert region((0, 0, 2, 2), (2, 2, 4, 4), (0, 2, 2, 4), (2, 0, 4, 2)).depth == 1
+
+
+def test_touching_boxes_have_one_border():
+    assert region((0, 0, 1, 1), (1, 0, 2, 1)).perimeter == 6
+    assert region((0, 0, 1, 1), (0, 1, 1, 2)).perimeter == 6
+    assert region((0, 0, 1, 1), (1, 0, 2, 1), (0, 1, 1, 2), (1, 1, 2, 2)).perimeter == 8
+
+
+def test_boxes_that_touch_in_part_have_the_rest_as_border():
+    assert region((0, 0, 2, 4), (2, 1, 5, 2)).perimeter == 18
+    assert region((0, 0, 2, 2), (2, 1, 4, 3)).perimeter == 14
+
+
+def test_a_border_around_a_hole():
+    ring = region((0, 0, 3, 1), (0, 1, 1, 2), (2, 1, 3, 2), (0, 2, 3, 3))
+    assert (ring.area, ring.perimeter) == (8, 16)
+
+
 def test_a_border_at_a_corner():
     assert region((0, 0, 1, 1), (1, 1, 2, 2)).perimeter == 8
 
 
+def test_cutting_a_box_apart_changes_nothing():
+    for across in (False, True):
+        for cut in range(1, 7):
+            parts = [Box(0, 0, cut, 3), Box(cut, 0, 7, 3)]
+            parts = [box.turned for box in parts] if across else parts
+            whole = Region(parts)
+            assert (whole.area, whole.perimeter, whole.depth, len(whole.pieces)) == (21, 20, 1, 1)
+
+
+def test_a_region_is_its_squares():
+    for pattern in range(1, 512):
+        cells = {(number // 3, number % 3) for number in range(9) if pattern >> number & 1}
+        squares = region(*((x, y, x + 1, y + 1) for x, y in cells))
+        sides = sum((x + dx, y + dy) not in cells for x, y in cells for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))
+        assert (squares.area, squares.perimeter, squares.depth) == (len(cells), sides, 1)
+        assert sum(piece.perimeter for piece in squares.pieces) == sides
+
+
 def test_clipped_moved_and_united():
     cross = region((0, 0, 4, 3), (2, 1, 6, 2))
     assert list(cross.clipped(Box(3, 0, 9, 9))) == [Box(3, 0, 4, 3), Box(3, 1, 6, 2)]

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_pieces.py tests/test_region.py tests/test_skyline.py
: '>>>>> End Test Output'
git checkout 8a1dc1aa49089b5a59d5630a1be5769aef0a8396 tests/test_pieces.py tests/test_region.py tests/test_skyline.py
