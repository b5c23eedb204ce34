"""A router led through one trajectory of a bank, row by row, as a running agent would ask it."""

from __future__ import annotations

from dataclasses import dataclass

from static_track.banks.bank import PrefixStep, Trajectory
from twinbench.routing.asking import asked, told
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.own_calls import Deciding, NoCalls, OwnCalls
from twinbench.routing.router import Candidate, Choice, Router
from twinbench.routing.session import Session, session_key


@dataclass(frozen=True)
class Asked:
    """What a router answered about a row."""

    choice: Choice | str
    """Or the text of what went wrong."""
    latency_ms: float
    deciding: Deciding
    """What it asked an LLM meanwhile."""


class Walk:
    """A router's way through one trajectory. Its hooks are told as in a live run.

    A hook that fails is told with the next row's decision, or the last one's: a row is where a person would look.
    """

    def __init__(
        self,
        router: Router,
        trajectory: Trajectory,
        candidates: tuple[Candidate, ...],
        *,
        salt: str,
        ttl_steps: int,
        llm: OwnCalls | None = None,
    ) -> None:
        """Take a trajectory; nothing is asked yet.

        Args:
            router: with its optional methods.
            trajectory: whose rows are asked about, in their order.
            candidates: what it picks from.
            salt: what the session key is made with.
            ttl_steps: how many rows a cache lasts.
            llm: the handle that the router was given.
        """
        self._router = router
        self._llm = llm or NoCalls()
        key = session_key(salt, trajectory.workload, trajectory.instance_id)
        self._session = Session(key, candidates, StepTtl(ttl_steps))
        self._begun = False
        self._complaint: str | None = None

    def ask(self, step: PrefixStep) -> Asked:
        """Ask about the next row, and tell the router what came of it."""
        if not self._begun:
            self._begun = True
            self._complaint = told(self._router, "start", self._session.key)
        call = self._session.call(step.prompt)
        with self._llm.deciding(Deciding(self._session.key, call.step_index)) as deciding:
            decided, latency_ms = asked(self._router, call)
        choice = self._complaint or decided
        self._complaint = None
        if not isinstance(choice, Choice):
            self._session.failed()
        elif step.visible_tokens is not None:
            spoken = step.visible_tokens[choice.candidate.tier]
            outcome = self._session.answered(choice.candidate, spoken, step.visible_text)
            self._complaint = told(self._router, "observe", outcome)
        return Asked(choice, latency_ms, deciding)

    def end(self) -> str | None:
        """Tell the router that no row follows; what it complained about, if it did."""
        return told(self._router, "end", self._session.key) if self._begun else None
