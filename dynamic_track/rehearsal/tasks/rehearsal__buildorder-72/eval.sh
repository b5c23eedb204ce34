#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff fab9656acfd0e9debbb9b54b2317a0dcfd9f33ee
git checkout fab9656acfd0e9debbb9b54b2317a0dcfd9f33ee tests/test_graph.py tests/test_manifest.py tests/test_order.py tests/test_planner.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_graph.py b/tests/test_graph.py
--- a/tests/test_graph.py
+++ b/tests/test_graph.py
@@ -30,6 +30,24 @@ def test_affected_is_asked_twice():
     assert built.affected("a") == built.affected("a") == {"b", "c"}
 
 
+@pytest.mark.parametrize("first", ["a", "b", "c", "d", "e"])
+def test_affected_does_not_depend_on_what_was_asked_before(first):
+    built = graph(a="", b="a", c="a", d="b c", e="d")
+    built.affected(first)
+    assert built.affected("a") == {"b", "c", "d", "e"}
+    assert built.affected("b") == built.affected("c") == {"d", "e"}
+    assert built.affected("d") == {"e"}
+
+
+@pytest.mark.parametrize("first", ["a", "b", "c"])
+def test_affected_is_complete_for_every_target_of_a_cycle(first):
+    built = graph(a="c", b="a", c="b", d="c")
+    built.affected(first)
+    assert built.affected("a") == {"b", "c", "d"}
+    assert built.affected("b") == {"a", "c", "d"}
+    assert built.affected("c") == {"a", "b", "d"}
+
+
 def test_affected_ends_in_a_cycle():
     assert graph(a="c", b="a", c="b").affected("a") == {"b", "c"}
 
@@ -45,6 +63,28 @@ def test_link_is_seen_by_the_dependency():
     assert built.affected("a") == {"b"}
 
 
+def test_link_is_seen_through_others():
+    built = graph(a="", b="a", c="b", d="", e="d")
+    assert built.affected("a") == {"b", "c"}
+    built.link("d", "c")
+    assert built.affected("a") == {"b", "c", "d", "e"}
+    assert built.affected("c") == {"d", "e"}
+
+
+def test_unlink_is_seen_through_others():
+    built = graph(a="", b="a", c="b", d="c")
+    assert built.affected("a") == {"b", "c", "d"}
+    built.unlink("c", "b")
+    assert built.affected("a") == {"b"}
+    assert built.affected("c") == {"d"}
+
+
+def test_unlink_keeps_another_way():
+    built = graph(a="", b="a", c="a b")
+    built.unlink("c", "b")
+    assert built.affected("a") == {"b", "c"}
+
+
 def test_remove_takes_every_edge_along():
     built = graph(a="", b="a", c="b")
     assert built.affected("a") == {"b", "c"}
diff --git a/tests/test_planner.py b/tests/test_planner.py
--- a/tests/test_planner.py
+++ b/tests/test_planner.py
@@ -35,6 +35,32 @@ def test_impact_ranks_a_chain():
     assert planner("a:\nb: <- a\nc: <- b\n").impact() == [("a", 2), ("b", 1), ("c", 0)]
 
 
+def test_impact_counts_both_sides_of_a_diamond():
+    assert planner().impact() == [("base", 4), ("orders", 2), ("stock", 2), ("web", 1), ("site", 0)]
+
+
+def test_a_plan_is_the_same_after_impact():
+    shop = planner()
+    shop.impact()
+    assert shop.plan(["stock.c"]) == ["stock", "web", "site"]
+    assert shop.plan(["base.h"]) == ["base", "orders", "stock", "web", "site"]
+
+
+def test_a_plan_is_the_same_after_another_plan():
+    shop = planner()
+    shop.plan(["base.h"])
+    assert shop.plan(["stock.c"]) == ["stock", "web", "site"]
+
+
+def test_a_plan_follows_the_edits_of_the_graph():
+    chain = planner("a: a.c\nb: b.c <- a\nc: c.c <- b\nd: d.c\n")
+    assert chain.plan(["a.c"]) == ["a", "b", "c"]
+    chain.link("d", "c")
+    assert chain.plan(["a.c"]) == ["a", "b", "c", "d"]
+    chain.unlink("c", "b")
+    assert chain.plan(["a.c"]) == ["a", "b"]
+
+
 def test_a_removed_target_is_not_planned():
     shop = planner()
     shop.remove("web")

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_graph.py tests/test_manifest.py tests/test_order.py tests/test_planner.py
: '>>>>> End Test Output'
git checkout fab9656acfd0e9debbb9b54b2317a0dcfd9f33ee tests/test_graph.py tests/test_manifest.py tests/test_order.py tests/test_planner.py
