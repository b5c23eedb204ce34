"""Cases on the node of a real Ray cluster: its actor is killed, the run's process is killed, nothing is paid twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker.models.containers import Container

from tests.cluster.ray_head import ENVIRONMENT, OFFERED, RayHead, ray_head_running
from tests.containers.registry import tiny_file_system
from tests.containers.running import loses_connections
from tests.dynamic_track.live import (
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
from twinbench.containers.labels import LEASE_RUN, NAMESPACE, NODE_LEASE, container_namespace

pytestmark = loses_connections

STEPS = [said("ls"), said("ls", after_s=1), said("ls", after_s=1), said(f"echo {SENTINEL}")]
CASES = SIX[:4]


@pytest.fixture(scope="module")
def head(engine: Engine) -> Iterator[RayHead]:
    with ray_head_running() as running:
        yield running


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    name = f"on-a-node-{os.getpid()}:latest"
    import_image(engine, name, with_testbed(tiny_file_system()))
    yield name
    engine.remove_image(name)


def ours(engine: Engine) -> list[Container]:
    """The containers on the engine that this test's processes made."""
    found: list[Container] = engine.client.containers.list(
        all=True, filters={"label": [NODE_LEASE, f"{NAMESPACE}={container_namespace()}"]}, ignore_removed=True
    )
    return found


def start(head: RayHead, server: ScriptedServer, run: Path, image: str, killing: Victims, *more: str) -> int:
    """Start a run whose cases are executed on the cluster, and give its process id."""
    words = run_arguments(server.api_base, run, "--image", image, "--grade", "none", only=CASES[0])
    words += [word for name in CASES[1:] for word in ("--only", name)]
    words += ["--min-free-mib", "10", "--memory", "256", "--executor", "ray", "--ray-address", head.address, *more]
    return killing.start(words, written_to=run.parent, environment=ENVIRONMENT)


def printed(run: Path) -> tuple[str, str]:
    """What it wrote to standard output and error."""
    return (run.parent / "out").read_text("utf-8"), (run.parent / "err").read_text("utf-8")


def test_an_actor_and_then_the_run_itself_are_killed_and_nothing_is_paid_twice(
    tmp_path: Path, engine: Engine, head: RayHead, image: str, killing: Victims
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step(STEPS)) as server:
        process = start(head, server, run, image, killing, "--workers", "2")
        until(lambda: len(ours(engine)) >= 2)
        assert {each.labels[LEASE_RUN] for each in ours(engine)} == {(run / "run-id").read_text().strip()}
        [killed, *_] = [actor for actor in head.actors() if actor.status() != psutil.STATUS_ZOMBIE]
        lost = {str(each.name) for each in ours(engine)}
        killed.kill()
        until(lambda: "is lost: " in printed(run)[1])
        until(lambda: bool({str(each.name) for each in ours(engine)} - lost))  # they go on in new containers
        os.kill(process, signal.SIGKILL)
        assert killing.ended() == -signal.SIGKILL
        _, err = printed(run)
        assert "joined: 2 at once" in err
        began = time.monotonic()
        until(lambda: not [actor for actor in head.actors() if actor.status() != psutil.STATUS_ZOMBIE])
        until(lambda: ours(engine) == [])
        assert time.monotonic() - began < 60  # seconds on a quiet machine
        start(head, server, run, image, killing, "--workers", "2")
        code = killing.ended()
        out, err = printed(run)
        assert code == 0, err
        told: Any = json.loads(out)
        assert (told["cases"], told["infra"], told["cap"]) == (len(CASES), 0, 0)
        assert {Done(run, name).case["steps"] for name in CASES} == {len(STEPS)}
        journal = (run / "journal" / "journal.jsonl").read_text()
        at_reservation = sum('"at_reservation":true' in line.replace(" ", "") for line in journal.splitlines())
        # Only calls that were reserved when the run was killed are repeated; one may not have left the process yet.
        assert 0 <= len(server.completions) - len(CASES) * len(STEPS) <= at_reservation <= 2
    assert ours(engine) == []
    assert "state-dump" not in err
    assert {json.loads(line)["case"] for line in (run / "nodes.jsonl").read_text().splitlines()} == set(CASES)


def test_a_stop_is_obeyed_as_without_ray(
    tmp_path: Path, engine: Engine, head: RayHead, image: str, killing: Victims
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step(STEPS)) as server:
        process = start(head, server, run, image, killing)
        until(lambda: len(ours(engine)) >= 1)
        os.kill(process, signal.SIGTERM)
        code = killing.ended()
        out, err = printed(run)
    assert code in (0, 130, 143), err
    assert "stopping after the calls in flight" in err
    assert json.loads(out)["cases"] < len(CASES)
    assert ours(engine) == []


def test_more_than_the_nodes_offer_is_said_before_anything_is_spent(
    tmp_path: Path, engine: Engine, head: RayHead, image: str, killing: Victims
) -> None:
    run, many = tmp_path / "run", str(OFFERED + 1)
    with ScriptedServer(by_step(STEPS)) as server:
        start(head, server, run, image, killing, "--workers", many, "--node-wait", "2")
        code = killing.ended()
        out, err = printed(run)
        assert server.completions == []
    assert (code, out) == (1, "")
    assert f"docker: {many} of a node" in err
    assert f"offer {OFFERED}" in err
    assert not run.exists()
