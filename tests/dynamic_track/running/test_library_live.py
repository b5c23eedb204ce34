"""The live track as a library: what the functions give is what the commands print."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.containers.running import ours
from tests.dynamic_track.live import EASY, by_step, gold, named, said, until
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.containers.engine import Engine
from twinbench.errors import TwinbenchError, UsageError

ONLY = tb.TaskChoice(only=(EASY,))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task], engine: Engine) -> Path:
    """A run of one case that is solved, made by the library."""

    def run(folder: Path) -> None:
        script = by_step([said(command) for command in gold(named(rehearsal, EASY))])
        told: list[str] = []
        with ScriptedServer(script) as server:
            summary = tb.run(
                "always-high",
                ONLY,
                run=folder / "run",
                api_base=server.api_base,
                run_usd="20",
                progress=lambda what, _done, _of: told.append(what),
            )
        assert summary.score.count("resolved") == 1
        assert summary.to_dict() == summary.to_json()
        assert summary.to_dict()["run"] == str(folder / "run")
        assert [(row["id"], row["counts"]) for row in summary.records()] == [(EASY, "resolved")]
        assert told, "progress is told"

    return made_once(tmp_path_factory, "run-of-the-library", run) / "run"


@pytest.mark.acceptance
def test_a_run_scores_and_audits_as_the_commands_say(run_dir: Path) -> None:
    assert tb.audit(run_dir).to_dict() == twinbench("dynamic", "audit", run_dir, "--json").succeeded().json
    score = tb.score_run(run_dir).to_json()
    assert score["bill_usd"] == twinbench("dynamic", "score", run_dir, "--json").succeeded().json["bill_usd"]


@pytest.mark.acceptance
def test_a_run_is_replayed_and_graded_again(run_dir: Path) -> None:
    replayed = tb.replay(run_dir)
    assert replayed.to_dict() == {"cases": 1, "equal": 1, "differences": []}
    assert replayed.records() == []
    assert tb.replay(run_dir, route=True).equal == 1
    regraded = tb.grade_run(run_dir)
    assert (regraded.changed, regraded.without_task) == ((), ())
    assert regraded.to_dict() == twinbench("dynamic", "grade", run_dir, "--json").succeeded().json


@pytest.mark.acceptance
def test_an_interrupt_ends_a_run_once_its_container_is_gone(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    """Ctrl-C in a script: whoever leaves after it leaves no container behind, and the run can go on."""
    folder = tmp_path / "interrupted-run"

    def running() -> list[Any]:
        return [each for each in ours(engine, "case") if each.labels["twinbench.run"] == folder.name]

    def interrupt() -> None:
        until(lambda: bool(running()))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ScriptedServer(by_step([said("sleep 120")])) as server:
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            tb.run("always-high", ONLY, run=folder, api_base=server.api_base, run_usd="20")
        interrupting.join()
    assert running() == []
    solving = [said(command) for command in gold(named(rehearsal, EASY))]
    with ScriptedServer(by_step(solving)) as server:
        going_on = tb.run("always-high", ONLY, run=folder, api_base=server.api_base, run_usd="20")
    assert [trial.resolved for trial in going_on.score.trials] == [True]


def test_patches_are_graded(rehearsal: Sequence[Task], tmp_path: Path) -> None:
    grades = tb.grade({EASY: named(rehearsal, EASY).gold_patch}, ONLY, store=tmp_path)
    assert (grades.resolved, [row["resolved"] for row in grades.records()]) == (1, [True])
    empty = tb.grade({EASY: ""}, ONLY, store=tmp_path)
    assert (empty.resolved, empty.infra) == (0, 0)


@pytest.mark.acceptance
@pytest.mark.usefixtures("engine")
def test_a_rehearsal_can_be_widened_and_compared_on_what_is_shared(tmp_path: Path) -> None:
    """Models are the same whichever tasks are chosen."""
    other = "rehearsal__verspan-36"
    tb.rehearse("always-low", ONLY, runs=tmp_path / "runs")
    wider = tb.rehearse("always-low", tb.TaskChoice(only=(EASY, other)), runs=tmp_path / "runs")
    assert wider.records()[0]["tasks"] == 2
    tb.rehearse("always-high", tb.TaskChoice(only=other), runs=tmp_path / "runs")
    first, second = (tmp_path / "runs" / name / "seed-0" for name in ("always-low", "always-high"))
    assert tb.compare_runs(first, second).to_dict()["cases"] == 1
    assert len(repr(wider)) < 200


@pytest.mark.usefixtures("engine")
def test_routers_are_rehearsed(tmp_path: Path) -> None:
    result = tb.rehearse(["always-low", "always-high"], ONLY, runs=tmp_path / "runs", seeds=2)
    assert [row["router"] for row in result.records()] == ["always-low", "always-high"]
    assert result.caveat.startswith("A rehearsal") or "simulated" in result.caveat
    words = ("always-low", "always-high", "--only", EASY, "--runs", tmp_path / "runs", "--seeds", "2", "--json")
    assert result.to_dict() == twinbench("rehearse", *words).succeeded().json


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workers": 0}, "--workers 0: at least 1"),
        ({"trials": 1001}, "--trials 1001: at least 1, at most 1000"),
        ({"action_format": "shout"}, "--action-format shout: one of tool, text"),
        ({"image": "mine:latest"}, "add --grade none"),
        ({"run_usd": None}, "--run-usd"),
        ({"run_usd": "1e13"}, "--run-usd 1e13: an amount in USD"),
        ({"run_usd": f"0.{70 * '1'}"}, "an amount in USD"),
        ({"run_usd": "sNaN"}, "--run-usd sNaN: an amount in USD"),
        ({"on_router_error": "top"}, "--on-router-error top"),
        ({"candidate_limits": ["x"]}, "--candidate-limit x"),
    ],
)
def test_what_is_no_run_is_refused_before_anything_is_written(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    fields = {"run_usd": "1", "run": tmp_path / "run", "api_base": "http://127.0.0.1:9/v1", **change}
    with pytest.raises(TwinbenchError, match=said.replace(".", r"\.")):
        tb.run("always-high", ONLY, **fields)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_rehearsal_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one router"):
        tb.rehearse([], ONLY)
    with pytest.raises(UsageError, match="takes routers by their specs"):
        tb.rehearse([object()], ONLY)  # type: ignore[list-item]
