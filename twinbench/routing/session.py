"""The state of one trajectory (cache, spend, output lengths), and the only place where a ``Call`` is made."""

from __future__ import annotations

import hashlib

from twinbench.routing.cache_policy import CachePolicy, Prompt
from twinbench.routing.router import DEFAULT_MEAN_OUTPUT_TOKENS, CacheViews, Call, Candidate, Limits, Outcome
from twinbench.routing.usage import Usage

SESSION_HEADER = "X-Twinbench-Session"
"""The HTTP header with a session's opaque key: on requests to a gateway, so that a host can keep a trial's prompt cache
together, and on requests to a router behind HTTP."""


def session_key(salt: str, *identity: str) -> str:
    """Hash a trajectory's identity to an opaque key: stable under one salt, and revealing nothing about the
    identity.
    """
    return hashlib.sha256("\0".join((salt, *identity)).encode()).hexdigest()[:16]


class Session:
    """Keeps the state of one trajectory and shows a router exactly what it may see.

    A driver (the static track over frozen prefixes, the live track over a running agent) makes a ``open_call`` for each
    prompt and then says that it was ``record_answer`` or ``record_billed_answer``, or that it ``record_failure``.
    """

    def __init__(
        self, key: str, candidates: tuple[Candidate, ...], policy: CachePolicy, limits: Limits | None = None
    ) -> None:
        self.key = key
        self._candidates = candidates
        self._policy = policy
        self._limits = limits or Limits()
        self._spent_usd = 0.0
        self._output_tokens: list[int] = []
        self._open: tuple[Prompt, Call] | None = None

    def open_call(self, prompt: Prompt) -> Call:
        """Open the next call of the trajectory, as the router may see it."""
        views = {candidate.id: self._policy.view(candidate, prompt) for candidate in self._candidates}
        outputs = self._output_tokens
        call = Call(
            messages=prompt.messages,
            tools=prompt.tools,
            step_index=prompt.step_index,
            session=self.key,
            candidates=self._candidates,
            cache=CacheViews(views),
            spent_usd=self._spent_usd,
            limits=self._limits,
            counted_tokens=prompt.tokens,
            mean_output_tokens=sum(outputs) / len(outputs) if outputs else DEFAULT_MEAN_OUTPUT_TOKENS,
        )
        self._open = (prompt, call)
        return call

    def record_answer(self, candidate: Candidate, output_tokens: int, text: str = "") -> Outcome:
        """Record that ``candidate`` answered the open call, with the prompt billed as the cache policy predicts.

        Returns:
            The outcome, for the router's ``observe``.
        """
        _, call = self._require_open_call()
        return self.record_billed_answer(candidate, call.prompt_usage(candidate) + Usage(output=output_tokens), text)

    def record_billed_answer(
        self, candidate: Candidate, usage: Usage, text: str = "", cause: str | None = None
    ) -> Outcome:
        """Record that ``candidate`` answered the open call and was billed for ``usage``.

        Args:
            candidate: the candidate that answered.
            usage: the billed tokens.
            text: the assistant's visible text.
            cause: why the answer is unusable; None if it is usable.

        Returns:
            The outcome, for the router's ``observe``.
        """
        prompt, call = self._require_open_call()
        self._open = None
        outcome = Outcome(
            session=self.key,
            step_index=call.step_index,
            candidate=candidate,
            usage=usage,
            cost_usd=float(usage.cost_usd(candidate.prices)),
            text=text,
            cause=cause,
        )
        self._policy.record_served(candidate, prompt)
        self._spent_usd += outcome.cost_usd
        self._output_tokens.append(usage.output)
        return outcome

    def record_failure(self) -> None:
        """Record that nobody answered the open call."""
        prompt, _ = self._require_open_call()
        self._open = None
        self._policy.record_served(None, prompt)

    def _require_open_call(self) -> tuple[Prompt, Call]:
        if self._open is None:
            raise RuntimeError("no call is open in this session")
        return self._open
