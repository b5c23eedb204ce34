"""Numbers of things."""

from __future__ import annotations

import pytest

from twinbench.display.wording import counted, trajectories


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")])
def test_one_thing_has_no_plural(number: int, text: str) -> None:
    assert counted(number, "row") == text


def test_a_plural_of_its_own() -> None:
    assert [trajectories(number) for number in (1, 2)] == ["1 trajectory", "2 trajectories"]
