"""Ask a router about one trajectory of a bank, row by row, as a running agent would."""

from __future__ import annotations

from dataclasses import dataclass

from static_track.banks.bank import PrefixStep, Trajectory
from twinbench.routing.asking import ask_router, call_hook
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.router import Candidate, Choice, Router
from twinbench.routing.router_llm import DecisionContext, NoRouterLlm, RouterLlm
from twinbench.routing.session import Session, session_key


@dataclass(frozen=True)
class RowAnswer:
    """A router's answer about a row."""

    choice: Choice | str
    """The router's choice, or an error message."""
    latency_ms: float
    decision_context: DecisionContext
    """The LLM calls that it made for the decision."""


class TrajectoryWalk:
    """Asks a router about the rows of one trajectory in order, and calls its hooks as in a live run.

    A failed hook becomes the error of the next row, or of the last one, so that users find it.
    """

    def __init__(
        self,
        router: Router,
        trajectory: Trajectory,
        candidates: tuple[Candidate, ...],
        *,
        salt: str,
        ttl_steps: int,
        llm: RouterLlm | None = None,
    ) -> None:
        """Prepare a trajectory; the router is not called yet.

        Args:
            router: the router, with its optional hooks.
            trajectory: the trajectory whose rows the router decides.
            candidates: the candidates that it picks from.
            salt: the salt of the session key.
            ttl_steps: how many steps a cache lasts.
            llm: the LLM handle that the router was given.
        """
        self._router = router
        self._llm = llm or NoRouterLlm()
        key = session_key(salt, trajectory.workload, trajectory.instance_id)
        self._session = Session(key, candidates, StepTtl(ttl_steps))
        self._begun = False
        self._hook_error: str | None = None

    def ask(self, step: PrefixStep) -> RowAnswer:
        """Ask the router for a decision about the next row, and call its ``observe`` with the outcome."""
        if not self._begun:
            self._begun = True
            self._hook_error = call_hook(self._router, "start", self._session.key)
        call = self._session.open_call(step.prompt)
        with self._llm.within_decision(DecisionContext(self._session.key, call.step_index)) as deciding:
            decided, latency_ms = ask_router(self._router, call)
        choice = self._hook_error or decided
        self._hook_error = None
        if not isinstance(choice, Choice):
            self._session.record_failure()
        elif step.visible_tokens is not None:
            spoken = step.visible_tokens[choice.candidate.tier]
            outcome = self._session.record_answer(choice.candidate, spoken, step.visible_text)
            self._hook_error = call_hook(self._router, "observe", outcome)
        return RowAnswer(choice, latency_ms, deciding)

    def end(self) -> str | None:
        """Call the router's ``end`` hook; return its error message if it failed."""
        return call_hook(self._router, "end", self._session.key) if self._begun else None
