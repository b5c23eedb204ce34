"""The search for the labels of one task: seed, hints, one step after the other, the candidates of a tier in turn.

It is a function of what executions come to, and of nothing else: the same executions give the same labels, wherever
and however often it is run, so a search that was killed is simply run again over the executions that were kept.
Source: construction.md, stages 1 to 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from static_track.construction.ladder import Ladder
from static_track.construction.step_rules import StepRule
from twinbench.construction.execution import Assignment, ConstructionTask, Execution
from twinbench.routing.tiers import Tier


class Purpose(StrEnum):
    """What an execution was to show."""

    seed = "seed"
    """That the strongest tier passes at every step."""
    seed_repeat = "seed_repeat"
    """That the seed passes again."""
    downgrade = "downgrade"
    """That a candidate of a lower tier is enough for one step, those before it being as they were locked."""
    labels_repeat = "labels_repeat"
    """That the execution with all labels passes again."""


class Reason(StrEnum):
    """Why a task gets no labels."""

    seed_failed = "seed_failed"
    seed_made_no_call = "seed_made_no_call"
    seed_flaky = "seed_flaky"
    labels_flaky = "labels_flaky"


@dataclass(frozen=True)
class Finding:
    """One execution that the search asked for, and what it concluded from it."""

    purpose: Purpose
    execution: Execution
    accepted: bool
    step: int | None = None
    """Of a downgrade, the step that it was of, from 1."""
    tier: Tier | None = None
    """Of a downgrade, the tier that was tried there."""

    @property
    def refusal(self) -> str | None:
        """Why it was not accepted: ``failed``, or ``steps`` where it passed with too few or too many; else None."""
        if self.accepted:
            return None
        return "steps" if self.execution.passed else "failed"


@dataclass(frozen=True)
class Outcome:
    """What the search found out about a task."""

    task: ConstructionTask
    findings: Sequence[Finding]
    """Every execution that it asked for, in order."""
    hints: Sequence[str] = ()
    """Of each step of the seed; empty where no seed passed."""
    seed: Execution | None = None
    """The execution by the strongest tier alone that passed; None where none did."""
    locked: Execution | None = None
    """The execution whose candidates are the labels, and whose prefixes are the rows; None where there are none."""
    reason: Reason | None = None
    """Why there are no labels."""


@dataclass(frozen=True)
class SearchRules:
    """What decides which downgrades are accepted, and which tasks are left out."""

    step_rule: StepRule
    repeats: int = 0
    """How often seed and labels are executed again, to leave out flaky tasks."""


Execute = Callable[[Assignment, int], Execution]
"""Gives the execution of a task under an assignment, for a repeat; raises where it did not come to a verdict."""


def assignment_of(candidates: Sequence[str], rest: str) -> Assignment:
    """The assignment that has these candidates answer the first steps; equal ones are written in one way only.

    Args:
        candidates: of steps 1, 2, …
        rest: of all later steps.
    """
    first = list(candidates)
    while first and first[-1] == rest:
        first.pop()
    return Assignment(tuple(first), rest)


def search(
    task: ConstructionTask,
    ladder: Ladder,
    rules: SearchRules,
    execute: Execute,
    propose: Callable[[Execution], Sequence[str]],
) -> Outcome:
    """Find the labels of a task.

    Args:
        task: whose steps are to be labelled.
        ladder: the tiers.
        rules: which executions are accepted.
        execute: executes the task. What it raises ends the search, which can be run again.
        propose: gives the hints of a seed.
    """
    return _Search(task, ladder, rules, execute).run(propose)


@dataclass
class _Search:
    task: ConstructionTask
    ladder: Ladder
    rules: SearchRules
    execute: Execute
    findings: list[Finding] = field(default_factory=list)

    def run(self, propose: Callable[[Execution], Sequence[str]]) -> Outcome:
        seed = self._seed()
        if seed is None:
            return Outcome(self.task, self.findings, reason=Reason.seed_failed)
        if not seed.steps:
            return Outcome(self.task, self.findings, seed=seed, reason=Reason.seed_made_no_call)
        if not self._passes_again(seed, Purpose.seed_repeat):
            return Outcome(self.task, self.findings, seed=seed, reason=Reason.seed_flaky)
        hints = tuple(propose(seed))
        locked = self._lock(seed, hints)
        # Where nothing was downgraded, the repeats of the seed have shown it already.
        if locked is not seed and not self._passes_again(locked, Purpose.labels_repeat):
            return Outcome(self.task, self.findings, hints, seed, reason=Reason.labels_flaky)
        return Outcome(self.task, self.findings, hints, seed, locked)

    def _seed(self) -> Execution | None:
        """The first execution by a candidate of the strongest tier alone that passes."""
        for candidate in self.ladder.strongest:
            execution = self.execute(Assignment((), candidate), 0)
            passed = bool(execution.passed)
            self.findings.append(Finding(Purpose.seed, execution, passed))
            if passed:
                return execution
        return None

    def _passes_again(self, execution: Execution, purpose: Purpose) -> bool:
        for repeat in range(1, self.rules.repeats + 1):
            again = self.execute(execution.assignment, repeat)
            passed = bool(again.passed)
            self.findings.append(Finding(purpose, again, passed))
            if not passed:
                return False
        return True

    def _lock(self, seed: Execution, hints: Sequence[str]) -> Execution:
        """Lock one step after the other; returns the last execution that was accepted.

        Each try has all earlier steps as they were locked, so downgrades that pass alone and fail together are never
        both locked: the second is tried with the first in place.
        """
        rest = seed.assignment.rest
        lowest = self.ladder.rungs[0][0].label
        current = seed
        chosen: list[str] = []
        while len(chosen) < len(current.steps):
            step = len(chosen) + 1
            hint = hints[step - 1] if step <= len(hints) else lowest
            accepted = self._downgrade(step, chosen, hint, seed)
            if accepted is None:
                chosen.append(rest)
            else:
                current = accepted
                chosen.append(accepted.assignment.candidate(step))
        return current

    def _downgrade(self, step: int, chosen: Sequence[str], hint: str, seed: Execution) -> Execution | None:
        """The first execution with a lower tier at one step that is accepted; None where none is."""
        rest = seed.assignment.rest
        for tier, candidate in self.ladder.worth_trying(hint):
            execution = self.execute(assignment_of([*chosen, candidate], rest), 0)
            accepted = bool(execution.passed) and self.rules.step_rule.admits(len(seed.steps), len(execution.steps))
            self.findings.append(Finding(Purpose.downgrade, execution, accepted, step, tier))
            if accepted:
                return execution
        return None
