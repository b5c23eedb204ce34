"""Rehearsals on three machines, of which one is lost or joins at ten moments: the same results as with threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from tests.cli.commands import SCRIPT
from tests.cluster.namespaced_nodes import CASES_AT_ONCE, NamespacedNode, nodes_running
from tests.cluster.ray_head import ENVIRONMENT, RayHead
from tests.containers.running import loses_connections
from tests.dynamic_track.live import Done, until
from twinbench.calls.journal import JOURNAL_FILE, read_journal
from twinbench.containers.base_image import BASE_IMAGE
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NODE_LEASE

pytestmark = [*loses_connections, pytest.mark.acceptance]

MACHINES = 3
MOMENTS = 10
ROUTERS = ("always-mid", "round-robin")
TASKS = tuple(f"rehearsal__{name}" for name in ("slotbook-17", "boxsweep-86", "gatelist-31"))
TASKS += tuple(f"rehearsal__{name}" for name in ("tidecache-41", "rowjoin-85", "inkbuffer-29"))

Cluster = tuple[RayHead, list[NamespacedNode]]
Results = Mapping[str, Any]


def words(runs: Path, only: Sequence[str], head: RayHead | None) -> list[str]:
    """The command line of a rehearsal, on the cluster or with threads."""
    found = ["rehearse", *ROUTERS, "--runs", str(runs), "--json", "--resamples", "0"]
    found += [word for task in only for word in ("--only", task)]
    if head is not None:
        found += ["--executor", "ray", "--ray-address", head.address, "--workers", str(CASES_AT_ONCE)]
    return found


def start(runs: Path, only: Sequence[str], head: RayHead | None) -> subprocess.Popen[str]:
    """Start a rehearsal."""
    return subprocess.Popen(
        [str(SCRIPT), *words(runs, only, head)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )


def results(runs: Path) -> Results:
    """What each case of each router came to: decisions, cost, patch and verdict."""
    found: dict[str, Any] = {}
    for plan in sorted(runs.glob("*/seed-*/plan.json")):
        run = plan.parent
        lines = list(read_journal(run / "journal"))
        for folder in sorted(run.glob("cases/*/1")):
            task = folder.parent.name
            own = [(line.kind, line.fields) for line in lines if line.fields.get("case") == task]
            # A grading that was lost with its machine has a line of its own, without a verdict.
            verdict = [fields["resolved"] for kind, fields in own if kind == "verdict"][-1]
            case = Done(run, task).case
            found[f"{run.parent.name} {task}"] = (
                [fields["candidate"] for kind, fields in own if kind == "decision"],
                case["exit_status"],
                case["cost_usd"],
                verdict,
            )
    return found


def spent_beyond(runs: Path) -> Decimal:
    """What was spent on attempts that came to nothing, over all routers: spend less the cases' costs."""
    beyond = Decimal(0)
    for plan in runs.glob("*/seed-*/plan.json"):
        costs = [Decimal(str(Done(plan.parent, task).case["cost_usd"])) for task in TASKS]
        settled = [
            Decimal(str(line.fields["cost_usd"]))
            for line in read_journal(plan.parent / "journal")
            if line.kind == "settle"
        ]
        beyond += sum(settled) - sum(costs)
    return beyond


def check(runs: Path, done: subprocess.Popen[str], expected: Results) -> str:
    """Compare a rehearsal's results with those of threads, and audit it; returns what it wrote to standard error."""
    out, err = done.communicate(timeout=900)
    assert done.returncode == 0, err
    assert sum(each["infra"] for each in json.loads(out)["runs"]) == 0, err
    assert results(runs) == expected
    for plan in runs.glob("*/seed-*/plan.json"):
        audit = subprocess.run(
            [str(SCRIPT), "dynamic", "audit", str(plan.parent), "--json"], capture_output=True, text=True, check=False
        )
        failed = [each for each in json.loads(audit.stdout)["checks"] if each["status"] == "fail"]
        assert failed == [], failed
    assert "state-dump" not in err
    return err


