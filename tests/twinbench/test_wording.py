"""Numbers of things."""

from __future__ import annotations

import pytest

from twinbench.display.wording import did_you_mean, format_count, format_trajectories


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")])
def test_one_thing_has_no_plural(number: int, text: str) -> None:
    assert format_count(number, "row") == text


def test_a_plural_of_its_own() -> None:
    assert [format_trajectories(number) for number in (1, 2)] == ["1 trajectory", "2 trajectories"]


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
