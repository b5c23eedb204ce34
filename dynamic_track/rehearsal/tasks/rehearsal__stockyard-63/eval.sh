#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 4f7d4b9b17b03f764802cda4eef217f1831a32f1
git checkout 4f7d4b9b17b03f764802cda4eef217f1831a32f1 tests/test_shop.py tests/test_stock.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_shop.py b/tests/test_shop.py
--- a/tests/test_shop.py
+++ b/tests/test_shop.py
@@ -41,6 +41,44 @@ def test_an_order_without_its_goods_waits():
     assert left(made, "bolt") == [3]
 
 
+def test_a_waiting_order_has_nothing_reserved():
+    made = shop(bolt=10, screw=5)
+    assert submitted(made, ("bolt", 4), ("screw", 5), ("nut", 1)).state is State.WAITING
+    assert left(made, "bolt", "screw") == [10, 5]
+
+
+def test_lines_that_want_too_much_together_wait_with_nothing_reserved():
+    made = shop(bolt=10, nut=1)
+    order = submitted(made, ("nut", 1), ("bolt", 6), ("bolt", 6))
+    assert order.state is State.WAITING
+    assert left(made, "bolt", "nut") == [10, 1]
+    assert made.receive("bolt", 2) == [order]
+    assert left(made, "bolt", "nut") == [0, 0]
+
+
+def test_a_waiting_order_is_in_nobody_s_way():
+    made = shop(bolt=10)
+    submitted(made, ("bolt", 10), ("nut", 1))
+    assert submitted(made, ("bolt", 10)).state is State.PLACED
+
+
+def test_trying_again_and_again_reserves_nothing():
+    made = shop(bolt=10)
+    order = submitted(made, ("bolt", 4), ("nut", 5))
+    for _ in range(4):
+        assert made.receive("nut", 1) == []
+        assert left(made, "bolt") == [10]
+    assert made.receive("nut", 1) == [order]
+    assert left(made, "bolt", "nut") == [6, 0]
+
+
+def test_a_cancelled_waiting_order_leaves_nothing_behind():
+    made = shop(bolt=10)
+    made.cancel(submitted(made, ("bolt", 4), ("nut", 1)))
+    assert left(made, "bolt") == [10]
+    assert made.stock.reserved("bolt") == 0
+
+
 def test_the_oldest_waiting_order_goes_first():
     made = shop()
     first, second, third = (submitted(made, ("bolt", quantity)) for quantity in (5, 3, 2))
@@ -99,6 +137,43 @@ def test_amending_a_placed_order():
     assert made.stock.on_hand("bolt") == 1
 
 
+def test_amending_needs_only_the_difference():
+    made = shop(bolt=10)
+    order = submitted(made, ("bolt", 8))
+    made.amend(order, 0, 10)
+    assert left(made, "bolt") == [0]
+
+
+def test_a_refused_amendment_changes_nothing():
+    made = shop(bolt=10)
+    order, other = submitted(made, ("bolt", 4)), submitted(made, ("bolt", 5))
+    with pytest.raises(OutOfStock, match="bolt"):
+        made.amend(order, 0, 6)
+    assert left(made, "bolt") == [1]
+    assert order.lines[0].quantity == 4
+    assert submitted(made, ("bolt", 2)).state is State.WAITING
+    made.ship(order)
+    made.ship(other)
+    assert (made.stock.on_hand("bolt"), made.stock.reserved("bolt")) == (1, 0)
+
+
+def test_an_order_can_be_cancelled_after_a_refused_amendment():
+    made = shop(bolt=10)
+    order = submitted(made, ("bolt", 4), ("bolt", 1))
+    with pytest.raises(OutOfStock):
+        made.amend(order, 0, 10)
+    made.cancel(order)
+    assert left(made, "bolt") == [10]
+
+
+def test_an_amendment_to_nothing_is_refused_and_changes_nothing():
+    made = shop(bolt=10)
+    order = submitted(made, ("bolt", 4))
+    with pytest.raises(ValueError, match="at least 1"):
+        made.amend(order, 0, 0)
+    assert left(made, "bolt") == [6]
+
+
 def test_amending_a_placed_order_beyond_the_stock_is_refused():
     made = shop(bolt=10)
     with pytest.raises(OutOfStock, match="bolt wanted"):

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_shop.py tests/test_stock.py
: '>>>>> End Test Output'
git checkout 4f7d4b9b17b03f764802cda4eef217f1831a32f1 tests/test_shop.py tests/test_stock.py
