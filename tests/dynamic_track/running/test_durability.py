"""What a run leaves where the machine goes down: nothing is asked, graded or told before it stands on the disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dynamic_track.rehearsal.replies import Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.tasks.task import Task
from tests.dynamic_track.live import EASY, KEY, KEY_VARIABLE, by_step, gold, live, named, said
from tests.power_cut import disk
from tests.scripted.server import ScriptedServer
from twinbench.calls.journal import JOURNAL_FILE

OTHER = "rehearsal__tidecache-41"


def test_a_run_outlasts_a_power_cut(tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan before any line, a reservation before its request, files before the line that tells of them."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    run = tmp_path / "run"
    journal, case = run / "journal" / JOURNAL_FILE, run / "cases" / EASY / "1"
    seen: list[str] = []

    def left_kinds() -> list[str]:
        content = watched.left(journal) or b""
        return [json.loads(line)["kind"] for line in content.splitlines()]

    def before_write(data: bytes) -> None:
        if not data.startswith(b'{"fields":'):
            return
        kind = json.loads(data)["kind"]
        seen.append(kind)
        assert watched.keeps(run / "plan.json"), f"plan.json is flushed before {kind}"
        if kind in ("end", "verdict"):
            assert watched.keeps(case / "patch.diff")
            assert watched.keeps(case / "trajectory.json")
        if kind == "verdict":
            assert "end" in left_kinds(), "nobody grades what might be decided again"
            assert watched.keeps(case / "verdict.json")
            [kept] = run.glob("verdicts/*/verdict.json")
            assert watched.keeps(kept)

    asking = by_step([said(command) for command in gold(named(rehearsal, EASY))])

    def answer(asked: ReceivedRequest) -> Reply:
        kinds = left_kinds()
        assert kinds[-1] == "reserve", f"what is asked is reserved on the disk, not only in memory: {kinds}"
        seen.append("request")
        return asking(asked)

    with disk(tmp_path, before_write) as watched, ScriptedServer(answer) as server:
        live(server.api_base, run).succeeded()
        assert {"sitting", "reserve", "end", "verdict"} <= {*seen}
        assert seen.count("request") == 3
        assert left_kinds()[-1] == "verdict"
        assert watched.keeps(case / "case.json")


@pytest.mark.acceptance
def test_a_widening_stands_on_the_disk_before_anything_is_asked(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    run = tmp_path / "run"
    told: list[bool] = []

    def before_write(data: bytes) -> None:
        if data.startswith(b'{"fields":') and json.loads(data)["kind"] == "sitting" and told:
            told.append(b'"kind":"widened"' in (watched.left(run / "journal" / JOURNAL_FILE) or b""))

    answers = by_step([said("ls"), said("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")])
    with disk(tmp_path, before_write) as watched, ScriptedServer(answers) as server:
        live(server.api_base, run, "--grade", "none").succeeded()
        told.append(False)
        live(server.api_base, run, "--grade", "none", only=OTHER).succeeded()
    assert told == [False, True]


def test_a_file_of_a_trial_outlasts_a_power_cut_with_its_folders(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with disk(tmp_path) as watched:
        run.write("a__a-1", 2, "case.json", "{}")
        assert watched.left(run.trial_folder("a__a-1", 2) / "case.json") == b"{}"
