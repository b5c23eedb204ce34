"""All tasks, five routers, twice: the spread between routers is there, and a rehearsal repeats itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.dynamic_track.rehearsal.test_rehearse_command import EXPLORER, essence, rehearsed
from twinbench.calls.journal import read_journal

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("rehearsal")]


def test_five_routers_on_all_tasks_take_less_time_than_their_models_would_twice_the_same(tmp_path: Path) -> None:
    router = tmp_path / "explorer.py"
    router.write_text(EXPLORER, "utf-8")
    routers = ("always-low", "always-mid_high", "always-high", "round-robin", f"{router}:Explorer")
    took, runs = [], []
    for name in ("first", "second"):
        started = time.monotonic()
        runs.append(rehearsed(tmp_path / name, *routers, only=())["runs"])
        took.append(time.monotonic() - started)
    of = f"{len(routers)} routers and {runs[0][0]['cases']} tasks"
    virtual_s = sum(answers_s(Path(each["run"])) for each in runs[0])
    print(f"evidence: rehearsals of {of} took {took[0]:.0f} s and {took[1]:.0f} s, for {virtual_s:.0f} s of answers")
    for each in runs[0]:
        bill = f"bill {each['bill_usd']:.4f} USD, {each['resolved']} of {each['cases']} resolved"
        print(f"evidence: rehearsal of {Path(each['router']).name}: {bill}")
    assert max(took) < virtual_s
    assert runs[0][0]["cases"] >= 20
    for one, other in zip(*runs, strict=True):
        assert {**one, "run": ""} == {**other, "run": ""}
        assert essence(Path(one["run"])) == essence(Path(other["run"]))
    low, _, high, _, explorer = runs[0]
    assert low["resolved"] < 0.6 * high["resolved"]
    assert low["cost_usd"] < high["cost_usd"] / 20
    assert explorer["bill_usd"] < min(low["bill_usd"], high["bill_usd"])


def answers_s(run: Path) -> float:
    """The time that the answers of a run declare to have taken, which passes on a virtual clock."""
    settles = [entry.fields for entry in read_journal(run / "journal") if entry.kind == "settle"]
    return sum(fields["latency_s"] or 0 for fields in settles)
