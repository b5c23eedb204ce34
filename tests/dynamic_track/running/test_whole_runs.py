"""Runs killed at any moment, sixteen cases at once, five hundred cases: what a long paid run has to stand."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from dynamic_track.rehearsal.replies import TokenCounts
from dynamic_track.tasks.task import Task
from tests.cli.commands import SCRIPT, twinbench
from tests.conftest import SHARED
from tests.containers.running import ours
from tests.dynamic_track.live import KEY, KEY_VARIABLE, SENTINEL, SIX, Victims, by_step, said
from tests.scripted.server import ScriptedServer
from tests.timing import wall_s
from twinbench.calls.journal import read_journal
from twinbench.containers.building import build_image
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NAMESPACE, container_namespace
from twinbench.display.wording import format_count

KILLS = range(20)
CASES = [word for name in (SIX[0], SIX[4], SIX[5]) for word in ("--only", name)]
ROUTERS = ("round-robin", "always-mid_high")
VERIFIED = SHARED / "tasks" / "swebench_verified.jsonl.gz"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Any:
    """The same rehearsal, undisturbed."""
    return rehearsed(tmp_path_factory.mktemp("whole")).json


def words(runs: Path) -> list[str]:
    return ["rehearse", *ROUTERS, *CASES, "--runs", str(runs), "--json"]


def rehearsed(runs: Path) -> Any:
    return twinbench(*words(runs)).succeeded()


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", KILLS)
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    seed: int, tmp_path: Path, whole: Any, killing: Victims, engine: Engine
) -> None:
    luck = random.Random(seed)  # noqa: S311 - when to kill
    kills = 0
    for _ in range(luck.randint(1, 3)):
        pid = killing.start(words(tmp_path))
        time.sleep(luck.uniform(0.3, 6))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            killing.ended()
            break
        killing.ended()
        kills += 1
    ended = rehearsed(tmp_path).json
    twinbench("dynamic", "gc", "--json").succeeded()
    assert ours(engine, "case") == ours(engine, "grade") == []
    same = ("cases", "resolved", "unresolved", "infra", "cap", "cost_usd", "bill_usd", "avg_steps", "models")
    for one, other in zip(whole["runs"], ended["runs"], strict=True):
        assert {name: other[name] for name in same} == {name: one[name] for name in same}
        lost = accounted(Path(other["run"]))
        assert other["spend_usd"] == pytest.approx(one["spend_usd"] + float(lost))
        bill = f"bill {other['bill_usd']:.4f}, spend {other['spend_usd']:.4f} USD, {lost:.4f} of it lost in flight"
        print(f"evidence: seed {seed}, killed {format_count(kills, 'time')}: {other['router']}: {bill}")


def accounted(run: Path) -> Decimal:
    """What was lost in flight; every attempt is settled once, and no answered call was made again."""
    open_: Counter[Any] = Counter()
    answered: Counter[Any] = Counter()
    lost = Decimal(0)
    for entry in read_journal(run / "journal"):
        fields = entry.fields
        if entry.kind not in ("reserve", "settle"):
            continue
        key = (fields["case"], fields["trial"], fields["step"], fields["attempt"])
        if entry.kind == "reserve":
            open_[key] += 1
        else:
            open_[key] -= 1
            if fields["cause"] is None:
                answered[key[:3]] += 1
            if fields["at_reservation"]:
                lost += Decimal(fields["cost_usd"])
    assert set(open_.values()) <= {0}
    assert set(answered.values()) == {1}
    return lost


def peak_mib(api_base: str, run: Path, workers: int) -> float:
    """The most memory that a run's process took."""
    command = [str(SCRIPT), "dynamic", "run", "always-low", "--tasks", "rehearsal", "--only", SIX[4], "--run", str(run)]
    command += ["--api-base", api_base, "--api-key-env", KEY_VARIABLE, "--run-usd", "50", "--json", "--grade", "none"]
    command += ["--trials", "16", "--workers", str(workers)]
    environment = {**os.environ, KEY_VARIABLE: KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        seen = psutil.Process(process.pid)
        most = 0.0
        while process.poll() is None:
            with_children = 0
            try:
                with_children = seen.memory_info().rss
            except psutil.NoSuchProcess:
                break
            most = max(most, with_children / 2**20)
            time.sleep(0.05)
        out, _ = process.communicate()
    assert process.returncode == 0
    told = json.loads(out)
    assert (told["cases"], told["infra"], told["cap"]) == (16, 0, 0)
    return most


@pytest.mark.acceptance
@pytest.mark.alone
def test_sixteen_cases_at_once_lose_no_step_and_take_little_memory(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    steps = 12
    script = by_step(
        [*(said("seq 500", usage=TokenCounts(1000, output=50)) for _ in range(steps - 1)), said(f"echo {SENTINEL}")]
    )
    with ScriptedServer(script) as server:
        alone = peak_mib(server.api_base, tmp_path / "alone", 1)
        many = peak_mib(server.api_base, tmp_path / "many", 16)
        assert len(server.completions) == 2 * 16 * steps
    each = (many - alone) / 15
    told = f"{alone:.0f} MiB with one case at a time, {many:.0f} MiB with sixteen, {each:.1f} MiB a case more"
    print(f"evidence: memory of a run: {told}")
    assert each <= 60


@pytest.mark.acceptance
@pytest.mark.alone
@pytest.mark.skipif(not VERIFIED.exists(), reason="shared/tasks is not here")
def test_five_hundred_cases_take_little_time_and_memory(tmp_path: Path, base_image: str, engine: Engine) -> None:
    image = "twinbench-testbed:latest"
    build_image(engine, image, f"FROM {base_image}\nRUN mkdir /testbed && echo A project. > /testbed/README\n", {})
    steps, workers = 10, 4
    script = by_step(
        [
            *(
                said("ls; cat README* 2>/dev/null | head -5", usage=TokenCounts(1000, output=50))
                for _ in range(steps - 1)
            ),
            said(f"echo {SENTINEL}", usage=TokenCounts(1000, output=5)),
        ]
    )
    run = tmp_path / "run"
    with ScriptedServer(script) as server:
        command = [str(SCRIPT), "dynamic", "run", "round-robin", "--tasks", "verified", "--dataset", str(VERIFIED)]
        command += ["--run", str(run), "--image", image, "--grade", "none", "--workers", str(workers)]
        command += ["--run-usd", "500", "--api-base", server.api_base, "--api-key-env", KEY_VARIABLE, "--json"]
        started, memory = time.monotonic(), []
        with (
            (tmp_path / "err").open("w") as err,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=err, env={**os.environ, KEY_VARIABLE: KEY}, text=True
            ) as process,
        ):
            seen = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    memory.append((time.monotonic() - started, seen.memory_info().rss / 2**20))
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.5)
            out, _ = process.communicate()
        took = time.monotonic() - started
        assert process.returncode == 0
        told = json.loads(out)
        assert (told["cases"], told["infra"], told["cap"]) == (500, 0, 0)
        assert len(server.completions) == 500 * steps
    by_step_s, by_case_s = harness_s(run, steps)
    exec_s, container_s = docker_s(engine, image, workers)
    quarter, end = (
        statistics.fmean(mib for at, mib in memory if low * took < at < high * took)
        for low, high in ((0.2, 0.3), (0.9, 1.0))
    )
    print(
        f"evidence: 500 cases of {steps} steps in {took:.0f} s on 4 workers: "
        f"harness {1000 * by_step_s:.1f} ms a step (median), {by_case_s:.2f} s a case (median), "
        f"where an exec takes {1000 * exec_s:.1f} ms and a container {container_s:.2f} s; "
        f"memory {quarter:.0f} MiB after a quarter, {end:.0f} MiB at the end"
    )
    assert by_step_s <= exec_s, "a step costs no more than one command costs those who start an exec for each"
    assert by_case_s <= 2 * container_s + steps * exec_s
    assert end <= 1.25 * quarter + 30


