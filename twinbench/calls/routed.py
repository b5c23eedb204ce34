"""The pipeline of a routed call: the only way in which an agent's model is called.

Build the call, decide, record the decision, translate the conversation for the chosen model; per attempt reserve and
record, fetch, classify, settle and record; then tell the router the outcome. Who decides and where responses come from
vary, but the pipeline is the same live, resumed and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from twinbench.calls.attempts import AnsweredAttempt, Attempts, RetryLimits, reclassify_recorded_answer
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget
from twinbench.calls.completion import AssistantMessage
from twinbench.calls.exchange import Request, ResponseSource
from twinbench.calls.lines import DecisionLine, DecisionResult
from twinbench.calls.metered import JournalledDecision
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import DivergedError, RecordedStep
from twinbench.calls.response_cache import ResponseCache
from twinbench.calls.translation import ConversationMessage, build_request_body, to_conversation_message
from twinbench.calls.trial_log import CallLog, TrialLog
from twinbench.causes import Cause, CausedError
from twinbench.routing.asking import ask_router, call_hook
from twinbench.routing.clock import Clock
from twinbench.routing.router import Call, Candidate, Choice, Router
from twinbench.routing.router_llm import RouterLlm
from twinbench.routing.session import Session
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate
from twinbench.text.messages import message_text


class RouterFailedError(CausedError):
    """The router gave no decision that can be carried out."""

    cause = Cause.router


@dataclass(frozen=True)
class Answer:
    """A model's answer to a call, with its usage and cost."""

    step: int
    candidate: Candidate
    message: AssistantMessage
    conversation_message: ConversationMessage
    """The message as it is added to the conversation."""
    finish_reason: str | None
    usage: Usage
    cost_usd: Decimal


class Decider(Protocol):
    """Decides which candidate answers a call: the router, the recording, or both compared."""

    def decide(self, call: Call, recorded: DecisionLine | None) -> DecisionResult:
        """Decide which candidate answers a call.

        Args:
            call: the call to be answered.
            recorded: the decision that the journal has for this step, if any.
        """
        ...

    def compare(self, step: int, recorded: DecisionLine | None, decided: DecisionResult) -> None:
        """Compare the final decision with the recorded one; a decision that could not be carried out is an error by
        now.

        Raises:
            DivergedError: the decision has to equal the recorded one, and does not.
        """
        ...

    def call_hook(self, hook: str, argument: Any) -> str | None:
        """Call the router's hook ``start``, ``observe`` or ``end``; return an error message if it failed."""
        ...


class RouterDecider:
    """Takes decisions from the recording for recorded steps, and from the router for new ones.

    The router is called for recorded steps too, which restores its state.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def decide(self, call: Call, recorded: DecisionLine | None) -> DecisionResult:
        """Return the recorded decision if there is one, else the router's."""
        decided = _to_decision_result(*ask_router(self._router, call))
        return decided if recorded is None else recorded

    def compare(self, _step: int, _recorded: DecisionLine | None, _decided: DecisionResult) -> None:
        """Do nothing: a recorded decision is used as it is."""

    def call_hook(self, hook: str, argument: Any) -> str | None:
        """Call the router's hook."""
        return call_hook(self._router, hook, argument)


class RecordingDecider:
    """Takes all decisions from the recording; the router is not called."""

    def decide(self, call: Call, recorded: DecisionLine | None) -> DecisionResult:
        """Return the recorded decision."""
        if recorded is None:
            raise DivergedError(call.step_index, "decision", None, "a call that is not in the recording")
        return recorded

    def compare(self, _step: int, _recorded: DecisionLine | None, _decided: DecisionResult) -> None:
        """Do nothing: the recorded decision is used as it is."""

    def call_hook(self, _hook: str, _argument: Any) -> str | None:
        """Do nothing: there is no router."""
        return None


class ComparingDecider:
    """Takes all decisions from the router, and requires them to equal the recorded ones."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def decide(self, call: Call, _recorded: DecisionLine | None) -> DecisionResult:
        """Return the router's decision."""
        return _to_decision_result(*ask_router(self._router, call))

    def compare(self, step: int, recorded: DecisionLine | None, decided: DecisionResult) -> None:
        """Raise ``DivergedError`` unless the decision equals the recorded one."""
        compared = ("candidate", "error")
        then, now = ({name: getattr(each, name, None) for name in compared} for each in (recorded, decided))
        if then != now:
            raise DivergedError(step, "decision", then, now)

    def call_hook(self, hook: str, argument: Any) -> str | None:
        """Call the router's hook."""
        return call_hook(self._router, hook, argument)


