"""The decider of an execution: not a router but an assignment of candidates to steps, which records the calls that it
saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinbench.calls.lines import DecisionLine, DecisionResult
from twinbench.calls.recording import DivergedError
from twinbench.construction.execution import Assignment
from twinbench.routing.router import Call


@dataclass(frozen=True)
class StepCall:
    """The call that was to be answered at a step: what every model is shown, without anything specific to one
    provider.
    """

    messages: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]] | None
    """The tools as OpenAI function definitions; None if there are none."""


@dataclass
class AssignmentDecider:
    """A decider that chooses the candidate that is assigned to each step."""

    assignment: Assignment
    calls: dict[int, StepCall] = field(default_factory=dict)
    """The calls by step, from 1; if the execution was started again, those of the last start."""

    def decide(self, call: Call, _recorded: DecisionLine | None) -> DecisionResult:
        """Return the assigned candidate."""
        functions = [tool["function"] for tool in call.tools]
        self.calls[call.step_index] = StepCall(call.messages, functions or None)
        return DecisionResult(candidate=self.assignment.candidate(call.step_index), error=None, latency_ms=0.0)

    def compare(self, step: int, recorded: DecisionLine | None, decided: DecisionResult) -> None:
        """Check that the recorded decision of a step was for the same candidate.

        Raises:
            DivergedError: it was for another candidate.
        """
        if recorded is not None and recorded.candidate != decided.candidate:
            raise DivergedError(step, "decision", recorded.candidate, decided.candidate)

    def call_hook(self, _hook: str, _argument: Any) -> str | None:
        """Do nothing, since there is no router."""
        return None
