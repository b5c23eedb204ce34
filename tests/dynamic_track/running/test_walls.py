"""One case's trouble stays one case's, what all have in common stops the run, a lost journal is not begun again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker.models.containers
import pytest

from dynamic_track import harness
from dynamic_track.rehearsal.replies import ABSENT, Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.running.agent import ActionFormat, agent_settings
from dynamic_track.running.unexpected_errors import TRACEBACK_FILE
from dynamic_track.tasks.task import Task
from tests.cli.commands import Ran, twinbench
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    SENTINEL,
    SIX,
    Done,
    by_step,
    live,
    named,
    nearly,
    said,
    solving,
)
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.calls.journal import JOURNAL_FILE, Journal
from twinbench.calls.routed import RoutedCall
from twinbench.causes import Cause
from twinbench.containers.engine import Engine
from twinbench.containers.labels import CASE, ROLE, RUN
from twinbench.routing.session import session_key
from twinbench.storage.manifest_files import live_manifest

LEAVES = f"echo {SENTINEL}"
EVERY_ONE = tuple(word for name in SIX for word in ("--only", name))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def all_six(api_base: str, run: Path, *more: str, **options: Any) -> Ran:
    return live(api_base, run, *EVERY_ONE, *more, only="", **options)


def strike(
    patch: pytest.MonkeyPatch, owner: Any, name: str, strikes: Callable[..., bool], *, after: bool = False
) -> None:
    """Let a function raise what nobody foresaw, with a key in it, for the calls that are chosen."""
    real = getattr(owner, name)

    def struck(*args: Any, **named_args: Any) -> Any:
        chosen = strikes(*args, **named_args)
        result = real(*args, **named_args) if after or not chosen else None
        if chosen:
            raise LookupError(f"what nobody foresaw of {name}, with {KEY}")
        return result

    patch.setattr(owner, name, struck)


def strike_everywhere(patch: pytest.MonkeyPatch, tasks: Sequence[Task]) -> dict[str, str]:
    """Strike one case in each layer: the reading of an answer, the agent's package, docker's, grading, the journal."""
    answer, agent, container, grading, journal = SIX[:5]
    agent_settings(ActionFormat.tool, live_manifest().agent)  # imports the package, which is loud otherwise
    from minisweagent.agents.default import DefaultAgent

    statement = named(tasks, agent).problem_statement
    strike(patch, RoutedCall, "ask", lambda routed, *_: routed.trial_log.recording.case == answer, after=True)
    strike(patch, DefaultAgent, "run", lambda _, task: task == statement)
    strike(
        patch,
        docker.models.containers.ContainerCollection,
        "create",
        lambda *_, **options: (options["labels"][CASE], options["labels"][ROLE]) == (container, "case"),
    )
    strike(patch, harness, "report", lambda task, _: task.id == grading)
    strike(patch, Journal, "append", lambda _, kind, **fields: (kind, fields.get("case")) == ("observation", journal))
    return {answer: "ask", agent: "run", container: "create", grading: "report", journal: "append"}


def test_what_nobody_foresaw_in_any_layer_ends_its_case_alone_and_is_tried_again(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    run = tmp_path / f"struck-{tmp_path.name}"
    script = by_case({name: solving(rehearsal) for name in (SIX[3], SIX[5])}, by_step([said(LEAVES)]))
    with ScriptedServer(script) as server:
        with pytest.MonkeyPatch.context() as patch:
            layers = strike_everywhere(patch, rehearsal)
            for _ in range(2):  # a run that is continued comes to the same place, and goes on as well
                ran = all_six(server.api_base, run, "--workers", "3", "--no-breaker")
                assert "Traceback" not in ran.err
                assert (ran.code, ran.json["infra"], ran.json["resolved"]) == (1, 5, 1)
                for case, layer in layers.items():
                    found = Done(run, case).case
                    assert (found["cause"], found["resolved"], found["bill_usd"]) == (Cause.internal, None, None)
                    place = Path("cases") / case / "1" / TRACEBACK_FILE
                    assert found["detail"].startswith(f"LookupError: what nobody foresaw of {layer}, with [secret]")
                    assert found["detail"].endswith(f"; the traceback is in {place}")
                    written = (run / place).read_text("utf-8")
                    assert written.startswith("Traceback")
                    assert "struck" in written
        assert Done(run, SIX[3]).fields("end")[0]["cause"] is None, "the agent's end stands; its verdict is missing"
        for command in ("status", "score", "audit"):
            shown = twinbench("dynamic", command, run, "--json")
            assert (shown.json is not None, "bug" in shown.err) == (True, False)
        again = all_six(server.api_base, run, "--workers", "3").succeeded().json
    assert (again["resolved"], again["unresolved"], again["infra"]) == (2, 4, 0)
    assert list(run.rglob(TRACEBACK_FILE)) == []
    assert not [path for path in run.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert nearly(again["spend_usd"]) == nearly(sum(Done(run, name).spend_usd for name in SIX))
    assert len(server.completions) == sum(Done(run, name).case["steps"] for name in SIX), "nothing was paid twice"
    filters: dict[str, str | list[str] | bool] = {"label": f"{RUN}={run.name}"}
    assert engine.client.containers.list(all=True, filters=filters, ignore_removed=True) == []


@pytest.mark.acceptance
def test_a_patch_whose_grading_nobody_foresaw_has_no_verdict_and_the_others_have_theirs(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, predictions, store = tmp_path / "run", tmp_path / "predictions.jsonl", tmp_path / "store"
    pair = [named(rehearsal, name) for name in SIX[:2]]
    only = ("--only", SIX[0], "--only", SIX[1])
    predictions.write_text(
        "".join(json.dumps({"instance_id": each.id, "model_patch": each.gold_patch}) + "\n" for each in pair), "utf-8"
    )
    with ScriptedServer(solving(rehearsal)) as server:
        live(server.api_base, run, *only[2:], "--workers", "2", only=SIX[0]).succeeded()
    strike(monkeypatch, harness, "report", lambda task, _: task.id == SIX[0])

    graded = twinbench("dynamic", "grade", "--predictions", predictions, *only, "--store", store, "--json")
    assert (graded.code, graded.json["resolved"], graded.json["infra"]) == (1, 1, 1)
    causes = {each["id"]: (each["resolved"], each["cause"]) for each in graded.json["verdicts"]}
    assert causes == {SIX[0]: (None, Cause.internal), SIX[1]: (True, None)}
    (detail,) = [each["detail"] for each in graded.json["verdicts"] if each["cause"]]
    assert Path(detail.rpartition("the traceback is in ")[2]).read_text("utf-8").startswith("Traceback")

    again = twinbench("dynamic", "grade", run, "--json")
    assert (again.code, again.json["resolved"], again.json["infra"]) == (1, 1, 1)
    assert Done(run, SIX[0]).case["cause"] == Cause.internal
    assert (Done(run, SIX[0]).folder / TRACEBACK_FILE).is_file()

    checked = twinbench("dynamic", "doctor", "--tasks", "rehearsal", *only[:2], "--json")
    check = checked.json["checks"][-1]
    assert (checked.code, check["name"], check["status"]) == (1, "grades", "fail")
    assert check["reason"].startswith("internal: LookupError: what nobody foresaw")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with a few hundred KiB."""
    point = tmp_path / "disk"
    point.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs to be root")
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", point], capture_output=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {tried.stderr.decode()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)


