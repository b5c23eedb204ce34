"""Tasks executed for labels by hand: time per execution, calls paid and reused, and labels under two step rules.

``python -m benchmarks.executions DIR 'rehearsal__slotbook-*' --seeds 2`` drives the agent executor over simulated
models with a greedy search: the seed, then step by step the cheapest tier whose run passes. Another rule, or another
sitting, in the same directory takes what is there.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from dynamic_track.constructing.executor import agent_executor
from twinbench.construction.execution import Assignment, Execution, ExecutorContext, TaskExecutor

Accepts = Callable[[Execution, Execution], bool]
RULES: dict[str, Accepts] = {
    "any": lambda _seed, _mixed: True,
    "equal": lambda seed, mixed: len(seed.steps) == len(mixed.steps),
}
"""Whether a run that passes is accepted, beside the seed's."""


@dataclass
class Driver:
    """Executes, and prints each execution."""

    executor: TaskExecutor
    seconds: list[float] = field(default_factory=list)
    paid: int = 0
    reused: int = 0

    def execute(self, task: str, *first: str) -> Execution:
        """One execution, all steps after some by the strongest candidate."""
        begun = time.monotonic()
        done = self.executor.execute(task, Assignment(first, self.strongest), 0)
        self.seconds.append(time.monotonic() - begun)
        self.paid += done.paid_calls
        self.reused += len(done.steps) - done.paid_calls
        shown = " ".join(self.tier_of[candidate] for candidate in first) or "seed"
        came = done.passed if done.cause is None else done.cause
        calls = f"{len(done.steps)} steps, {done.paid_calls} paid"
        print(f"{task}  {shown}: {came}, {calls}, {done.cost_usd:.4f} USD, {self.seconds[-1]:.2f} s", flush=True)
        return done

    @property
    def tier_of(self) -> dict[str, str]:
        """The tier of each candidate."""
        return {candidate: tier for tier, models in self.executor.tiers.items() for candidate in models}

    @property
    def strongest(self) -> str:
        """The candidate of the seed."""
        return [models[0] for models in self.executor.tiers.values() if models][-1]

    def labels(self, task: str, accepts: Accepts) -> list[str] | None:
        """The tiers of a task's steps; None where its seed does not pass."""
        seed = self.execute(task)
        if not seed.passed:
            return None
        cheaper = [models[0] for models in self.executor.tiers.values() if models][:-1]
        locked: list[str] = []
        steps = len(seed.steps)
        while len(locked) < steps:
            for candidate in cheaper:
                mixed = self.execute(task, *locked, candidate)
                if mixed.passed and accepts(seed, mixed):
                    steps = len(mixed.steps)
                    locked.append(candidate)
                    break
            else:
                locked.append(self.strongest)
        return [self.tier_of[candidate] for candidate in locked[:steps]]


def main() -> None:
    """Drive the executor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("only", nargs="+", help="globs over the rehearsal's tasks")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rule", choices=RULES, default="any")
    parser.add_argument("--in-full", action="store_true", help="run every command of every execution")
    asked = parser.parse_args()
    settings = {"provider": "rehearsal", "only": asked.only, "seeds": asked.seeds}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    context = ExecutorContext(asked.directory, None)
    with agent_executor({**settings, "reuse_observations": not asked.in_full}, context) as executor:
        driver = Driver(executor)
        for task in executor.tasks:
            labels = driver.labels(task.id, RULES[asked.rule])
            print(f"{task.id} ({task.workload}): {'seed fails' if labels is None else ' '.join(labels)}")
            found[task.workload].update(labels or [])
            found["all"].update(labels or [])
        print({workload: dict(counts) for workload, counts in found.items()})
        took = driver.seconds
        print(
            f"{len(took)} executions: {fmean(took):.2f} s on average, median {median(took):.2f}, most {max(took):.2f}"
        )
        print(f"{driver.paid} calls paid, {driver.reused} reused; {executor.spent_usd:.4f} USD")


if __name__ == "__main__":
    main()