def remove_stopped(node: NamespacedNode) -> None:
    """Remove what a machine has left that went down as a whole, of which nothing may run."""
    with node.connect(120) as engine:
        for container in engine.client.containers.list(all=True, filters={"label": NODE_LEASE}, ignore_removed=True):
            assert container.status != "running"
            container.remove(force=True)


def containers_on(node: NamespacedNode) -> int:
    """How many containers of runs are on a node; -1 if its engine does not answer."""
    try:
        with node.connect(120) as engine:
            return len(engine.client.containers.list(all=True, filters={"label": NODE_LEASE}, ignore_removed=True))
    except (DockerException, OSError):
        return -1


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results with threads, which also build the tasks' images."""
    runs = tmp_path_factory.mktemp("threads")
    _, err = (process := start(runs, TASKS, None)).communicate(timeout=900)
    assert process.returncode == 0, err
    found = results(runs)
    assert len(found) == len(TASKS) * len(ROUTERS)
    assert len({verdict for *_, verdict in found.values()}) == 2, "some are resolved, and some are not"
    return found


@pytest.fixture(scope="module")
def cluster(engine: Engine, expected: Results) -> Iterator[Cluster]:
    """Three machines, which have the images of this machine's engine, as after a first run on them."""
    tags = [tag for image in engine.client.images.list() for tag in image.tags]
    wanted = [BASE_IMAGE, *(tag for tag in tags if any(task.partition("__")[2] in tag for task in TASKS))]
    with nodes_running(MACHINES) as (head, nodes):
        for node in nodes:
            node.connect(120).close()
            with subprocess.Popen(["docker", "save", *wanted], stdout=subprocess.PIPE) as saving:
                load = ["docker", "--host", node.engine_address, "load", "--quiet"]
                subprocess.run(load, stdin=saving.stdout, check=True, capture_output=True)
        yield head, nodes


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, expected: Results, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many lines the journals of a rehearsal have on all three machines, of which none is lost."""
    head, _ = cluster
    runs = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    check(runs, start(runs, TASKS, head), expected)
    print(f"evidence: undisturbed: {time.monotonic() - began:.0f} s, {lines_written(runs)} lines in the journals")
    return lines_written(runs)


def lines_written(runs: Path) -> int:
    """How many lines the journals of all runs have by now."""
    return sum(path.read_bytes().count(b"\n") for path in runs.glob(f"*/seed-*/journal/{JOURNAL_FILE}"))


def reach(runs: Path, lines: float, process: subprocess.Popen[str]) -> float:
    """Wait until the journals have so many lines, or the rehearsal has ended; returns how many seconds that took."""
    began = time.monotonic()
    while lines_written(runs) < lines and process.poll() is None:
        time.sleep(0.1)
    return time.monotonic() - began


class Strike(threading.Thread):
    """Does something to a machine when the journals have so many lines."""

    def __init__(self, runs: Path, lines: float, process: subprocess.Popen[str], do: Callable[[], None]) -> None:
        super().__init__()
        self._when = runs, lines, process
        self._do = do
        self.at_s = -1.0
        """How many seconds after the start it happened; negative if the rehearsal had ended."""
        self.start()

    def run(self) -> None:
        took = reach(*self._when)
        if self._when[2].poll() is None:
            self.at_s = took
            self._do()


def lose_raylet(node: NamespacedNode) -> None:
    node.signal_all("raylet", signal.SIGKILL)


def lose_link(node: NamespacedNode) -> None:
    node.set_link("down")


def hang_engine(node: NamespacedNode) -> None:
    node.signal_all("dockerd", signal.SIGSTOP)


@pytest.mark.disaster
@pytest.mark.parametrize("strike", [lose_raylet, lose_link, hang_engine], ids=["raylet", "link", "engine"])
def test_a_machine_that_is_lost_at_any_moment_changes_no_result(
    strike: Callable[[NamespacedNode], None],
    tmp_path: Path,
    cluster: Cluster,
    expected: Results,
    undisturbed: int,
) -> None:
    head, nodes = cluster
    for number in range(MOMENTS):
        node = nodes[number % MACHINES]
        runs = tmp_path / str(number)
        process = start(runs, TASKS, head)
        began = time.monotonic()
        struck = Strike(runs, undisturbed * (number + 0.5) / MOMENTS, process, partial(strike, node))
        try:
            err = check(runs, process, expected)
        finally:
            took = time.monotonic() - began
            struck.join()
            put_back(node, strike)
        assert struck.at_s >= 0, "it came too late"
        print(
            f"evidence: {strike.__name__} at {100 * (number + 0.5) / MOMENTS:.0f} % of the journals' lines, after "
            f"{struck.at_s:.0f} s: {took:.0f} s, {err.count('is lost')} lost, {spent_beyond(runs):.4f} USD for "
            "attempts that came to nothing"
        )


def put_back(node: NamespacedNode, strike: Callable[[NamespacedNode], None]) -> None:
    """Let a machine that was lost join again, with nothing left on it."""
    node.set_link("up")
    node.signal_all("dockerd", signal.SIGCONT)
    if strike is not lose_raylet:  # a machine that was out of reach removes by itself what ran on it
        until(lambda: containers_on(node) == 0, 120)
    node.stop()
    node.start()
    if strike is lose_raylet:  # its first process ends with Ray, and so all others, the one that removes containers too
        remove_stopped(node)
    until(lambda: containers_on(node) == 0, 120)


@pytest.mark.disaster
def test_a_driver_that_is_killed_at_any_moment_goes_on_to_the_same_results(
    tmp_path: Path, cluster: Cluster, expected: Results, undisturbed: int
) -> None:
    head, nodes = cluster
    for number in range(MOMENTS):
        runs = tmp_path / str(number)
        first = start(runs, TASKS, head)
        took = reach(runs, undisturbed * (number + 0.5) / MOMENTS, first)
        assert first.poll() is None, "it came too late"
        first.kill()
        first.communicate()
        began = time.monotonic()
        check(runs, start(runs, TASKS, head), expected)
        more = time.monotonic() - began
        until(lambda: sum(containers_on(node) for node in nodes) == 0, 60)
        print(
            f"evidence: driver killed at {100 * (number + 0.5) / MOMENTS:.0f} % of the journals' lines, after "
            f"{took:.0f} s: {more:.0f} s more, {spent_beyond(runs):.4f} USD for attempts that came to nothing"
        )


@pytest.mark.disaster
def test_a_machine_that_joins_at_any_moment_changes_no_result(
    tmp_path: Path, cluster: Cluster, expected: Results, undisturbed: int
) -> None:
    head, nodes = cluster
    for number in range(MOMENTS):
        node = nodes[number % MACHINES]
        node.stop()
        runs = tmp_path / str(number)
        process = start(runs, TASKS, head)
        began = time.monotonic()
        joining = Strike(runs, undisturbed * number / MOMENTS, process, node.start)
        err = check(runs, process, expected)
        took = time.monotonic() - began
        joining.join()
        assert joining.at_s >= 0, "it came too late"
        print(
            f"evidence: node started at {100 * number / MOMENTS:.0f} % of the journals' lines, after "
            f"{joining.at_s:.0f} s: {took:.0f} s, {err.count('joined: ')} joined"
        )
        until(lambda node=node: containers_on(node) == 0, 120)  # type: ignore[misc]


def test_all_tasks_come_to_the_same_as_with_threads(tmp_path: Path, cluster: Cluster) -> None:
    head, _ = cluster
    tasks = ["rehearsal__*"]
    _, err = (process := start(tmp_path / "threads", tasks, None)).communicate(timeout=1800)
    assert process.returncode == 0, err
    expected = results(tmp_path / "threads")
    check(tmp_path / "ray", start(tmp_path / "ray", tasks, head), expected)
    print(
        f"evidence: {len(expected)} cases of {len(ROUTERS)} routers: the same decisions, costs and verdicts as threads"
    )
