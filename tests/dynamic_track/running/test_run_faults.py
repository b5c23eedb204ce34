"""What infrastructure does to a run is named by its own cause, and goes on when it is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.tasks.task import Task
from tests.cli.commands import SCRIPT
from tests.containers.registry import tiny_file_system
from tests.containers.running import loses_connections
from tests.containers.second_engine import second_engine_running
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    SENTINEL,
    SIX,
    Done,
    by_step,
    live,
    run_arguments,
    said,
    solving,
    until,
    with_testbed,
)
from tests.images import import_image
from tests.scripted.server import ScriptedServer
from twinbench.causes import Cause
from twinbench.containers.engine import Engine
from twinbench.containers.labels import CASE, RUN

LEAVES = f"echo {SENTINEL}"
pytestmark = loses_connections


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def infra(run: Path, case: str = EASY) -> str:
    """The cause of a case that infrastructure ended: no verdict, no bill."""
    found = Done(run, case).case
    assert (found["resolved"], found["bill_usd"]) == (None, None)
    return str(found["cause"])


def test_a_missing_image_is_a_cause_of_its_own_and_other_cases_go_on(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step([said(LEAVES)])) as server:
        words = ("--image", "127.0.0.1:9/lost/lost:1", "--grade", "none")
        ran = live(server.api_base, run, *words)
        assert (ran.code, ran.json["infra"], server.completions) == (1, 1, [])
    assert infra(run) == Cause.image
    assert live(server.api_base, tmp_path / "other", "--image", "x").code == 2, "it could be graded"


def test_an_image_in_which_no_command_can_run_is_refused_before_anything_is_paid(
    tmp_path: Path, base_image: str
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step([said(LEAVES)])) as server:
        ran = live(server.api_base, run, "--image", base_image, "--grade", "none")
        assert (ran.code, ran.json["infra"], server.completions) == (1, 1, [])
    assert infra(run) == Cause.image
    assert "has no /testbed" in Done(run, EASY).case["detail"]


@pytest.mark.acceptance
def test_a_full_disk_is_a_cause_of_its_own_and_the_run_goes_on_with_more_room(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(solving(rehearsal)) as server:
        ran = live(server.api_base, run, "--min-free-mib", str(10**9))
        assert (ran.code, ran.json["infra"], server.completions) == (1, 1, [])
        assert infra(run) == Cause.disk
        assert live(server.api_base, run).succeeded().json["resolved"] == 1


@pytest.mark.acceptance
def test_a_container_that_is_killed_is_a_cause_of_its_own_and_the_case_goes_on(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    run = tmp_path / f"killed-{tmp_path.name}"
    mine: dict[str, str | list[str] | bool] = {"label": [f"{CASE}={EASY}", f"{RUN}={run.name}"]}

    def kills(asked: Any) -> Any:
        if len(server.completions) == 2:
            (container,) = engine.client.containers.list(filters=mine)
            container.kill()
        return solving(rehearsal)(asked)

    with ScriptedServer(kills) as server:
        ran = live(server.api_base, run)
        assert (ran.code, ran.json["infra"]) == (1, 1)
        assert infra(run) == Cause.container
        asked = len(server.completions)
        again = live(server.api_base, run).succeeded().json
    assert again["resolved"] == 1
    assert len(server.completions) == Done(run).case["steps"] > asked, "nothing recorded was asked again"


@pytest.mark.acceptance
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_is_restarted_in_the_middle_of_a_run_loses_cases_and_no_money(
    how: signal.Signals, tmp_path: Path, engine: Engine
) -> None:
    run = tmp_path / "run"
    every = [word for name in SIX for word in ("--only", name)]
    script = by_step([said("ls"), said("ls", after_s=1.5), said("ls"), said(LEAVES)])
    with second_engine_running() as second, ScriptedServer(script) as server:
        with second.connect() as connected:
            import_image(connected, "tiny:latest", with_testbed(tiny_file_system()))
        words = run_arguments(
            server.api_base, run, *every, "--image", "tiny:latest", "--grade", "none", "--workers", "3", only=""
        )
        words += ["--min-free-mib", "10", "--memory", "256", "--no-breaker"]
        environment = {**os.environ, KEY_VARIABLE: KEY, "DOCKER_HOST": second.address}

        def started() -> subprocess.Popen[str]:
            return subprocess.Popen(
                [str(SCRIPT), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )

        with started() as process:
            until(lambda: len(server.completions) >= 5)
            second.stop(how)
            second.start()
            out, err = process.communicate(timeout=120)
        assert process.returncode == 1, err
        assert "Traceback" not in err
        told = json.loads(out)
        assert told["cases"] == 6
        assert told["infra"] >= 1
        for name in SIX:
            cause = Done(run, name).case["cause"]
            assert cause in (None, Cause.engine, Cause.container, Cause.image), cause
        asked = len(server.completions)
        with started() as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        done = json.loads(out)
    assert (done["cases"], done["infra"], done["cap"]) == (6, 0, 0)
    assert len(server.completions) == 6 * 4 > asked, "no recorded call was made again"
    assert done["spend_usd"] == done["cost_usd"]