def _to_decision_result(answer: Choice | str, latency_ms: float) -> DecisionResult:
    if isinstance(answer, str):
        return DecisionResult(candidate=None, error=answer, latency_ms=latency_ms)
    return DecisionResult(
        candidate=answer.candidate.id,
        score=answer.score,
        rationale=answer.rationale,
        error=None,
        latency_ms=latency_ms,
    )


class TrialClock:
    """The time of a trial: the recorded time while recorded steps are repeated, then the current time.

    So a router sees the same warm caches in a replay, where no minutes pass between two calls.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.recorded: float | None = None
        """The recorded time; None if the current step is not recorded."""

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now() if self.recorded is None else self.recorded

    def sleep(self, seconds: float) -> None:
        """Block until ``seconds`` have passed on the underlying clock."""
        self._clock.sleep(seconds)


@dataclass
class RoutedCall:
    """Sends every model call of one trial through the pipeline."""

    session: Session
    session_header: str
    decider: Decider
    source: ResponseSource | None
    """The source of responses that are not recorded; None in a replay."""
    trial_log: TrialLog
    budget: Budget
    clock: TrialClock
    """The trial's clock, which the session's cache policy uses too."""
    pool: Mapping[str, LiveCandidate]
    counter: PromptCounter
    tool_options: Mapping[str, Any] = field(default_factory=dict)
    limits: RetryLimits = field(default_factory=RetryLimits)
    response_cache: ResponseCache | None = None
    """Cached responses of earlier executions, used before a request is sent."""
    router_llm: RouterLlm | None = None
    """The handle through which the router may ask an LLM itself."""
    router_lock: AbstractContextManager[Any] = field(default_factory=nullcontext)
    """Lock held while the router is called, so that it is called serially however many cases run."""
    checkpoint: Callable[[], None] = lambda: None
    """Called before each call; raises if no new call may be started."""
    fallback: str | None = None
    """Id of the fallback candidate that answers if the router fails; None: the failure ends the case."""
    answers: list[Answer] = field(default_factory=list)
    """The answers so far."""
    _steps: int = 0
    _hook_error: str | None = None

    def start(self) -> None:
        """Call the router's ``start`` hook."""
        self._hook_error = self._call_hook("start", self.session.key)

    def end(self) -> None:
        """Call the router's ``end`` hook; an error in it has no effect any more."""
        self._call_hook("end", self.session.key)

    def _call_hook(self, hook: str, argument: Any) -> str | None:
        with self.router_lock:
            return self.decider.call_hook(hook, argument)

    def ask(self, conversation: Sequence[ConversationMessage], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """Make the next call of the trial and return the model's answer.

        Raises:
            RouterFailedError: the router gave no decision that can be carried out.
            CallFailedError: every attempt failed.
            CapError: the remaining budget does not allow the call.
            DivergedError: the call differs from the recording.
        """
        self.checkpoint()
        self._steps += 1
        step = self._steps
        recorded = self.trial_log.step(step)
        self.clock.recorded = None if recorded.decision is None else recorded.decision.at
        prompt = self.counter.make_prompt([each.plain for each in conversation], tools, step)
        call = self.session.open_call(prompt)
        candidate = self._decide(call, recorded)
        chosen = self.pool[candidate.id]
        request = Request(build_request_body(chosen, conversation, tools, self.tool_options), self.session_header)
        worst = worst_case_usd(call.prompt_tokens(candidate), candidate.prices, chosen.max_tokens)
        answered = self._answer_from_recording(step, chosen, candidate, request, recorded)
        if answered is None:
            answered = self._fetch_answer(step, chosen, candidate, request, worst, recorded)
        answer = _make_answer(step, candidate, answered, conversation, tools)
        self.answers.append(answer)
        found = recorded.answer
        self.clock.recorded = None if found is None or found.settle is None else found.settle.at
        outcome = self.session.record_billed_answer(
            candidate, answer.usage, message_text(answer.conversation_message.plain)
        )
        self.clock.recorded = None
        self._hook_error = self._call_hook("observe", outcome)
        return answer

    def _decide(self, call: Call, recorded: RecordedStep) -> Candidate:
        if recorded.decision is None:
            self.trial_log.refuse_beyond_end(call.step_index, "decision")
        decided_before = recorded.decision is not None
        deciding = JournalledDecision(
            self.session_header, call.step_index, log=self.trial_log, already_decided=decided_before
        )
        try:
            with (
                self.router_lock,
                nullcontext() if self.router_llm is None else self.router_llm.within_decision(deciding),
            ):
                decided = self.decider.decide(call, recorded.decision)
        except DivergedError as diverged:
            raise deciding.fatal_error or diverged from None
        ended_by = deciding.fatal_error
        if decided.error is not None and recorded.decision is None:
            ended_by = ended_by or deciding.first_infra_failure
        if ended_by is not None:  # not recorded as a decision: a resume asks the router again
            self.session.record_failure()
            raise ended_by
        if self._hook_error is not None and decided is not recorded.decision:
            decided = DecisionResult(candidate=None, error=self._hook_error, latency_ms=decided.latency_ms)
        candidates = {candidate.id: candidate for candidate in call.candidates}
        picked = candidates.get(decided.candidate or "")
        if decided.error is None and picked is not None and not call.fits(picked):
            prompt, most = call.prompt_tokens(picked), picked.context_window
            error = (
                f"the prompt does not fit {picked.id}: {prompt:,} tokens plus max_tokens {picked.max_tokens:,} exceed "
                f"its context window of {most:,}"
            )
            decided = decided.model_copy(update={"error": error})
        if decided.error is not None and self.fallback is not None and call.fits(candidates[self.fallback]):
            picked = candidates[self.fallback]
            instead = {"candidate": picked.id, "error": None, "router_error": decided.error}
            decided = decided.model_copy(update=instead)
        self.decider.compare(call.step_index, recorded.decision, decided)
        if recorded.decision is None:
            counted = dict(call.counted_tokens)
            decision = DecisionLine(
                **self.trial_log.stamp(), step=call.step_index, prompt_tokens=counted, **decided.to_fields()
            )
            self.trial_log.write(decision)
        if decided.error is not None:
            self.session.record_failure()
            raise RouterFailedError(f"step {call.step_index}: {decided.error}")
        if picked is None:
            raise DivergedError(call.step_index, "pool", decided.candidate, sorted(candidates))
        return picked

    def _answer_from_recording(
        self, step: int, chosen: LiveCandidate, candidate: Candidate, request: Request, recorded: RecordedStep
    ) -> AnsweredAttempt | None:
        """Return the recorded answer to this request, if there is one."""
        found = recorded.answer
        if found is None:
            self.trial_log.refuse_beyond_end(step, "response")
            return None
        if found.reserve.request_key != request.key:
            raise DivergedError(step, "request", found.reserve.request_key, request.key)
        return reclassify_recorded_answer(found, request, step, chosen, switched=self._is_switch(candidate))

    def _fetch_answer(
        self,
        step: int,
        chosen: LiveCandidate,
        candidate: Candidate,
        request: Request,
        worst_usd: Decimal,
        recorded: RecordedStep,
    ) -> AnsweredAttempt:
        assert self.source is not None  # noqa: S101 - a replay never comes here
        return Attempts(self.source, self.budget, self.clock, self.limits, self.response_cache).fetch_answer(
            request,
            chosen,
            worst_usd,
            CallLog(self.trial_log, step),
            previous_attempts=len(recorded.attempts),
            switched=self._is_switch(candidate),
        )

    def _is_switch(self, candidate: Candidate) -> bool:
        return bool(self.answers) and self.answers[-1].candidate.id != candidate.id


def _make_answer(
    step: int,
    candidate: Candidate,
    answered: AnsweredAttempt,
    conversation: Sequence[ConversationMessage],
    tools: Sequence[Mapping[str, Any]],
) -> Answer:
    judged = answered.result
    message = judged.message
    assert message is not None  # noqa: S101 - judged to be an answer
    if not tools and message.tool_calls:
        # No tool was offered, so no tool message will follow: strict providers refuse such a conversation.
        message = message.model_copy(update={"tool_calls": ()})
    said = to_conversation_message(message, candidate.id, step, [each.plain for each in conversation])
    return Answer(step, candidate, message, said, judged.finish_reason, answered.usage, answered.cost_usd)