def test_a_disk_that_is_full_stops_the_run_and_with_more_room_it_goes_on(
    tmp_path: Path, small_disk: Path, rehearsal: Sequence[Task]
) -> None:
    run = small_disk / "run"
    script = by_step([said("ls"), said("openssl rand 600000 || head -c 600000 /dev/urandom"), said(LEAVES)])
    with ScriptedServer(script) as server:
        ran = live(server.api_base, run, "--only", SIX[0], only=SIX[1])
        assert ran.code == 1
        assert "No space left on device" in ran.err
        assert "journal" in ran.err
        assert "bug" not in ran.err
        asked = len(server.completions)
        assert asked == 2, "the second case is not begun"
        subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
        assert live(server.api_base, run, "--only", SIX[0], only=SIX[1]).succeeded().json["unresolved"] == 2
    assert len(server.completions) == 6


def by_case(
    scripts: Mapping[str, Callable[[ReceivedRequest], Reply]], other: Callable[[ReceivedRequest], Reply]
) -> Callable[[ReceivedRequest], Reply]:
    """A script that is another one for some cases."""
    sessions = {session_key("0", "header", case, "1"): script for case, script in scripts.items()}
    return lambda asked: sessions.get(asked.session, other)(asked)


LOST = {Cause.usage: said(LEAVES, usage=ABSENT), Cause.model: said(LEAVES, model="somebody-else")}
"""Answers by which a case is lost to infrastructure, and its money with it."""


