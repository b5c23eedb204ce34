"""The model calls of a build: each distinct call is sent and paid once, however many executions need it.

Responses are kept by ``KeptResponses``, as those of the live track's executions: all executions of a task and a repeat
share a session. In the journal, a task is a case, a repeat is a trial, and a step is a call, answered anew or from the
cache; so attempts in flight when a build was killed count at their reservation, as in a live run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from twinbench.calls.attempts import AnsweredAttempt, Attempts, RetryLimits
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import Request, ResponseSource
from twinbench.calls.journal import Journal
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import Recording, read_recordings
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_cache import ResponseCache
from twinbench.calls.translation import ConversationMessage, build_request_body
from twinbench.calls.trial_log import CallLog, RedactedSource, TrialLog
from twinbench.causes import Cause, CausedError
from twinbench.construction.execution import BuildStoppedError
from twinbench.routing.session import session_key
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveCandidate
from twinbench.text.tokens import find_tokenizer_set

_LOOKS_EVERY_S = 0.5
_OPTION = "--usd"


class DoesNotFitError(CausedError):
    """A prompt does not fit a candidate's context window."""

    cause = Cause.router


@dataclass(frozen=True)
class CandidateSource:
    """A candidate, and where its responses come from."""

    candidate: LiveCandidate
    source: ResponseSource


@dataclass
class Spend:
    """The cost of an execution."""

    usd: Decimal = Decimal(0)
    """Cost of all attempts, including failed ones."""
    calls: int = 0
    """Number of calls that were not answered from the response cache."""


@dataclass
class BuildClock:
    """The machine's time; waiting ends when a stop of the build is requested."""

    is_stopping: Callable[[], bool]

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block until ``seconds`` have passed.

        Raises:
            BuildStoppedError: a stop was requested meanwhile.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.raise_if_stopping()
            time.sleep(min(left, _LOOKS_EVERY_S))
        self.raise_if_stopping()

    def raise_if_stopping(self) -> None:
        """Raise if a stop was requested.

        Raises:
            BuildStoppedError: a stop was requested.
        """
        if self.is_stopping():
            raise BuildStoppedError


@dataclass
class BuildCalls:
    """Makes the calls of a build; thread-safe."""

    journal: Journal
    cap_usd: Decimal | None
    clock: BuildClock
    limits: RetryLimits
    secrets: Secrets
    _answers: ResponseCache = field(default_factory=ResponseCache)
    _logs: dict[tuple[str, int], TrialLog] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._tokenizers = find_tokenizer_set(static_manifest())
        for name, recording in read_recordings(self.journal.entries()).items():
            log = self._logs[name] = TrialLog(recording, self.journal, self.clock)
            log.settle_in_flight()
            self._answers.fill(_session(recording.case, recording.trial - 1), [recording])
        spent = sum((log.recording.spend_usd for log in self._logs.values()), Decimal(0))
        self.budget = Budget(self.cap_usd, spent, option=_OPTION)

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.journal.path

    def ask(
        self,
        asked: CandidateSource,
        conversation: Sequence[ConversationMessage],
        tools: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any] | None,
        *,
        task: str,
        repeat: int,
        paid: Spend,
        switched: bool = False,
    ) -> AnsweredAttempt:
        """Return the answer to a conversation, from the response cache or newly requested.

        Args:
            asked: the candidate to ask, with ``max_tokens`` of the answer.
            conversation: the conversation to send.
            tools: the tools to offer.
            schema: JSON schema that the provider is to enforce; None for none.
            task: the id of the task.
            repeat: the execution's repeat; each repeat has its own answers.
            paid: updated with what is paid, even if the call fails.
            switched: whether another candidate answered the previous call.

        Raises:
            CausedError: every attempt failed, the spending cap is reached, or the prompt does not fit.
            BuildStoppedError: a stop was requested.
            JournalError: the call cannot be recorded.
        """
        self.clock.raise_if_stopping()
        chosen = asked.candidate
        body = build_request_body(chosen, conversation, tools, {})
        if schema is not None:
            answer_format = {"name": "answer", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": answer_format}
        request = Request(body, _session(task, repeat))
        tokens = self.prompt_tokens(chosen, [each.plain for each in conversation], tools)
        if tokens + chosen.max_tokens > chosen.context_window:
            raise DoesNotFitError(
                f"the prompt does not fit {chosen.id}: {tokens:,} tokens plus max_tokens {chosen.max_tokens:,} "
                f"exceed its context window of {chosen.context_window:,}"
            )
        worst = worst_case_usd(tokens, chosen.prices.prices(), chosen.max_tokens)
        log, step = self._next_step(task, repeat)
        source = RedactedSource(asked.source, self.secrets)
        attempts = Attempts(source, self.budget, self.clock, self.limits, self._answers)
        try:
            return attempts.fetch_answer(request, chosen, worst, CallLog(log, step), switched=switched)
        finally:
            made = log.recording.steps[step]
            paid.usd += sum((each.spent_usd for each in made.attempts), Decimal(0))
            if made.answer is not None and not made.answer.is_reused:
                paid.calls += 1

    def prompt_tokens(
        self, candidate: LiveCandidate, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> int:
        """Count the tokens of a prompt with the tokenizer of the candidate's tier."""
        return PromptCounter([candidate], self._tokenizers).make_prompt(messages, tools, 1).tokens[candidate.id]

    def _next_step(self, task: str, repeat: int) -> tuple[TrialLog, int]:
        """Return the log and step number of a task's new call."""
        name = (task, repeat + 1)
        with self._lock:
            log = self._logs.get(name)
            if log is None:
                log = self._logs[name] = TrialLog(Recording(*name), self.journal, self.clock)
            step = max(log.recording.steps, default=0) + 1
            log.recording.steps[step] = log.step(step)  # reserve the number before another thread takes it
            return log, step


def _session(task: str, repeat: int) -> str:
    """Return the session that all executions of a task and a repeat share."""
    return session_key(task, str(repeat))
