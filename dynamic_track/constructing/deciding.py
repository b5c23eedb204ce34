"""The decider of an execution: not a router but an assignment of candidates to steps, which records the calls that it
saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinbench.calls.lines import Decided, Decision
from twinbench.calls.recording import DivergedError
from twinbench.construction.execution import Assignment
from twinbench.routing.router import Call


@dataclass(frozen=True)
class SeenCall:
    """The call that was to be answered at a step: what every model is shown, without anything specific to one
    provider.
    """

    messages: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]] | None
    """The tools as OpenAI function definitions; None if there are none."""


@dataclass
class AssignmentDecides:
    """A decider that chooses the candidate that is assigned to each step."""

    assignment: Assignment
    seen: dict[int, SeenCall] = field(default_factory=dict)
    """The calls by step, from 1; if the execution was started again, those of the last start."""

    def decide(self, call: Call, _recorded: Decision | None) -> Decided:
        """Return the assigned candidate."""
        functions = [tool["function"] for tool in call.tools]
        self.seen[call.step_index] = SeenCall(call.messages, functions or None)
        return Decided(candidate=self.assignment.candidate(call.step_index), error=None, latency_ms=0.0)

    def compare(self, step: int, recorded: Decision | None, decided: Decided) -> None:
        """Check that the recorded decision of a step was for the same candidate.

        Raises:
            DivergedError: it was for another candidate.
        """
        if recorded is not None and recorded.candidate != decided.candidate:
            raise DivergedError(step, "decision", recorded.candidate, decided.candidate)

    def tell(self, _hook: str, _argument: Any) -> str | None:
        """Do nothing, since there is no router."""
        return None
