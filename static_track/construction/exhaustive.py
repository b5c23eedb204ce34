"""Compare the search's labels with all possible assignments, on tasks small enough to execute them all.

The search tries each step once, from first to last. How far its labels are from the optimum can be measured on tasks
with few steps: every assignment of tiers to steps is executed, and the cheapest that passes is the optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from operator import eq
from typing import Any

from static_track.construction.ladder import Ladder
from static_track.construction.search import Outcome, SearchRules, assignment_of, search
from static_track.construction.step_rules import StepRule, parse_step_rule
from twinbench.construction.execution import Assignment, ConstructionTask, Execution, TaskExecutor
from twinbench.display.frames import Tabular
from twinbench.errors import TwinbenchError, UsageError
from twinbench.routing.tiers import Tier

MOST_STEPS = 4
"""Largest number of steps of a task; with four tiers that takes 256 executions."""
STEP_RULES = ("equal", "within:1", "any")


@dataclass(frozen=True)
class TaskComparison:
    """The labels of one task under one step rule, with the cheapest passing assignment."""

    task: str
    step_rule: str
    labels: Sequence[Tier]
    cheapest: Sequence[Tier]
    """Tiers of the cheapest passing execution, whatever its number of steps; if several tie, the most similar one."""
    labels_usd: Decimal
    cheapest_usd: Decimal
    executions: int
    """How many executions the search needed; the comparison executed all assignments."""

    @property
    def steps_compared(self) -> int:
        """How many steps both have."""
        return min(len(self.labels), len(self.cheapest))

    def count(self, is_so: Callable[[Tier, Tier], bool]) -> int:
        """Count the steps for which ``is_so(label, cheapest tier)`` is true."""
        return sum(is_so(*pair) for pair in zip(self.labels, self.cheapest, strict=False))


@dataclass(frozen=True, repr=False)
class ExhaustiveComparison(Tabular):
    """How often labels equal the cheapest passing assignment, for each step rule."""

    tasks: Sequence[TaskComparison]
    left_out: Sequence[str]
    """Tasks whose seed does not pass, makes no call, or has more steps than are enumerated."""

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each step rule: steps by how their labels compare, shares, and costs."""
        return [self._record(rule) for rule in dict.fromkeys(each.step_rule for each in self.tasks)]

    def _record(self, rule: str) -> dict[str, Any]:
        tasks = [each for each in self.tasks if each.step_rule == rule]
        steps = sum(each.steps_compared for each in tasks)
        equal, higher, lower = (
            sum(each.count(is_so) for each in tasks)
            for is_so in (
                lambda label, cheapest: label == cheapest,
                lambda label, cheapest: label > cheapest,
                lambda label, cheapest: label < cheapest,
            )
        )
        labels_usd = sum((each.labels_usd for each in tasks), Decimal(0))
        cheapest_usd = sum((each.cheapest_usd for each in tasks), Decimal(0))
        return {
            "step_rule": rule,
            "tasks": len(tasks),
            "steps": steps,
            "equal": equal,
            "higher": higher,
            "lower": lower,
            "equal_percent": 100 * equal / steps if steps else None,
            "tasks_as_cheap": sum(each.labels_usd == each.cheapest_usd for each in tasks),
            "labels_usd": float(labels_usd),
            "cheapest_usd": float(cheapest_usd),
            "cost_ratio": float(labels_usd / cheapest_usd) if cheapest_usd else None,
            "executions": sum(each.executions for each in tasks),
        }

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {"step_rules": self.records(), "left_out": list(self.left_out)}