def one_by_one(causes: Sequence[Cause | None]) -> Callable[[ReceivedRequest], Reply]:
    """A script in which the sessions, as they begin, are lost to one cause after the other; None: the case ends."""
    sessions: list[str] = []

    def answer(asked: ReceivedRequest) -> Reply:
        if asked.session not in sessions:
            sessions.append(asked.session)
        cause = causes[min(sessions.index(asked.session), len(causes) - 1)]
        return said(LEAVES) if cause is None else LOST[cause]

    return answer


def run_ungraded(api_base: str, run: Path, *more: str) -> Ran:
    return all_six(api_base, run, "--grade", "none", *more, usd="900")


@pytest.mark.acceptance
def test_three_cases_in_a_row_lost_to_one_cause_stop_the_run_before_all_are_lost(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(one_by_one([Cause.usage])) as server:
        ran = run_ungraded(server.api_base, run)
        assert (ran.code, ran.json["cases"], ran.json["infra"], len(server.completions)) == (1, 3, 3, 3)
        assert ran.json["stopped"].startswith("three cases in a row ended with cause usage before any succeeded: ")
        assert f"stopped: {ran.json['stopped']}; 3 trials left" in ran.err
        assert "pool check --live" in ran.err
        assert "run the same command" in ran.err
        regardless = run_ungraded(server.api_base, run, "--no-breaker", "--workers", "3")
        assert (regardless.code, regardless.json["infra"], regardless.json["stopped"]) == (1, 6, None)
    with ScriptedServer(one_by_one([None])) as server:
        done = run_ungraded(server.api_base, run, "--workers", "3").succeeded().json
    assert (done["cases"], done["infra"], done["stopped"]) == (6, 0, None)


def test_many_workers_lose_no_more_than_what_is_in_flight(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    workers = 4
    with ScriptedServer(one_by_one([Cause.usage])) as server:
        ran = run_ungraded(server.api_base, tmp_path / "run", "--workers", str(workers), "--trials", "4")
    assert (ran.code, ran.json["stopped"] is not None) == (1, True)
    assert 3 <= ran.json["infra"] <= len(server.completions) <= 3 + workers - 1


@pytest.mark.acceptance
def test_what_succeeded_before_the_run_was_continued_shows_nothing_of_now(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(one_by_one([None, Cause.usage])) as server:
        live(server.api_base, run, "--grade", "none", only=SIX[0], usd="900").succeeded()
        ran = run_ungraded(server.api_base, run)
    assert (ran.code, ran.json["infra"], ran.json["stopped"] is not None) == (1, 3, True)


@pytest.mark.acceptance
def test_a_rehearsal_whose_declared_faults_lose_cases_runs_them_all(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    words = ("--limit", "4", "--runs", str(tmp_path), "--faults", "0.99:500", "--json")
    ran = twinbench("rehearse", "always-low", *words)
    (run,) = ran.json["runs"]
    assert (ran.code, run["cases"], run["infra"]) == (1, 4, 4)
    assert "stopped" not in ran.err


@pytest.mark.acceptance
def test_an_image_that_docker_refuses_is_its_cases_cause_and_others_go_on(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    tasks = tasks_with_refused_image(tmp_path / "tasks", rehearsal)
    predictions, run = tmp_path / "predictions.jsonl", tmp_path / "run"
    lines = [{"instance_id": name, "model_patch": named(rehearsal, EASY).gold_patch} for name in (EASY, REFUSED)]
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    words = ("--tasks", str(tasks), "--build", "--json")
    graded = twinbench("dynamic", "grade", "--predictions", predictions, *words, "--store", tmp_path / "store")
    assert (graded.code, graded.json["resolved"], graded.json["infra"]) == (1, 1, 1)
    (verdict,) = [each for each in graded.json["verdicts"] if each["id"] == REFUSED]
    assert (verdict["resolved"], verdict["cause"]) == (None, Cause.image)
    assert "repository name must be lowercase" in verdict["detail"]

    checked = twinbench("dynamic", "doctor", *words)
    grades = {each["subject"]: each["status"] for each in checked.json["checks"] if each["name"] == "grades"}
    assert grades == {EASY: "pass", REFUSED: "fail"}

    with ScriptedServer(by_step([said(LEAVES)])) as server:
        where = ("--run", str(run), "--api-base", server.api_base, "--run-usd", "20")
        ran = twinbench("dynamic", "run", "always-high", *where, *words)
        assert (ran.code, ran.json["unresolved"], ran.json["infra"]) == (1, 1, 1)
        assert Done(run, REFUSED).case["cause"] == Cause.image
        assert {fields["case"] for _, fields in Done(run, EASY).lines("reserve")} == {EASY}
    regraded = twinbench("dynamic", "grade", run, "--build", "--json")
    assert (regraded.code, regraded.json["unresolved"], regraded.json["infra"]) == (1, 1, 1)
    replay = twinbench("dynamic", "replay", run, "--build", "--json")
    assert (replay.code, replay.json["cases"], replay.json["equal"]) == (0, 2, 2)


REFUSED = "rehearsal__refused-1"


def tasks_with_refused_image(folder: Path, rehearsal: Sequence[Task]) -> Path:
    """A folder with one task of ours, and the same once more with an image whose name docker does not take."""
    source = named(rehearsal, EASY).folder
    assert source is not None
    for name in (EASY, REFUSED):
        shutil.copytree(source, folder / "tasks" / name)
    refused = folder / "tasks" / REFUSED
    shutil.rmtree(refused / "source")
    (refused / "Dockerfile").unlink()
    settings = refused / "task.yaml"
    lines = settings.read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("image:", "instance_id:"))]
    settings.write_text("\n".join([*kept, "image: Bugreports/No-Such:latest", f"instance_id: {REFUSED}", ""]), "utf-8")
    return folder


@pytest.mark.parametrize("how", ["emptied", "removed", "cut"])
def test_a_run_whose_journal_is_lost_is_refused_and_left_as_it_is(
    how: str, tmp_path: Path, rehearsal: Sequence[Task], lost_run: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(lost_run, run)
    file = run / "journal" / JOURNAL_FILE
    if how == "removed":
        shutil.rmtree(file.parent)
    elif how == "emptied":
        file.write_bytes(b"")
    else:  # all that tells of the case is gone, up to a line's end
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines if b'"kind":"sitting"' in line))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with ScriptedServer(by_step([said(LEAVES)])) as server:
        refused = [live(server.api_base, run), twinbench("dynamic", "grade", run)]
        if how != "cut":
            refused += [live(server.api_base, run, "--dry-run"), twinbench("dynamic", "status", run)]
        for ran in refused:
            assert ran.code == 1, ran.text
            assert f"cases/{EASY}/1 has ended, but the journal has no line about it" in ran.err
        assert server.completions == []
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert {path: content for path, content in after.items() if content} == {
        path: content for path, content in before.items() if content
    }


@pytest.fixture(scope="module")
def lost_run(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Path:
    """A run of one case that has ended."""

    def run(folder: Path) -> None:
        with ScriptedServer(by_step([said(LEAVES)])) as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, KEY)
            live(server.api_base, folder / "run").succeeded()

    return made_once(tmp_path_factory, "lost", run) / "run"
