"""Runs on three machines, of which one is lost on the way: its engine hangs, its link is down, Ray is killed there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from tests.cli.commands import SCRIPT
from tests.cluster.namespaced_nodes import CASES_AT_ONCE, NamespacedNode, nodes_running
from tests.cluster.ray_head import ENVIRONMENT, RayHead
from tests.containers.registry import tiny_file_system
from tests.containers.running import loses_connections
from tests.dynamic_track.live import (
    KEY,
    KEY_VARIABLE,
    SENTINEL,
    SIX,
    Done,
    by_step,
    run_arguments,
    said,
    until,
    with_testbed,
)
from tests.images import import_image
from tests.scripted.server import ScriptedServer
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NODE_LEASE

pytestmark = [*loses_connections, pytest.mark.acceptance]

IMAGE = "lost-machines:latest"
STEPS = [said("ls"), *[said("sleep 1; ls", after_s=1)] * 6, said(f"echo {SENTINEL}")]
MACHINES = 3


@pytest.fixture(scope="module")
def machines(engine: Engine) -> Iterator[tuple[RayHead, dict[NamespacedNode, Engine]]]:
    with nodes_running(MACHINES) as (head, nodes):
        connected = {node: node.connect() for node in nodes}
        import_image(engine, IMAGE, with_testbed(tiny_file_system()))
        content = b"".join(
            engine.client.images.get(IMAGE).save(named=True)
        )  # imported twice, it would be another image
        engine.remove_image(IMAGE)
        for each in connected.values():
            each.client.images.load(content)
        yield head, connected


def at_work(engine: Engine) -> int:
    try:
        return len(engine.client.containers.list(all=True, filters={"label": NODE_LEASE}, ignore_removed=True))
    except (DockerException, OSError):
        return -1


def test_whatever_becomes_of_a_machine_every_case_ends_and_nothing_is_paid_twice(
    tmp_path: Path, machines: tuple[RayHead, dict[NamespacedNode, Engine]]
) -> None:
    """Each disaster takes one machine; the first comes back."""
    head, engines = machines
    first, second, third = engines
    disasters: list[tuple[str, NamespacedNode, Callable[[], object]]] = [
        ("hangs", first, lambda: first.signal_all("dockerd", signal.SIGSTOP)),
        ("link", second, lambda: second.set_link("down")),
        ("raylet", third, lambda: third.signal_all("raylet", signal.SIGKILL)),
    ]
    for name, node, strike in disasters:
        run = tmp_path / name
        with ScriptedServer(by_step(STEPS)) as server:
            words = run_arguments(server.api_base, run, "--image", IMAGE, "--grade", "none", only=SIX[0])
            words += [word for case in SIX[1:] for word in ("--only", case)]
            words += ["--min-free-mib", "10", "--memory", "256", "--executor", "ray", "--ray-address", head.address]
            words += ["--workers", str(CASES_AT_ONCE)]
            with subprocess.Popen(
                [str(SCRIPT), *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **ENVIRONMENT, KEY_VARIABLE: KEY},
            ) as process:
                until(lambda engine=engines[node]: at_work(engine) >= 1, 240)  # type: ignore[misc]
                began = time.monotonic()
                strike()
                out, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
            told: Any = json.loads(out)
            assert (told["cases"], told["infra"], told["cap"]) == (len(SIX), 0, 0), err
            assert {Done(run, case).case["steps"] for case in SIX} == {len(STEPS)}
            assert len(server.completions) == len(SIX) * len(STEPS), "no recorded call was made again"
            assert f"node {node.name} is lost" in err or f"node {node.name} takes no more cases" in err, err
            ran_on = {json.loads(line)["node"] for line in (run / "nodes.jsonl").read_text().splitlines()}
            assert node.name in ran_on
            assert len(ran_on) > 1
            assert "state-dump" not in err
        print(f"{name}: {time.monotonic() - began:.0f} s after it, all had ended; {err.count('is lost')} lost")
        if name == "hangs":
            first.signal_all("dockerd", signal.SIGCONT)
        if name != "link":
            # Without its raylet, ``ray start`` ends, and with it this machine's first process: its engine is gone too.
            until(lambda engine=engines[node]: at_work(engine) <= 0)  # type: ignore[misc]
