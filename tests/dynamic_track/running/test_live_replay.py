"""Runs once more from their journals, and what is found where something is not as it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import Reply, server_error, unauthorized
from dynamic_track.tasks.task import Task
from tests.cli.commands import files, twinbench
from tests.dynamic_track.live import (
    EASY,
    HIGH,
    KEY,
    KEY_VARIABLE,
    MID,
    ROOT,
    ROUTERS,
    SENTINEL,
    Done,
    by_step,
    gold,
    live,
    named,
    pool_file,
    replayed,
    rewritten,
    run_arguments,
    said,
)
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.calls.journal import JOURNAL_FILE
from twinbench.containers.engine import Engine

EQUAL = {"cases": 1, "equal": 1, "differences": []}


@dataclass(frozen=True)
class Recorded:
    """A run that is over; its server is down."""

    folder: Path
    router: str

    def copy(self, to: Path) -> Done:
        """A copy to spoil."""
        shutil.copytree(self.folder / "run", to / "run")
        return Done(to / "run")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Recorded:
    """A solved case of three steps by three models, with a failed attempt."""

    def record(folder: Path) -> None:
        (folder / "routers.py").write_text(ROUTERS, "utf-8")
        look, apply, submit = gold(named(rehearsal, EASY))
        replies: list[Reply] = [said(f"{look}; date; mktemp"), server_error(), said(apply), said(submit)]
        with pytest.MonkeyPatch.context() as patch, ScriptedServer(replies) as server:
            patch.setenv(KEY_VARIABLE, KEY)
            live(server.api_base, folder / "run", router=f"{folder / 'routers.py'}:Turns").succeeded()

    folder = made_once(tmp_path_factory, "recorded", record)
    return Recorded(folder, f"{folder / 'routers.py'}:Turns")


def difference(done: Done, *more: str) -> dict[str, Any]:
    """The one difference that a replay finds."""
    ran = replayed(done.run, *more)
    assert (ran.code, ran.json["cases"], ran.json["equal"]) == (1, 1, 0), ran.err
    (found,) = ran.json["differences"]
    assert set(found) == {"case", "trial", "step", "what", "recorded", "replayed"}
    assert (found["case"], found["trial"]) == (EASY, 1)
    shown: dict[str, Any] = found
    return shown


@pytest.mark.parametrize("route", [False, True])
def test_a_copy_elsewhere_is_equal_and_asks_nobody(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, route: bool
) -> None:
    done = recorded.copy(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    before = files(done.run)
    ran = replayed(Path("run"), *(["--route"] if route else [])).succeeded()
    assert ran.json == EQUAL
    assert files(done.run) == before


@pytest.mark.acceptance
def test_a_router_that_lies_elsewhere_now_can_be_named(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recorded.copy(tmp_path)
    plan = json.loads((done.run / "plan.json").read_text("utf-8"))
    plan["identity"]["router"]["spec"] = "routers.py:Turns"
    (done.run / "plan.json").write_text(json.dumps(plan), "utf-8")
    monkeypatch.chdir(tmp_path)
    lost = replayed(done.run, "--route")
    assert (lost.code, "routers.py" in lost.err) == (2, True)
    found = replayed(done.run, "--route", "--router", recorded.router).succeeded()
    assert found.json == EQUAL
    assert "note" not in found.err
    other = replayed(done.run, "--route", "--router", f"{recorded.router}?first=1")
    assert other.code == 1
    assert "the router or its conditions" in other.err
    assert replayed(done.run, "--router", recorded.router).code == 2


@pytest.mark.acceptance
def test_another_version_of_the_grader_is_named(tmp_path: Path, recorded: Recorded) -> None:
    done = recorded.copy(tmp_path)
    plan = json.loads((done.run / "plan.json").read_text("utf-8"))
    plan["identity"]["grader"]["swebench"] = "4.1.0"
    (done.run / "plan.json").write_text(json.dumps(plan), "utf-8")
    ran = replayed(done.run).succeeded()
    assert "graded with swebench 4.1.0" in ran.err


def test_a_router_that_decides_otherwise_is_shown_with_both_sides(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    (tmp_path / "routers.py").write_text(ROUTERS, "utf-8")
    done = Done(tmp_path / "run")
    with ScriptedServer(by_step([said("ls"), said(f"echo {SENTINEL}")])) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, KEY)
            live(server.api_base, done.run, router=f"{tmp_path / 'routers.py'}:Turns").succeeded()
        (tmp_path / "routers.py").write_text(
            ROUTERS.replace("call.step_index - 1", "call.step_index ** 2 - 1"), "utf-8"
        )
        found = difference(done, "--route")
        assert len(server.asked) == 2
    assert (found["step"], found["what"]) == (2, "decision")
    assert (found["recorded"]["candidate"], found["replayed"]["candidate"]) == (MID, HIGH)
    assert replayed(done.run).json == EQUAL


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_one_byte_is_found_with_file_and_line(tmp_path: Path, recorded: Recorded, where: float) -> None:
    done = recorded.copy(tmp_path)
    path = done.run / "journal" / JOURNAL_FILE
    content = bytearray(path.read_bytes())
    at = int(len(content) * where)
    content[at] = ord("0") if content[at] != ord("0") else ord("1")
    path.write_bytes(content)
    line = content[:at].count(b"\n") + 1
    ran = replayed(done.run)
    assert (ran.code, ran.out) == (1, b"")
    assert f"{path}, line {line}" in ran.err
    ran = twinbench(*run_arguments("http://127.0.0.1:1/v1", done.run, router=recorded.router), "--call-timeout", "1")
    assert ran.code != 0


def test_a_missing_response_is_found(tmp_path: Path, recorded: Recorded) -> None:
    done = recorded.copy(tmp_path)
    rewritten(done.run, lambda line: None if _is(line, "settle", step=3) else line)
    found = difference(done)
    assert (found["step"], found["what"], found["recorded"]) == (3, "response", None)


@pytest.mark.parametrize("kind", ["decision", "reserve", "command", "observation", "end"])
def test_a_missing_line_of_any_kind_is_named(tmp_path: Path, recorded: Recorded, kind: str) -> None:
    done = recorded.copy(tmp_path)
    rewritten(done.run, lambda line: None if _is(line, kind, step=2 if kind != "end" else None) else line)
    ran = replayed(done.run)
    if kind in ("reserve", "command"):  # what follows them hangs in the air
        assert (ran.code, ran.out) == (1, b"")
        assert "journal.jsonl, line" in ran.err
    elif kind == "end":
        assert (ran.code, ran.out) == (2, b"")
        assert "no trial of this run has ended" in ran.err
    else:
        assert ran.code == 1
        (found,) = ran.json["differences"]
        assert (found["step"], found["what"]) == (2, kind if kind == "decision" else "command")


def _is(line: dict[str, Any], kind: str, step: int | None) -> bool:
    return (line["kind"], line["fields"].get("step")) == (kind, step)


def test_another_image_is_found(tmp_path: Path, recorded: Recorded, engine: Engine, rehearsal: Sequence[Task]) -> None:
    """The same task repo in another place, one file of it changed, its image built there.

    Under a name of its own: tests beside this one use the other.
    """
    tasks = tmp_path / "tasks"
    shutil.copytree(ROOT / "dynamic_track" / "rehearsal", tasks)
    for folder in (tasks / "tasks").iterdir():
        if folder.name != EASY:
            shutil.rmtree(folder)
    source = next((tasks / "tasks" / EASY / "source").rglob("README*"))
    source.write_text(source.read_text("utf-8") + "\nAnother line.\n", "utf-8")
    settings, image = tasks / "tasks" / EASY / "task.yaml", f"twinbench-test/another-{os.getpid()}:latest"
    kept = [line for line in settings.read_text("utf-8").splitlines() if not line.startswith("image:")]
    settings.write_text("\n".join([*kept, f"image: {image}", ""]), "utf-8")
    done = recorded.copy(tmp_path)
    try:
        found = difference(done, "--tasks", str(tasks), "--build")
    finally:
        engine.client.images.remove(image, force=True)
    assert found["what"] in ("task", "image")
    assert found["recorded"] != found["replayed"]


def test_another_price_table_is_found(tmp_path: Path, recorded: Recorded) -> None:
    pool = pool_file(tmp_path / "dearer.toml", lambda text: text.replace("output = 0.378", "output = 0.379"))
    found = difference(recorded.copy(tmp_path), "--pool", str(pool))
    assert (found["step"], found["what"]) == (0, "pool")
    assert found["recorded"] != found["replayed"]


@pytest.mark.parametrize("field", ["cost_usd", "resolved", "steps"])
def test_a_case_file_that_claims_something_else_is_found(tmp_path: Path, recorded: Recorded, field: str) -> None:
    done = recorded.copy(tmp_path)
    path = done.folder / "case.json"
    claimed = json.loads(path.read_text("utf-8"))
    truth = claimed[field]
    claimed[field] = False if field == "resolved" else 1
    path.write_text(json.dumps(claimed), "utf-8")
    found = difference(done)
    assert (found["what"], found["recorded"], found["replayed"]) == (field, claimed[field], truth)


@pytest.mark.acceptance
def test_cases_that_did_not_end_well_are_replayed_to_their_ends(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    (tmp_path / "routers.py").write_text(ROUTERS, "utf-8")
    odd = f"{tmp_path / 'routers.py'}:Odd?how="
    with ScriptedServer(by_step([said("ls"), unauthorized()])) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        for name, router in (("access", "always-low"), ("router", f"{odd}raises&at=2"), ("watch", f"{odd}observe")):
            live(server.api_base, tmp_path / name, router=router)
        live(server.api_base, tmp_path / "cap", router="always-high", usd="0.1")
    for name in ("access", "router", "cap"):
        assert Done(tmp_path / name).case["cause"] == name
        assert replayed(tmp_path / name).json == EQUAL
    for name in ("access", "router", "watch"):
        assert replayed(tmp_path / name, "--route").json == EQUAL


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    assert replayed(tmp_path / "none").code == 2
    for plan in (
        "{}",
        "[",
        '{"identity": {}}',
        '{"identity": {"agent": {}, "overrides": {}, "router": {}, "seed": "0"}}',
    ):
        (tmp_path / "plan.json").write_text(plan, "utf-8")
        ran = replayed(tmp_path)
        assert ran.code == 1
        assert "plan.json" in ran.err
