"""Numbers of things."""

from __future__ import annotations

import pytest

from twinbench.display.html.page import format_usd
from twinbench.display.wording import did_you_mean, format_count, format_p, format_small, format_trajectories


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")])
def test_one_thing_has_no_plural(number: int, text: str) -> None:
    assert format_count(number, "row") == text


def test_a_plural_of_its_own() -> None:
    assert [format_trajectories(number) for number in (1, 2)] == ["1 trajectory", "2 trajectories"]


def test_a_number_that_is_not_zero_is_never_shown_as_zero() -> None:
    assert [format_small(value, 4) for value in (0.0, 0.00001, 0.0001, 1234.5)] == [
        "0.0000",
        "<0.0001",
        "0.0001",
        "1,234.5000",
    ]
    assert [format_p(value) for value in (0.0, 0.00001, 0.0312, 1.0)] == [
        "p < 0.0001",
        "p < 0.0001",
        "p = 0.0312",
        "p = 1.0000",
    ]
    assert [format_usd(value) for value in (None, 0.0, 0.00001, -0.5, 1234.5)] == [
        "–",
        "0.0000",
        "<0.0001",
        "−0.5000",
        "1,234.5000",
    ]


@pytest.mark.parametrize(
    ("word", "question"),
    [
        ("stiky", "; did you mean 'sticky'?"),
        ("STICKY", "; did you mean 'sticky'?"),
        ("always-hi", "; did you mean 'always-high' or 'always-mid'?"),
        ("nothing-like-it", ""),
    ],
)
def test_a_misspelt_name_is_answered_with_what_was_probably_meant(word: str, question: str) -> None:
    assert did_you_mean(word, ["always-mid", "always-high", "sticky"]) == question
