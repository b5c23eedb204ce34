import pytest

from buildorder import CycleError, Planner, read_manifest

SHOP = """
base: base.h
orders: orders.c <- base
stock: stock.c <- base
web: web.c <- orders stock
site: site.c <- web
"""


def planner(text=SHOP):
    return Planner(read_manifest(text))


def test_a_plan_holds_what_depends_on_the_change():
    assert planner().plan(["stock.c"]) == ["stock", "web", "site"]


def test_a_plan_joins_several_changes():
    assert planner().plan(["orders.c", "stock.c"]) == ["orders", "stock", "web", "site"]


def test_unknown_files_concern_nobody():
    assert planner().plan(["notes.txt"]) == []


def test_a_parallel_plan_groups_targets():
    assert planner().parallel_plan(["base.h"]) == [["base"], ["orders", "stock"], ["web"], ["site"]]


def test_impact_ranks_a_chain():
    assert planner("a:\nb: <- a\nc: <- b\n").impact() == [("a", 2), ("b", 1), ("c", 0)]


def test_a_removed_target_is_not_planned():
    shop = planner()
    shop.remove("web")
    assert shop.plan(["stock.c", "web.c"]) == ["stock"]


def test_a_cycle_has_no_plan():
    with pytest.raises(CycleError, match="a -> b -> a"):
        planner("a: a.c <- b\nb: <- a").plan(["a.c"])
