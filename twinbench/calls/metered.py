"""A router's own LLM calls, each reserved, priced and recorded like a call of the agent.

In the live track a call that is in the recording (by its request key) is answered from it, so that a resume or a replay
never pays twice. An error that ends the case ends it even if the router catches the exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from twinbench.calls.attempts import AnsweredAttempt, Attempts, CallFailedError, RetryLimits, reclassify_recorded_answer
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget, CapError
from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import RecordedRouterCall
from twinbench.calls.response_classification import AttemptResult
from twinbench.calls.translation import PLAIN_FIELDS, ConversationMessage, build_request_body
from twinbench.calls.trial_log import CallLog, TrialLog
from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.routing.clock import Clock, WallClock
from twinbench.routing.llm import LlmError, Reply
from twinbench.routing.router_llm import DecisionContext, Question, RouterLlm
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveCandidate, LiveManifest
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

_FATAL_CAUSES = (Cause.usage, Cause.model)
"""Causes that end the case: the cost is unknown or another model answered, so the case has no bill (dynamic.md,
"Spend").
"""

_NOT_RECORDED = "the router did not make this LLM call when the decision was recorded"


class OwnCallError(CausedError):
    """A router's own LLM call got no answer in any attempt."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass
class JournalledDecision(DecisionContext):
    """A decision of a trial, whose LLM calls are recorded in the journal."""

    log: TrialLog = field(kw_only=True)
    already_decided: bool = field(kw_only=True)
    """Whether the decision is recorded already: the router is called again to restore its state, but pays nothing new.
    """
    used_calls: set[int] = field(default_factory=set)
    """Numbers of the recorded calls whose answers were given to the router."""

    def take_recorded_call(self, key: str) -> tuple[int, RecordedRouterCall]:
        """Return the number of a call within its decision and its recording; each recorded call is returned once."""
        own = self.log.step(self.step).router_calls
        found = (number for number, call in own.items() if number not in self.used_calls and call.request_key == key)
        number = next(found, max([*own, *self.used_calls], default=0) + 1)
        self.used_calls.add(number)
        return number, own.get(number) or RecordedRouterCall()


