"""Worlds for the search: executors in memory, in which a pass depends on who answers which step, by a rule."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

from twinbench.causes import Cause
from twinbench.construction.execution import Assignment, ConstructionTask, ExecutedStep, Execution
from twinbench.routing.tiers import TIER_LABELS
from twinbench.routing.usage import Usage

Path = tuple[str, ...]
"""Who answered each step so far, by candidate."""

ALL_TIERS: Mapping[str, Sequence[str]] = {label: (label,) for label in TIER_LABELS}
TASK = ConstructionTask("task", "worlds", "task")


def tier_number(candidate: str) -> int:
    """The tier of a candidate that is called after its tier: ``mid``, ``mid-2``."""
    return TIER_LABELS.index(candidate.partition("-")[0])


@dataclass
class World:
    """One or several tasks whose executions are what two rules say; the same assignment always gives the same."""

    passes: Callable[[str, Path, int], bool]
    """Of a task, who answered all steps, and the repeat."""
    ends: Callable[[Path], bool]
    """Whether an execution is over once these have answered."""
    tiers: Mapping[str, Sequence[str]] = field(default_factory=lambda: ALL_TIERS)
    tasks: Sequence[ConstructionTask] = (TASK,)
    lost: Callable[[str, Assignment, int], Cause | None] = lambda *_: None
    asked: list[tuple[str, Assignment, int]] = field(default_factory=list)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"world": 1}

    @property
    def spent_usd(self) -> Decimal:
        return Decimal(0)

    def worst_case_usd(self, task: str) -> Decimal:
        return Decimal(0)

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        self.asked.append((task, assignment, repeat))
        if (cause := self.lost(task, assignment, repeat)) is not None:
            return Execution(task, assignment, repeat, None, (), cause, "as the world wants it")
        path: Path = ()
        while not self.ends(path):
            path = (*path, assignment.candidate(len(path) + 1))
        steps = [_step(task, path[:number], path[number]) for number in range(len(path))]
        return Execution(task, assignment, repeat, self.passes(task, path, repeat), steps)

    def run(self, task: str = TASK.id) -> Callable[[Assignment, int], Execution]:
        """What a search calls for one of the tasks."""
        return lambda assignment, repeat: self.execute(task, assignment, repeat)


def _step(task: str, before: Path, candidate: str) -> ExecutedStep:
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"Solve {task}."}]
    for number, who in enumerate(before, 1):
        messages.append({"role": "assistant", "content": f"{number} as {tier_number(who)} would say it"})
        messages.append({"role": "user", "content": "Go on."})
    cost = Decimal(4) ** tier_number(candidate) / 1000
    return ExecutedStep(tuple(messages), None, candidate, Usage(input=len(messages), output=1), cost)


def of_length(steps: int) -> Callable[[Path], bool]:
    """Executions that all have the same number of steps."""
    return lambda path: len(path) >= steps


def random_world(seed: int, steps: int, *, varies: bool = False, tiers: int = 4) -> World:
    """A world whose rules are drawn: each assignment passes or not, more likely with stronger tiers.

    Args:
        seed: of the draws.
        steps: of the seed.
        varies: whether weak answers may make an execution a step shorter, or up to two steps longer.
        tiers: how many of the tiers have a candidate, the strongest among them.
    """
    labels = TIER_LABELS[-tiers:]
    drawn = random.Random(seed)  # noqa: S311 - draws a world, no secret
    share = drawn.uniform(0.1, 0.9)
    verdicts: dict[Path, bool] = {}
    lengths: dict[Path, int] = {}
    strongest = labels[-1]
    for length in range(1, steps + 3 if varies else steps + 1):
        for path in product(labels, repeat=length):
            weakness = sum(3 - tier_number(each) for each in path) / (3 * length)
            verdicts[path] = all(each == strongest for each in path) or drawn.random() > weakness * share
            lengths[path] = drawn.choices((-1, 0, 1, 2), (1, 3, 1, 1))[0]

    def ends(path: Path) -> bool:
        weak = [number for number, each in enumerate(path) if each != strongest]
        if not varies or not weak:
            return len(path) >= steps
        # Decided by the first weak answer and what comes before it, so that a locked prefix stays what it is.
        wanted = steps + lengths[path[: weak[0] + 1]]
        return len(path) >= max(wanted, weak[0] + 1)

    return World(lambda _task, path, _repeat: verdicts[path], ends, {label: (label,) for label in labels})
