"""A bank of two tasks built from nothing: real containers and tests, simulated models."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from dynamic_track.constructing.executor import AgentExecutor

CONFIGURATION = """
[bank]
name = "two"
licence = "CC0-1.0"
[search]
step_rule = "any"
[executor]
kind = "agent"
provider = "rehearsal"
only = ["rehearsal__flagstone-27"]
seeds = 2
"""
MOST_OVERHEAD = 0.05


@pytest.mark.acceptance
@pytest.mark.docker
def test_two_tasks_are_labelled_and_the_search_itself_takes_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[tuple[float, float]] = []
    execute: Callable[..., Any] = AgentExecutor.execute

    def timed(*arguments: Any) -> Any:
        began = time.monotonic()
        found = execute(*arguments)
        times.append((began, time.monotonic()))
        return found

    monkeypatch.setattr(AgentExecutor, "execute", timed)
    config = tmp_path / "two.toml"
    config.write_text(CONFIGURATION, "utf-8")
    built = tb.build_bank(config, out=tmp_path / "out")
    ended = time.monotonic()

    assert built.is_complete
    assert built.manifest is not None
    assert (built.manifest["trajectories"], built.manifest["groups"]) == (2, 1)
    assert built.manifest["labels"]["easy"]["low"] >= 8
    searched = ended - times[0][0] - sum(end - began for began, end in times)
    assert searched <= MOST_OVERHEAD * (ended - times[0][0])
    executions = len(times)
    print(
        f"evidence: {executions} executions, {(ended - times[0][0]) / executions:.2f} s each, of which "
        f"{searched / executions:.3f} s were the search's"
    )
    tb.build_bank(recordings=tmp_path / "out" / "recordings.jsonl.gz", out=tmp_path / "again")
    for name in ("rows.jsonl.gz", "manifest.json", "recordings.jsonl.gz", "evidence.jsonl.gz"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert len(times) == executions
