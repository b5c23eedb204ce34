"""Plots: text stays text, colours are the page's, and the same plot is the same bytes."""

from __future__ import annotations

import pytest

from tests.examples import thinned
from tests.reports.pages import read
from twinbench.display.html.plots import Mark, Plot, draw_plot, shorten_label


def plot(label: str = "mine", name: str = "plot") -> Plot:
    marks = [
        Mark(label, "1", [(1.0, 50.0)], low_high=(40.0, 61.0), series=0),
        Mark("other", "a", [(1.0, 50.0)], is_hollow=True),
        Mark("line", "2", [(1.0, 20.0), (2.0, 90.0)], series=9, dots=[(1.5, 30.0)]),
        Mark("best", "b", [(0.5, 100.0)], is_star=True),
    ]
    return Plot(name, "A title", "What it shows", "Cost, USD", "TrajPass, %", marks, is_percent=True)


def test_the_same_plot_is_the_same_bytes_and_ids_stand_once_in_a_page() -> None:
    both = draw_plot(plot()) + draw_plot(plot(name="second"))
    assert draw_plot(plot()) == draw_plot(plot())
    ids = [attributes["id"] for _, attributes in read(both).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_colours_are_variables_of_the_page() -> None:
    styles = " ".join(read(draw_plot(plot())).styles)
    assert "var(--series-1)" in styles
    assert "var(--series-2)" in styles, "the tenth series has the second colour"
    assert "var(--ink)" in styles
    assert "#0" not in styles
    assert "<style" not in draw_plot(plot())


@pytest.mark.parametrize(
    "label", thinned(["$x_1^2$", '#010203 id="a"', "<b>&amp;</b>", "a\nb", "\x1b[31m", "日本", "</svg><p>"], 3)
)
def test_a_label_is_written_letter_by_letter(label: str) -> None:
    page = read(draw_plot(plot(label)))
    written = [text for within, text in page.texts if within == "text"]
    assert f"1 {label}".replace("\n", " ").replace("\x1b", "\\x1b") in written
    assert {tag for tag, _ in page.elements} <= {
        "svg",
        "title",
        "desc",
        "defs",
        "g",
        "path",
        "use",
        "text",
        "clippath",
        "rect",
    }


def test_it_says_in_words_what_it_shows() -> None:
    page = read(draw_plot(plot()))
    assert [text for within, text in page.texts if within == "title"] == ["A title"] * 2
    assert [text for within, text in page.texts if within == "desc"] == ["What it shows"] * 2
    assert [each["role"] for each in page.all("svg")] == ["img", "img"]


def test_where_nothing_is_low_the_axis_begins_higher() -> None:
    high = Plot("p", "t", "d", "x", "y", [Mark("m", "1", [(1.0, 96.0)], series=0)], is_percent=True)
    ticks = {text for within, text in read(draw_plot(high)).texts if within == "text"}
    assert {"90", "100"} <= ticks
    assert "0" not in ticks


def test_of_a_long_path_the_end_stands_in_a_plot() -> None:
    assert shorten_label("some/where/in/a/deep/folder/router.py:Mine") == "…/router.py:Mine"
    assert shorten_label("short/path.py:Mine") == "short/path.py:Mine"
    assert len(shorten_label("x" * 100)) == 26