def compare_exhaustively(
    executor: TaskExecutor,
    step_rules: Iterable[str] = STEP_RULES,
    *,
    cascade: int = 1,
    most_steps: int = MOST_STEPS,
) -> ExhaustiveComparison:
    """Search the labels of small tasks under several step rules, and compare them with every assignment.

    Args:
        executor: executes the tasks; each assignment is executed once.
        step_rules: names of step rules.
        cascade: how many candidates of a tier are tried; more candidates mean more assignments.
        most_steps: tasks whose seed has more steps are left out.

    Raises:
        UsageError: a step rule is unknown, or the tiers do not allow a search.
        TwinbenchError: an execution got no verdict.
    """
    ladder = Ladder.of(executor.tiers, cascade)
    rules = [_rule(name) for name in step_rules]
    found: list[TaskComparison] = []
    left_out: list[str] = []
    for task in executor.tasks:
        compared = _compare(task, ladder, rules, _Executed(executor, task), most_steps)
        found += compared
        if not compared:
            left_out.append(task.id)
    return ExhaustiveComparison(found, left_out)


def _rule(name: str) -> StepRule:
    try:
        return parse_step_rule(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


class _Executed:
    """The executions of a task, each executed once."""

    def __init__(self, executor: TaskExecutor, task: ConstructionTask) -> None:
        self._executor = executor
        self._task = task
        self._known: dict[tuple[Assignment, int], Execution] = {}

    def __call__(self, assignment: Assignment, repeat: int) -> Execution:
        if (known := self._known.get((assignment, repeat))) is not None:
            return known
        execution = self._executor.execute(self._task.id, assignment, repeat)
        if execution.passed is None:
            raise TwinbenchError(f"an execution of {self._task.id} got no verdict: {execution.detail}")
        self._known[assignment, repeat] = execution
        return execution

    def all(self) -> Sequence[Execution]:
        """Return all executions so far."""
        return list(self._known.values())


def _compare(
    task: ConstructionTask, ladder: Ladder, rules: Sequence[StepRule], execute: _Executed, most_steps: int
) -> list[TaskComparison]:
    """Return the comparison under each rule; empty if the task is left out."""
    outcomes = [search(task, ladder, SearchRules(rule), execute, lambda _seed: ()) for rule in rules]
    seeds = [outcome.seed for outcome in outcomes if outcome.locked is not None and outcome.seed is not None]
    if not seeds or len(seeds[0].steps) > most_steps:
        return []
    cheapest = _cheapest(ladder, seeds[0], execute)
    return [_compared(rule, outcome, cheapest, ladder) for rule, outcome in zip(rules, outcomes, strict=True)]


def _cheapest(ladder: Ladder, seed: Execution, execute: _Executed) -> list[Execution]:
    """Return the cheapest passing executions among all assignments of the seed's steps and the search's executions.

    Steps beyond the seed's are assigned to the strongest candidate.
    """
    rest = seed.assignment.rest
    candidates = [each for _, of_tier in ladder.rungs[:-1] for each in of_tier] + [rest]
    for first in product(candidates, repeat=len(seed.steps)):
        execute(assignment_of(first, rest), 0)
    passing = [each for each in execute.all() if each.passed]
    least = min(each.cost_usd for each in passing)
    return [each for each in passing if each.cost_usd == least]


def _compared(rule: StepRule, outcome: Outcome, cheapest: Sequence[Execution], ladder: Ladder) -> TaskComparison:
    """Compare labels with the cheapest execution; if several tie, with the one that agrees most."""
    locked = outcome.locked
    assert locked is not None  # noqa: S101 - the same seed passed under every rule
    labels = _tiers(locked, ladder.tier_of)
    tiers = [_tiers(each, ladder.tier_of) for each in cheapest]
    nearest = max(tiers, key=lambda each: (each == labels, sum(map(eq, each, labels)), each))
    return TaskComparison(
        task=outcome.task.id,
        step_rule=rule.name,
        labels=labels,
        cheapest=nearest,
        labels_usd=locked.cost_usd,
        cheapest_usd=cheapest[0].cost_usd,
        executions=len(outcome.findings),
    )


def _tiers(execution: Execution, tier_of: Mapping[str, Tier]) -> tuple[Tier, ...]:
    return tuple(tier_of[step.candidate] for step in execution.steps)
