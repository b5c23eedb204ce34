"""A run in the form that a report shows: trials, steps, commands, and shortened texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynamic_track.results.loading import portable_detail
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_state import RunState, run_state
from dynamic_track.running.saved_run import SavedRun
from dynamic_track.running.trial import TrialOutcome, summarise_trial
from twinbench.calls.lines import payload
from twinbench.calls.recording import RecordedAttempt, RecordedCommand, RecordedStep, Recording
from twinbench.display.html.page import format_number, shorten_middle
from twinbench.display.wording import display_spec, remove_folders
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveManifest
from twinbench.text.messages import message_text


@dataclass(frozen=True)
class ShortenedText:
    """A text, shortened if it is long."""

    text: str
    left_out: int
    """How many characters were left out."""
    characters: int


@dataclass(frozen=True)
class CommandView:
    """A command of the agent and its result."""

    command: ShortenedText
    observation: ShortenedText | None
    """The output; None if there is no observation."""
    returncode: int | None
    said: str
    """A remark on the result, such as that the command took too long."""
    seconds: float | None


@dataclass(frozen=True)
class StepView:
    """A step of a trajectory: a call, and the commands that followed."""

    number: int
    candidate: str | None
    tier: str | None
    switched: bool
    """Whether another candidate answered the previous call."""
    score: float | None
    rationale: str | None
    decision_ms: float | None
    error: str | None
    """Why the router failed, whether or not the fallback candidate answered."""
    usage: Usage | None
    cost_usd: float | None
    latency_s: float | None
    failed_attempts: Sequence[str]
    own_calls: int
    own_usd: float
    answer: ShortenedText | None
    commands: Sequence[CommandView]
    conversation: Sequence[tuple[str, ShortenedText]]
    """In an imported run: roles and texts of the messages up to the next call."""

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return 0 if self.usage is None else self.usage.prompt_tokens

    @property
    def read_share(self) -> float | None:
        """The percentage of the prompt that was read from the model's cache."""
        if self.usage is None or not self.prompt_tokens:
            return None
        return 100 * self.usage.cache_read / self.prompt_tokens


@dataclass(frozen=True)
class TrialView:
    """One trial of a case."""

    case: str
    trial: int
    state: str
    """How it is counted, or its progress."""
    outcome: TrialOutcome | None
    """The trial's outcome; None if it has not ended."""
    detail: str | None
    """More about why it ended."""
    steps: Sequence[StepView]
    patch: ShortenedText | None
    started_over: int

    @property
    def cost_usd(self) -> float:
        """The cost of its answers and of the router's own LLM calls."""
        return sum((step.cost_usd or 0.0) + step.own_usd for step in self.steps)


@dataclass(frozen=True)
class RunView:
    """A run."""

    name: str
    """The run's name, unique within the report."""
    state: RunState
    plan: RunPlan
    trials: Sequence[TrialView]

    @property
    def router(self) -> str:
        """The router's spec, without folders of the machine that it ran on."""
        return display_spec(self.state.router)

    @property
    def repeated(self) -> bool:
        """Whether cases have more than one trial."""
        return any(trial.trial > 1 for trial in self.trials)

    def count(self, state: str) -> int:
        """Count the trials that are in a state or counted as it."""
        return self.state.count(state)


def make_run_view(run: SavedRun, name: str, pool: LiveManifest, most: int | None) -> RunView:
    """Convert a run to the form that a report shows.

    Args:
        run: the run.
        name: its name in the report.
        pool: the pool of its costs.
        most: the largest number of characters of a long text; None: no limit.
    """
    state = run_state(run, pool)
    trials = []
    for each in state.trials:
        recording = run.trials.get((each.case, each.trial)) or Recording(each.case, each.trial)
        end = recording.end
        outcome = None if end is None else summarise_trial(pool, recording)
        trials.append(
            TrialView(
                case=each.case,
                trial=each.trial,
                state=each.state,
                outcome=outcome,
                detail=None if outcome is None else portable_detail(outcome),
                steps=_steps(recording, pool, most),
                patch=None if end is None else _shorten(_text(end.patch), most),
                started_over=len(recording.previous_recordings),
            )
        )
    return RunView(name, state, run.plan, tuple(trials))


def _steps(recording: Recording, pool: LiveManifest, most: int | None) -> list[StepView]:
    tiers = {candidate.id: candidate.tier for candidate in pool.candidates}
    steps: list[StepView] = []
    before: str | None = None
    for place in sorted(recording.steps):
        found = recording.steps[place]
        decision, answer = found.decision, found.answer
        settle = None if answer is None else answer.settle
        candidate = None if decision is None else decision.candidate
        candidate = candidate or (None if answer is None else answer.reserve.candidate)
        own = [each.answer for each in found.router_calls.values()]
        error = None if decision is None else decision.error or decision.router_error
        steps.append(
            StepView(
                number=place,
                candidate=candidate,
                tier=tiers.get(candidate or ""),
                switched=before is not None and candidate is not None and candidate != before,
                score=None if decision is None or isinstance(decision.score, str) else decision.score,
                rationale=None if decision is None else decision.rationale,
                decision_ms=None if decision is None else decision.latency_ms,
                error=error and remove_folders(error),
                usage=None if settle is None else settle.usage,
                cost_usd=None if settle is None else float(settle.cost_usd),
                latency_s=None if settle is None else settle.latency_s,
                failed_attempts=[_failure(each) for each in found.attempts if not each.answered],
                own_calls=len(found.router_calls),
                own_usd=sum(float(each.spent_usd) for each in own if each is not None),
                answer=_answer(answer, found, most),
                commands=[_command(each, most) for each in found.commands],
                conversation=[
                    (str(message.get("role")), _shorten(message_text(message), most))
                    for message in found.conversation or ()
                ],
            )
        )
        before = candidate or before
    return steps


def _answer(answer: RecordedAttempt | None, step: RecordedStep, most: int | None) -> ShortenedText | None:
    """Return a model's text beside its commands; None if it is unknown, or part of the conversation."""
    if answer is None or answer.settle is None or step.conversation:
        return None
    completion, response = answer.completion, answer.settle.response
    if completion is None or completion.message.problem is not None:
        return None if response is None else _shorten(_text(response), most)
    return _shorten(completion.message.text, most) if completion.message.text else None


def _failure(attempt: RecordedAttempt) -> str:
    if attempt.settle is None:
        return "no response yet"
    settle = attempt.settle
    status = "" if settle.status is None else f" ({settle.status})"
    return f"{settle.cause}{status}: {settle.detail or ''}; {format_number(float(settle.cost_usd), 4)} USD"


def _command(command: RecordedCommand, most: int | None) -> CommandView:
    told = command.observation
    return CommandView(
        command=_shorten(command.command, most),
        observation=None if told is None else _shorten(_text(told.output), most),
        returncode=None if told is None else told.returncode,
        said="" if told is None else told.exception_info,
        seconds=None if told is None else told.seconds,
    )


def _text(packed: str | bytes) -> str:
    """Unpack a text; return it packed if it is damaged."""
    try:
        return payload(packed).decode("utf-8", "replace")
    except JournalError:
        return str(packed)


def _shorten(text: str, most: int | None) -> ShortenedText:
    shown, left_out = (text, 0) if most is None else shorten_middle(text, most)
    return ShortenedText(shown, left_out, len(text))
