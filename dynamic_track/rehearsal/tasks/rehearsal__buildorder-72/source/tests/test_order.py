import pytest

from buildorder import CycleError, build_order, read_manifest, waves


def graph(text):
    return read_manifest(text).graph


def test_dependencies_come_first_and_names_decide_ties():
    assert build_order(graph("z:\nb: <- z\na: <- b\nc: <- z")) == ["z", "b", "a", "c"]


def test_an_order_among_some_targets():
    assert build_order(graph("a:\nb: <- a\nc: <- b"), {"c", "a"}) == ["a", "c"]


def test_a_diamond_is_no_cycle():
    assert build_order(graph("top:\nleft: <- top\nright: <- top\nend: <- left right")) == [
        "top",
        "left",
        "right",
        "end",
    ]


def test_a_cycle_is_named():
    with pytest.raises(CycleError, match="a -> c -> b -> a"):
        build_order(graph("a: <- c\nb: <- a\nc: <- b\nd: <- a"))


def test_waves_hold_what_can_be_built_together():
    assert waves(graph("a:\nb:\nc: <- a\nd: <- c b")) == [["a", "b"], ["c"], ["d"]]
