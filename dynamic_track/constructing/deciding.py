"""Who decides in an execution: not a router but an assignment of candidates to steps, and it remembers what it saw."""

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
    """What there was to be answered at a step: what every model is shown, with nothing of one provider's own."""

    messages: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]] | None
    """The tools as OpenAI function definitions; None for none."""


@dataclass
class AssignmentDecides:
    """A decider that lets each step be answered by the candidate that is assigned to it."""

    assignment: Assignment
    seen: dict[int, SeenCall] = field(default_factory=dict)
    """The calls by step, from 1; of an execution that was begun again as they were the last time."""

    def decide(self, call: Call, _recorded: Decision | None) -> Decided:
        """The assigned candidate."""
        functions = [tool["function"] for tool in call.tools]
        self.seen[call.step_index] = SeenCall(call.messages, functions or None)
        return Decided(candidate=self.assignment.candidate(call.step_index), error=None, latency_ms=0.0)

    def compare(self, step: int, recorded: Decision | None, decided: Decided) -> None:
        """What is recorded of a step has to be by the same candidate.

        Raises:
            DivergedError: it is not.
        """
        if recorded is not None and recorded.candidate != decided.candidate:
            raise DivergedError(step, "decision", recorded.candidate, decided.candidate)

    def tell(self, _hook: str, _argument: Any) -> str | None:
        """Nobody listens."""
        return None
