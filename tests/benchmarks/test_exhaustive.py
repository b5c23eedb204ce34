"""All assignments of tasks that are really executed, beside what a search finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.exhaustive import compare, report
from tests.static_track.construction import shells
from tests.static_track.construction.shell_executor import BEGUN_FILE


def test_all_assignments_are_executed_once_over_sittings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = shells.configuration(tmp_path)
    out = tmp_path / "out"

    found = compare(config, out, ["a-1", "b-*"], most_steps=3, cascade=1, usd=None)
    begun = (out / "executor" / BEGUN_FILE).read_text("utf-8").splitlines()
    assert len(begun) == 3**3 + 1  # three tiers at three steps; the seed of the task that never passes
    assert "a-2" not in capsys.readouterr().out
    again = compare(config, out, ["a-1", "b-*"], most_steps=3, cascade=1, usd=None)
    assert (out / "executor" / BEGUN_FILE).read_text("utf-8").splitlines() == begun
    assert again.records() == found.records()
    lines = "\n".join(report(found))
    assert "| any | 1 | 3 | 3 | 0 | 0 | 1 |" in lines
    assert "more steps: 1 task." in lines
