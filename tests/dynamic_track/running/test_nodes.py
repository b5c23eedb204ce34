"""Cases spread over machines: each with a Docker engine of its own, one of which is lost on the way."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.containers.registry import tiny_file_system
from tests.containers.running import loses_connections
from tests.containers.second_engine import second_engine_running
from tests.dynamic_track.live import (
    KEY,
    KEY_VARIABLE,
    SENTINEL,
    SIX,
    Done,
    Victims,
    by_step,
    run_arguments,
    said,
    until,
    with_testbed,
)
from tests.images import import_image
from tests.scripted.server import ScriptedServer
from twinbench.containers.engine import Engine
from twinbench.containers.labels import RUN

pytestmark = loses_connections
STEPS = [said("ls"), said("ls", after_s=1), said("ls", after_s=1), said(f"echo {SENTINEL}")]


def at_work(engine: Engine, run: Path) -> int:
    """Containers of a run that an engine has."""
    return len(engine.client.containers.list(filters={"label": f"{RUN}={run.name}"}, ignore_removed=True))


def test_cases_are_spread_over_engines_and_those_of_a_lost_one_go_on_on_the_others(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine, killing: Victims
) -> None:
    run, image = tmp_path / f"spread-{tmp_path.name}", f"spread-{os.getpid()}:latest"
    import_image(engine, image, with_testbed(tiny_file_system()))
    try:
        with second_engine_running() as second, ScriptedServer(by_step(STEPS)) as server:
            there = second.connect()
            there.client.images.load(b"".join(engine.client.images.get(image).save(named=True)))
            words = run_arguments(
                server.api_base, run, "--image", image, "--grade", "none", "--workers", "2", only=SIX[0]
            )
            words += [word for name in SIX[1:] for word in ("--only", name)]
            here = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
            words += ["--engine", here, "--engine", second.address]
            words += ["--min-free-mib", "10", "--memory", "256"]
            seen: Counter[str] = Counter()

            def both_work() -> bool:
                seen["here"], seen["there"] = at_work(engine, run), at_work(there, run)
                return seen["here"] == seen["there"] == 2

            killing.start(words, written_to=tmp_path)
            until(both_work)
            second.stop()
            code, err = killing.ended(), (tmp_path / "err").read_text("utf-8")
            assert code == 0, err
            told: Any = json.loads((tmp_path / "out").read_text("utf-8"))
            assert (told["cases"], told["infra"], told["cap"]) == (6, 0, 0)
            assert len(server.completions) == 6 * len(STEPS), "no recorded call was made again"
        assert told["spend_usd"] == told["cost_usd"]
        assert {Done(run, name).case["steps"] for name in SIX} == {len(STEPS)}
        assert "(6/6)" in err
        assert at_work(engine, run) == 0
    finally:
        engine.remove_image(image)


def test_an_engine_that_does_not_answer_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    words = run_arguments("http://127.0.0.1:9/v1", tmp_path / "run", "--engine", "unix:///nowhere/d.sock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        refused = twinbench(*words)
    assert refused.code == 1
    assert "no Docker engine answers at unix:///nowhere/d.sock" in refused.err
    assert not (tmp_path / "run").exists()
