"""The executor ``single-turn``: each step of a task is one call, and a check decides whether the task is passed.

Most tasks have one step. A check that replies (``repair``) makes a conversation, whose steps are answered by the
candidates that the assignment names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from static_track.construction.turns.calls import BuildCalls, BuildClock, CandidateSource, Spend
from static_track.construction.turns.evaluating import Answer, Evaluation, ProgramResult
from static_track.construction.turns.programs import Programs
from static_track.construction.turns.settings import ApiAddress, TurnSettings, judge_candidate, read_settings
from static_track.construction.turns.tasks import TurnTask, TurnTasks, read_tasks
from twinbench.calls.attempts import AnsweredAttempt, RetryLimits
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.completion import AssistantMessage
from twinbench.calls.journal import Journal
from twinbench.calls.redaction import Secrets
from twinbench.calls.translation import ConversationMessage, to_conversation_message
from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.construction.execution import (
    Assignment,
    BuildStoppedError,
    ConstructionTask,
    ExecutedStep,
    Execution,
    ExecutorContext,
)
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.engine import Engine
from twinbench.errors import JournalError, TwinbenchError, UsageError
from twinbench.providers.gateway import Gateway
from twinbench.routing.tiers import TIER_LABELS
from twinbench.storage.manifests import LiveCandidate, LiveManifest
from twinbench.unexpected import describe_error

_MOST_PER_TIER = 3
_JUDGE_INSTRUCTIONS_TOKENS = 1000


class CheckFailedError(CausedError):
    """A check crashed or could not decide whether a task is passed."""

    cause = Cause.internal


@dataclass(frozen=True)
class _Judge:
    asked: CandidateSource
    identity: Mapping[str, Any]


@dataclass
class _Tools:
    """What the check of one execution may use (``evaluating.Tools``)."""

    task: TurnTask
    repeat: int
    calls: BuildCalls
    programs: Programs | None
    judge: _Judge | None
    paid: Spend

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The task's own messages."""
        return self.task.row.messages

    def run_program(self, files: Mapping[str, str], command: str, timeout_s: float) -> ProgramResult:
        """Run a command in a container."""
        if self.programs is None:
            raise TypeError("it runs programs, but does not declare needs_containers")
        return self.programs.run(files, command, timeout_s, task=self.task.row.id)

    def ask_judge(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str:
        """Ask the judge."""
        if self.judge is None:
            raise TypeError("it asks a judge, but does not declare needs_judge")
        answered = self.calls.ask(
            self.judge.asked,
            [ConversationMessage(each) for each in messages],
            (),
            schema,
            task=self.task.row.id,
            repeat=self.repeat,
            paid=self.paid,
        )
        return _message(answered).text


@dataclass
class SingleTurnExecutor:
    """Executes the tasks of a file with the candidates of a pool; make it with ``open_single_turn``."""

    pool: LiveManifest
    found: TurnTasks
    asked: Mapping[str, CandidateSource]
    """Where each candidate is called, by candidate id."""
    calls: BuildCalls
    programs: Programs | None
    judge: _Judge | None
    image: str | None
    """Identity of the image in which programs run; None if none do."""
    _by_id: Mapping[str, TurnTask] = field(init=False)

    def __post_init__(self) -> None:
        self._by_id = {each.row.id: each for each in self.found.tasks}

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """The tasks, in the order of their file."""
        return [each.task for each in self.found.tasks]

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """The candidates of each tier, the cheapest first."""
        found: dict[str, list[str]] = {label: [] for label in TIER_LABELS}
        for each in sorted(self.pool.candidates, key=_price):
            found[each.tier].append(each.id)
        return {label: ids[:_MOST_PER_TIER] for label, ids in found.items()}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The settings and versions that labels depend on."""
        return {
            "executor": "single-turn",
            "version": 1,
            "tasks": self.found.fingerprint,
            "pool": self.pool.fingerprint,
            "models": {each.id: each.model for each in self.pool.candidates},
            "evaluators": self.found.evaluators,
            "judge": None if self.judge is None else self.judge.identity,
            "image": self.image,
        }

    @property
    def spent_usd(self) -> Decimal:
        """What was paid so far, including earlier executions of the build."""
        return self.calls.budget.spent_usd

    def worst_case_usd(self, task: str) -> Decimal:
        """Return the most that one execution of a task can cost, if every call is answered at the first attempt."""
        found = self._by_id[task]
        most = max(self._worst_of(found, asked.candidate) for asked in self.asked.values())
        if self.judge is None or not found.evaluator.needs_judge:
            return most
        judge = self.judge.asked.candidate
        shown = [{"role": "user", "content": found.row.model_dump_json()}]
        answer = max(_with_max_tokens(asked.candidate, found).max_tokens for asked in self.asked.values())
        prompt = self.calls.prompt_tokens(judge, shown, ()) + answer + _JUDGE_INSTRUCTIONS_TOKENS
        return most + worst_case_usd(prompt, judge.prices.prices(), judge.max_tokens)

    def _worst_of(self, task: TurnTask, candidate: LiveCandidate) -> Decimal:
        chosen, evaluator = _with_max_tokens(candidate, task), task.evaluator
        prompt = self.calls.prompt_tokens(chosen, task.row.messages, task.tools)
        total = Decimal(0)
        for _ in range(evaluator.max_steps):
            total += worst_case_usd(prompt, chosen.prices.prices(), chosen.max_tokens)
            prompt += chosen.max_tokens + evaluator.max_reply_characters  # a token has at least one character
            prompt = min(prompt, chosen.context_window)
        return total

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Execute a task; recorded answers are used again."""
        found, paid = self._by_id[task], Spend()
        tools = _Tools(found, repeat, self.calls, self.programs, self.judge, paid)
        running = _Execution(found, assignment, repeat, self.asked, self.calls, tools, paid)
        try:
            return running.execute()
        except JournalError as error:
            raise OSError(str(error)) from error


@dataclass
class _Execution:
    """One running execution."""

    task: TurnTask
    assignment: Assignment
    repeat: int
    asked: Mapping[str, CandidateSource]
    calls: BuildCalls
    tools: _Tools
    paid: Spend
    steps: list[ExecutedStep] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def execute(self) -> Execution:
        """Ask, and check the answer, until the check decides."""
        conversation = [ConversationMessage(each) for each in self.task.row.messages]
        try:
            while True:
                self._ask(conversation)
                evaluation = self._evaluate()
                if evaluation.passed is not None:
                    return self._make_execution(evaluation.passed, None, evaluation.reason or None)
                conversation.append(ConversationMessage({"role": "user", "content": evaluation.reply}))
        except CausedError as error:
            passed = False if CAUSES[error.cause].outcome_class is OutcomeClass.unresolved else None
            return self._make_execution(passed, error.cause, str(error))

    def _ask(self, conversation: list[ConversationMessage]) -> None:
        """Get the answer of the next step, and add it to the conversation."""
        number = len(self.steps) + 1
        asked = self.asked[self.assignment.candidate(number)]
        shown = [each.plain for each in conversation]
        answered = self.calls.ask(
            CandidateSource(_with_max_tokens(asked.candidate, self.task), asked.source),
            conversation,
            self.task.tools,
            self.task.row.response_format,
            task=self.task.row.id,
            repeat=self.repeat,
            paid=self.paid,
            switched=bool(self.steps) and self.steps[-1].candidate != asked.candidate.id,
        )
        functions = self.task.row.functions
        self.steps.append(ExecutedStep(shown, functions, asked.candidate.id, answered.usage, answered.cost_usd))
        message = _message(answered)
        self.answers.append(Answer(message.text, message.tool_calls))
        if not self.task.tools:  # no tool was offered, so no tool message follows: strict providers refuse that
            message = message.model_copy(update={"tool_calls": ()})
        conversation.append(to_conversation_message(message, asked.candidate.id, number, shown))

    def _evaluate(self) -> Evaluation:
        """Run the check; an error in a user's check counts as infrastructure, not as the model's failure."""
        kind = self.task.row.check.kind
        try:
            evaluation = self.task.evaluator.evaluate(self.answers, self.tools)
        except (TwinbenchError, OSError, BuildStoppedError):
            raise
        except Exception as error:
            raise CheckFailedError(f"check {kind} failed: {describe_error(error)}") from error
        if evaluation.passed is None and len(self.answers) >= self.task.evaluator.max_steps:
            raise CheckFailedError(f"check {kind} has not decided after max_steps = {self.task.evaluator.max_steps}")
        return evaluation

    def _make_execution(self, passed: bool | None, cause: Cause | None, detail: str | None) -> Execution:
        return Execution(
            task=self.task.row.id,
            assignment=self.assignment,
            repeat=self.repeat,
            passed=passed,
            steps=tuple(self.steps),
            cause=cause,
            detail=detail,
            spend_usd=self.paid.usd,
            paid_calls=self.paid.calls,
        )


@contextmanager
def open_single_turn(settings: Mapping[str, Any], context: ExecutorContext) -> Iterator[SingleTurnExecutor]:
    """Open the executor; registered as ``single-turn``.

    Raises:
        UsageError: a setting is unknown, missing or wrong.
        ContentError: the file of tasks or a manifest is invalid.
        CausedError: a task is checked in containers, but there is no engine or image.
        JournalError: the journal of an earlier execution is damaged, or another process writes it.
    """
    checked, pool = read_settings(settings)
    found = read_tasks(checked.tasks)
    checks = [each.evaluator for each in found.tasks]
    clock = BuildClock(context.is_stopping)
    with ExitStack() as stack:
        bases = {each.id: checked.address_of(each) for each in pool.candidates}
        asked = {
            each.id: CandidateSource(each, _open_gateway(stack, bases[each.id], f"of {each.id}"))
            for each in pool.candidates
        }
        judge = _open_judge(stack, checked, asked) if any(each.needs_judge for each in checks) else None
        programs, image = None, None
        if any(each.needs_containers for each in checks):
            engine = stack.enter_context(Engine.connect())
            ensure_base_image(engine, context.progress)
            programs, image = Programs(engine, clock.raise_if_stopping), engine.image_identity(BASE_IMAGE)
        used = [*bases.values(), *([] if checked.judge is None else [checked.judge])]
        secrets = [secret for base in used for secret in base.secrets]
        journal = stack.enter_context(Journal.open(context.directory / "journal", secrets))
        limits = RetryLimits(attempt_s=checked.call_timeout_s)
        calls = BuildCalls(journal, context.cap_usd, clock, limits, Secrets(secrets))
        yield SingleTurnExecutor(pool, found, asked, calls, programs, judge, image)


def _open_gateway(stack: ExitStack, base: ApiAddress, whose: str) -> Gateway:
    try:
        return stack.enter_context(Gateway(base.api_base, base.api_key_env))
    except UsageError as error:
        raise UsageError(f"[executor], address {whose}: {error}") from None


def _open_judge(stack: ExitStack, settings: TurnSettings, asked: Mapping[str, CandidateSource]) -> _Judge:
    if settings.judge is None:
        raise UsageError(
            "executor.judge is missing: tasks are checked by an LLM judge; give its pool, candidate and api_base"
        )
    candidate, pool = judge_candidate(settings.judge)
    if candidate.id in asked and asked[candidate.id].candidate != candidate:
        raise UsageError(
            f"executor.judge.candidate: {candidate.id} is in both pools with different definitions, but answers are "
            "stored by candidate id: give it another id in one of them"
        )
    identity = {"pool": pool.fingerprint, "candidate": candidate.id, "model": candidate.model}
    return _Judge(CandidateSource(candidate, _open_gateway(stack, settings.judge, "of the judge")), identity)


def _with_max_tokens(candidate: LiveCandidate, task: TurnTask) -> LiveCandidate:
    """Return the candidate with the task's ``max_tokens``, if that is lower."""
    most = task.row.max_tokens
    if most is None or most >= candidate.max_tokens:
        return candidate
    return candidate.model_copy(update={"max_tokens": most})


def _message(answered: AnsweredAttempt) -> AssistantMessage:
    message = answered.result.message
    assert message is not None  # noqa: S101 - judged to be an answer
    return message


def _price(candidate: LiveCandidate) -> tuple[Decimal, str]:
    prices = candidate.prices
    return prices.input + prices.output, candidate.id
