"""The search for the labels of one task: seed, hints, then step by step the candidates of lower tiers.

It depends on the results of executions only: the same executions give the same labels, wherever and however often it is
run. So a search that was killed is simply run again over the recorded executions.
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
    """The purpose of an execution."""

    seed = "seed"
    """The strongest tier alone passes."""
    seed_repeat = "seed_repeat"
    """The seed passes again."""
    downgrade = "downgrade"
    """A candidate of a lower tier suffices for one step, with all earlier steps as locked."""
    labels_repeat = "labels_repeat"
    """The execution with all labels passes again."""


class Reason(StrEnum):
    """Why a task gets no labels."""

    seed_failed = "seed_failed"
    seed_made_no_call = "seed_made_no_call"
    seed_flaky = "seed_flaky"
    labels_flaky = "labels_flaky"


@dataclass(frozen=True)
class Finding:
    """One execution of the search, and what was concluded from it."""

    purpose: Purpose
    execution: Execution
    accepted: bool
    step: int | None = None
    """For a downgrade: the downgraded step, from 1."""
    tier: Tier | None = None
    """For a downgrade: the tier that was tried."""

    @property
    def refusal(self) -> str | None:
        """Why it was not accepted: ``failed``, or ``steps`` if it passed with a wrong number of steps; None if it was
        accepted.
        """
        if self.accepted:
            return None
        return "steps" if self.execution.passed else "failed"


@dataclass(frozen=True)
class SearchOutcome:
    """The result of the search for one task."""

    task: ConstructionTask
    findings: Sequence[Finding]
    """Every execution of the search, in order."""
    hints: Sequence[str] = ()
    """The hint for each step of the seed; empty if no seed passed."""
    seed: Execution | None = None
    """The passing execution by the strongest tier alone; None if none passed."""
    labelled_execution: Execution | None = None
    """The execution whose candidates give the labels and whose prompts give the rows; None if there are no labels."""
    reason: Reason | None = None
    """Why there are no labels."""


@dataclass(frozen=True)
class SearchRules:
    """Rules that decide which downgrades are accepted, and which tasks are left out."""

    step_rule: StepRule
    repeats: int = 0
    """How often seed and labels are executed again, to leave out flaky tasks."""


Execute = Callable[[Assignment, int], Execution]
"""Returns the execution of a task under an assignment, for a repeat; raises if there is no verdict."""


def make_assignment(candidates: Sequence[str], rest: str) -> Assignment:
    """Return the assignment of candidates to steps, in canonical form.

    Args:
        candidates: the candidates of steps 1, 2, …
        rest: the candidate of all later steps.
    """
    first = list(candidates)
    while first and first[-1] == rest:
        first.pop()
    return Assignment(tuple(first), rest)


def search_labels(
    task: ConstructionTask,
    ladder: Ladder,
    rules: SearchRules,
    execute: Execute,
    propose: Callable[[Execution], Sequence[str]],
) -> SearchOutcome:
    """Find the labels of a task.

    Args:
        task: the task whose steps are to be labelled.
        ladder: the tiers.
        rules: the rules for accepting executions.
        execute: executes the task. An exception ends the search, which can be run again.
        propose: returns the hints for a seed.
    """
    return _Search(task, ladder, rules, execute).run(propose)


@dataclass
class _Search:
    task: ConstructionTask
    ladder: Ladder
    rules: SearchRules
    execute: Execute
    findings: list[Finding] = field(default_factory=list)

    def run(self, propose: Callable[[Execution], Sequence[str]]) -> SearchOutcome:
        seed = self._seed()
        if seed is None:
            return SearchOutcome(self.task, self.findings, reason=Reason.seed_failed)
        if not seed.steps:
            return SearchOutcome(self.task, self.findings, seed=seed, reason=Reason.seed_made_no_call)
        if not self._passes_again(seed, Purpose.seed_repeat):
            return SearchOutcome(self.task, self.findings, seed=seed, reason=Reason.seed_flaky)
        hints = tuple(propose(seed))
        locked = self._lock(seed, hints)
        # If nothing was downgraded, the repeats of the seed have shown it already.
        if locked is not seed and not self._passes_again(locked, Purpose.labels_repeat):
            return SearchOutcome(self.task, self.findings, hints, seed, reason=Reason.labels_flaky)
        return SearchOutcome(self.task, self.findings, hints, seed, locked)

    def _seed(self) -> Execution | None:
        """Return the first passing execution by a candidate of the strongest tier alone."""
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
        """Lock one step after the other; return the last accepted execution.

        Each try includes the earlier locked steps, so two downgrades that pass alone but fail together are never both
        locked.
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
        """Return the first accepted execution with a lower tier at one step; None if there is none."""
        rest = seed.assignment.rest
        for tier, candidate in self.ladder.candidates_to_try(hint):
            execution = self.execute(make_assignment([*chosen, candidate], rest), 0)
            accepted = bool(execution.passed) and self.rules.step_rule.admits(len(seed.steps), len(execution.steps))
            self.findings.append(Finding(Purpose.downgrade, execution, accepted, step, tier))
            if accepted:
                return execution
        return None
