import pytest

from buildorder import Graph, UnknownTargetError


def graph(**dependencies):
    built = Graph()
    for name in dependencies:
        built.add(name)
    for name, names in dependencies.items():
        for dependency in names.split():
            built.link(name, dependency)
    return built


def test_a_graph_reads_both_ways():
    built = graph(core="", net="core", app="core net")
    assert built.dependencies("app") == {"core", "net"}
    assert built.dependents("core") == {"app", "net"}


def test_affected_reaches_through_others():
    built = graph(a="", b="a", c="b", d="c", e="")
    assert built.affected("a") == {"b", "c", "d"}
    assert built.affected("e") == frozenset()


def test_affected_is_asked_twice():
    built = graph(a="", b="a", c="b")
    assert built.affected("a") == built.affected("a") == {"b", "c"}


def test_affected_ends_in_a_cycle():
    assert graph(a="c", b="a", c="b").affected("a") == {"b", "c"}


def test_a_target_that_depends_on_itself_is_not_affected_by_itself():
    assert graph(a="a", b="a").affected("a") == {"b"}


def test_link_is_seen_by_the_dependency():
    built = graph(a="", b="")
    assert built.affected("a") == frozenset()
    built.link("b", "a")
    assert built.affected("a") == {"b"}


def test_remove_takes_every_edge_along():
    built = graph(a="", b="a", c="b")
    assert built.affected("a") == {"b", "c"}
    built.remove("b")
    assert list(built) == ["a", "c"]
    assert built.affected("a") == frozenset()
    assert built.dependencies("c") == frozenset()


def test_unknown_targets_are_named():
    with pytest.raises(UnknownTargetError, match="no such target: x"):
        graph(a="").affected("x")
    with pytest.raises(UnknownTargetError, match="no such target: x"):
        graph(a="").link("a", "x")