@dataclass
class MeteredLlm(RouterLlm):
    """The LLM handle of one router, for the candidates of a live pool at their locked prices."""

    pool: LiveManifest
    source: ResponseSource | None
    """Where responses come from; None: only recorded calls are answered."""
    budget: Budget
    clock: Clock = field(default_factory=WallClock)
    limits: RetryLimits = field(default_factory=RetryLimits)

    def __post_init__(self) -> None:
        super().__init__()

    @cached_property
    def _tokenizers(self) -> TokenizerSet:
        return find_tokenizer_set(static_manifest())

    def _answer(self, deciding: DecisionContext, question: Question) -> Reply:
        chosen = self._resolve_candidate(question.candidate)
        request, worst_usd = self._build_request(deciding, chosen, question)
        if isinstance(deciding, JournalledDecision):
            answered = self._answer_from_recording(deciding, chosen, request, worst_usd)
        else:
            answered = self._fetch_answer(deciding, chosen, request, worst_usd, None)
        message = answered.result.message
        assert message is not None  # noqa: S101 - judged to be an answer
        if message.problem is not None:
            raise LlmError(f"{chosen.id} gave an unreadable answer, which was billed: {message.problem}")
        return Reply(message.text, chosen.id, answered.usage, float(answered.cost_usd))

    def _resolve_candidate(self, name: str | None) -> LiveCandidate:
        candidates = self.pool.candidates
        if name is None:
            return min(candidates, key=lambda each: (Tier.from_label(each.tier), not each.tier_default))
        for each in candidates:
            if each.id == name:
                return each
        for each in candidates:
            if each.tier == name and each.tier_default:
                return each
        known = ", ".join(each.id for each in candidates)
        what = "has no candidate of tier" if name in TIER_LABELS else "has no candidate"
        raise LlmError(f"pool {self.pool.name} {what} {name!r:.80}; it has {known}")

    def _build_request(
        self, deciding: DecisionContext, chosen: LiveCandidate, question: Question
    ) -> tuple[Request, Decimal]:
        if question.max_tokens > chosen.max_tokens:
            raise LlmError(f"max_tokens of {chosen.id} is at most {chosen.max_tokens:,}, not {question.max_tokens:,}")
        sent = chosen.model_copy(
            update={
                "max_tokens": question.max_tokens,
                "temperature": None if chosen.temperature is None else question.temperature,
                "cache_control": None,
            }
        )
        plain = [{name: message[name] for name in PLAIN_FIELDS if name in message} for message in question.messages]
        try:
            body = build_request_body(sent, [ConversationMessage(message) for message in plain], (), {})
            request = Request(body, deciding.session)
            prompt = PromptCounter([chosen], self._tokenizers).make_prompt(plain, (), deciding.step)
            assert request.key  # noqa: S101 - computed here, where values that are not JSON are the router's mistake
        except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
            raise LlmError(f"messages cannot be sent: {error}") from None
        tokens = prompt.tokens[chosen.id]
        if tokens + question.max_tokens > chosen.context_window:
            raise LlmError(
                f"the prompt does not fit {chosen.id}: {tokens:,} tokens plus max_tokens {question.max_tokens:,} "
                f"exceed its context window of {chosen.context_window:,}"
            )
        return request, worst_case_usd(tokens, chosen.prices.prices(), question.max_tokens)

    def _answer_from_recording(
        self, deciding: JournalledDecision, chosen: LiveCandidate, request: Request, worst_usd: Decimal
    ) -> AnsweredAttempt:
        """Return the recorded answer, else fetch a new one."""
        log, step = deciding.log, deciding.step
        number, found = deciding.take_recorded_call(request.key)
        if found.answer is not None:
            return reclassify_recorded_answer(found.answer, request, step, chosen, switched=False)
        if found.failure is not None and (deciding.already_decided or log.is_replay):
            raise _record_failure(deciding, OwnCallError(found.failure.cause, found.failure.detail or ""))
        log.refuse_beyond_end(step, "call of the router's own")
        if deciding.already_decided:
            raise LlmError(_NOT_RECORDED)
        call = CallLog(log, step, number)
        return self._fetch_answer(deciding, chosen, request, worst_usd, call, before=len(found.attempts))

    def _fetch_answer(
        self,
        deciding: DecisionContext,
        chosen: LiveCandidate,
        request: Request,
        worst_usd: Decimal,
        log: CallLog | None,
        *,
        before: int = 0,
    ) -> AnsweredAttempt:
        assert self.source is not None  # noqa: S101 - without a source, the recording has refused before

        try:
            attempts = Attempts(self.source, self.budget, self.clock, self.limits)
            return attempts.fetch_answer(
                request, chosen, worst_usd, _SpendingLog(deciding, log), previous_attempts=before
            )
        except CapError as error:
            deciding.failures.append(error)
            deciding.fatal_error = error
            raise LlmError(str(error)) from None
        except CallFailedError as error:
            failed = OwnCallError(error.cause, f"{chosen.id}: {error}")
            if log is not None:
                log.give_up(failed.cause, str(failed))
            raise _record_failure(deciding, failed) from None


@dataclass(frozen=True)
class _SpendingLog:
    """Adds a call's cost to its decision, and records the call if there is a journal."""

    deciding: DecisionContext
    log: CallLog | None

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal, /) -> None:
        """Record that an attempt is about to be sent."""
        if self.log is not None:
            self.log.reserve(attempt, candidate, request, reserved_usd)

    def settle(
        self,
        attempt: int,
        outcome: Response | TransportError,
        judged: AttemptResult,
        cost_usd: Decimal,
        /,
        *,
        at_reservation: bool,
    ) -> None:
        """Record the result of an attempt and add its cost."""
        self.deciding.spent_usd += cost_usd
        if self.log is not None:
            self.log.settle(attempt, outcome, judged, cost_usd, at_reservation=at_reservation)


def _record_failure(deciding: DecisionContext, error: OwnCallError) -> LlmError:
    """Note a failed call in its decision and return the error for the router; refused requests are the router's own
    fault and are not noted as failures.
    """
    if CAUSES[error.cause].outcome_class is OutcomeClass.infra and error.cause is not Cause.request:
        deciding.failures.append(error)
    if error.cause in _FATAL_CAUSES:
        deciding.fatal_error = error
    return LlmError(str(error))
