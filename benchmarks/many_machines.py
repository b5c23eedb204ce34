"""How long a run takes on so many machines: a simulation, and a measurement that it is held against.

``python -m benchmarks.many_machines`` prints the table of docs/many-machines.md, ``--check`` the measurement beside the
simulation of the same small run.

The model: a case is a container that starts, steps, and a grading. In a step, a model answers after a time, the run's
process works on the step (one step at a time, as Python does), and a command runs on the machine. Cases of a machine
share its cores while it tests; images are pulled once by each machine that needs them.
"""

from __future__ import annotations

import argparse
import heapq
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import quantiles


@dataclass(frozen=True)
class Assumed:
    """What a run consists of; times are in seconds."""

    cases: int = 500
    steps: int = 40
    """Steps of a case, on average."""
    model_s: float = 10.0
    """Until a model has answered, on average."""
    process_s: float = 0.025
    """CPU time of the run's process for a step."""
    command_s: float = 1.0
    start_s: float = 2.0
    """Until a container is ready."""
    tests_s: float = 60.0
    """CPU time of the tests that grade a case."""
    pull_s: float = 40.0
    """Until an image is pulled."""
    machines: int = 4
    at_once: int = 8
    """Cases at once on each machine."""
    cores: int = 8
    """Of each machine."""
    seed: int = 0


@dataclass(frozen=True)
class Simulated:
    """What a run came to."""

    hours: float
    busy: float
    """The share of one core that the run's process uses."""
    late_p99_s: float
    """How long a step waits for the run's process, 99th percentile."""
    idle: float
    """The share of the time in which a place for a case waits for an image."""


def simulate(run: Assumed) -> Simulated:
    """Simulate a run event by event."""
    draw = random.Random(run.seed)  # noqa: S311 - a simulation
    places = [(0.0, machine) for machine in range(run.machines) for _ in range(run.at_once)]
    heapq.heapify(places)
    events: list[tuple[float, int, int, int]] = []
    """When a model has answered, a number, the machine, and the steps that are left."""
    waits: list[float] = []
    free_at = worked = empty = ended_at = 0.0
    number = 0
    left = run.cases

    def begin(at: float, machine: int) -> None:
        nonlocal number, empty
        number += 1
        empty += run.pull_s
        steps = max(1, round(draw.gammavariate(4, run.steps / 4)))
        first = at + run.pull_s + run.start_s + draw.expovariate(1 / run.model_s)
        heapq.heappush(events, (first, number, machine, steps))

    while places and left:
        at, machine = heapq.heappop(places)
        left -= 1
        begin(at, machine)
    while events:
        at, same, machine, steps = heapq.heappop(events)
        begun = max(at, free_at)
        waits.append(begun - at)
        free_at = begun + run.process_s
        worked += run.process_s
        done = free_at + run.command_s
        if steps > 1:
            heapq.heappush(events, (done + draw.expovariate(1 / run.model_s), same, machine, steps - 1))
            continue
        graded = done + run.tests_s * max(1.0, run.at_once / run.cores)
        ended_at = max(ended_at, graded)
        if left:
            left -= 1
            begin(graded, machine)
    late = quantiles(waits, n=100)[-1]
    return Simulated(ended_at / 3600, worked / ended_at, late, empty / (ended_at * run.machines * run.at_once))


def measured(run: Assumed) -> Simulated:
    """The same with threads of this process that wait and compute as the model says; without machines."""
    waits: list[float] = []
    lock = threading.Lock()
    queue = iter(range(run.cases))
    draw = random.Random(run.seed)  # noqa: S311 - a simulation

    def work() -> None:
        while True:
            with lock:
                if next(queue, None) is None:
                    return
                steps = max(1, round(draw.gammavariate(4, run.steps / 4)))
            for _ in range(steps):
                with lock:
                    answered_s = draw.expovariate(1 / run.model_s)
                due = time.monotonic() + answered_s
                time.sleep(answered_s)
                _compute(run.process_s)
                waits.append(time.monotonic() - due - run.process_s)
                time.sleep(run.command_s)
            time.sleep(run.tests_s + run.start_s)

    began, cpu = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=work) for _ in range(run.machines * run.at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - began
    return Simulated(taken / 3600, (time.process_time() - cpu) / taken, quantiles(waits, n=100)[-1], 0.0)


def _compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))


SMALL = Assumed(
    cases=60, steps=10, model_s=1.0, process_s=0.01, command_s=0.1, start_s=0.1, tests_s=0.2, pull_s=0.0, machines=2
)
"""A run that takes a quarter of a minute."""


def table() -> Iterator[str]:
    """The lines of the table in docs/many-machines.md."""
    columns = (
        "machines",
        "cases at once",
        "model answers in",
        "hours",
        "of a core in the run's process",
        "waiting, p99",
    )
    yield f"| {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|"
    for model_s in (10.0, 5.0):
        for machines in (1, 4, 16):
            run = replace(Assumed(), machines=machines, model_s=model_s)
            found = simulate(run)
            at_once = machines * run.at_once
            yield (
                f"| {machines} | {at_once} | {model_s:g} s | {found.hours:.1f} | {found.busy:.0%} | "
                f"{found.late_p99_s * 1000:,.0f} ms |"
            )


def main() -> None:
    """Print the table, or the check."""
    parser = argparse.ArgumentParser("python -m benchmarks.many_machines")
    parser.add_argument("--check", action="store_true", help="a small run, simulated and measured")
    if parser.parse_args().check:
        for name, found in (("simulated", simulate(SMALL)), ("measured", measured(SMALL))):
            print(
                f"{name}: {found.hours * 3600:.1f} s, {found.busy:.0%} of a core, p99 {found.late_p99_s * 1e3:.0f} ms"
            )
        return
    print("\n".join(table()))


if __name__ == "__main__":
    main()