def docker_s(engine: Engine, image: str, at_once: int) -> tuple[float, float]:
    """What Docker alone takes for as many at once as the run has workers: an exec, and a container with one command."""
    execs: list[float] = []

    def container() -> None:
        made = engine.client.containers.create(
            image, ["sleep", "600"], network_mode="none", labels={NAMESPACE: container_namespace()}
        )
        try:
            made.start()
            execs.extend(wall_s(lambda: made.exec_run(["bash", "-c", "ls; cat README*"])) for _ in range(5))
        finally:
            made.remove(force=True)

    with ThreadPoolExecutor(at_once) as threads:
        whole = list(threads.map(lambda _: wall_s(container), range(5 * at_once)))
    return statistics.median(execs), statistics.median(whole) - 4 * statistics.median(execs)


def harness_s(run: Path, steps: int) -> tuple[float, float]:
    """Time that was neither the model's nor a command's: a step, and a case from its first line to its last."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    others: dict[str, float] = defaultdict(float)
    decided: dict[str, list[float]] = defaultdict(list)
    for entry in read_journal(run / "journal"):
        fields = entry.fields
        if "case" not in fields:
            continue
        case = fields["case"]
        first.setdefault(case, fields["at"])
        last[case] = fields["at"]
        if entry.kind == "settle":
            others[case] += fields["latency_s"] or 0
        elif entry.kind == "observation":
            others[case] += fields["seconds"]
        elif entry.kind == "decision":
            decided[case].append(fields["at"])
    cases = [last[case] - first[case] - others[case] for case in first]
    a_step = [
        (times[-1] - times[0] - others[case] * (steps - 1) / steps) / (len(times) - 1)
        for case, times in decided.items()
    ]
    return statistics.median(a_step), statistics.median(cases)
