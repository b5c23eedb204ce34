"""A run as a log of inspect_ai: for ``inspect view``, its data frames, and whatever else reads such logs.

A log is of a run. A sample is a case and an epoch of it a trial; its score is our verdict, and where infrastructure or
the cap ended the trial it has an error and no score. A model event is a step's call with the conversation that it was
made in; retries are in its metadata. A tool event is a command.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamic_track.exporting.conversation import (
    Message,
    answered_message,
    conversation,
    finish_reason,
    output_of,
    text_of,
    tool_calls,
)
from dynamic_track.exporting.jsonl import spent_usd
from dynamic_track.results.loaded import SIMULATED, LoadedRun
from dynamic_track.running.trial import Trial
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.journal import unpacked
from twinbench.calls.recording import RecordedAttempt, RecordedCommand, RecordedStep, Recording
from twinbench.causes import CAUSES, Counts
from twinbench.display.progress import Progress
from twinbench.errors import TwinbenchError
from twinbench.routing.usage import Usage

if TYPE_CHECKING:
    from inspect_ai.event import Event
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage

SUFFIX = ".eval"
"""By which inspect_ai knows a log; as JSON, a log is ten times as large, and only listed under a name with its time."""

SCORER = "resolved"
_TOOL = "bash"
_REASONS: Mapping[str, Any] = {"stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls"}


def write_inspect_log(run: LoadedRun, path: Path, progress: Progress | None = None) -> None:
    """Write a run as a log of inspect_ai.

    Args:
        run: loaded.
        path: the file, of any name; inspect_ai finds those that end in ``SUFFIX``.
        progress: told how many trials are done.

    Raises:
        TwinbenchError: inspect_ai is not installed.
        OSError: it cannot be written.
    """
    _require()
    from inspect_ai.log import write_eval_log

    log = inspect_log(run, progress)
    path.touch()  # fails where nothing can be written; inspect_ai would make folders that are missing
    write_eval_log(log, str(path.absolute()), format="eval")


def inspect_log(run: LoadedRun, progress: Progress | None = None) -> EvalLog:
    """A run as inspect_ai's own object.

    Args:
        run: loaded.
        progress: told how many trials are done.

    Raises:
        TwinbenchError: inspect_ai is not installed, or no trial has ended.
    """
    _require()
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalPlan, EvalPlanStep, EvalSpec, EvalStats

    if not run.trials:
        raise TwinbenchError(f"no trial of {run.path} has ended")
    identity = run.plan["identity"]
    agent = identity["agent"]
    scaffold = str(agent.get("scaffold", "agent"))
    cases = list(dict.fromkeys(trial.id for trial in run.trials))
    spans = [_times(recording) for recording in run.recorded]
    begun, ended = _moment(min(span[0] for span in spans)), _moment(max(span[1] for span in spans))
    samples = []
    for recording, trial in zip(run.recorded, run.trials, strict=True):
        samples.append(_sample(run, recording, trial))
        if progress is not None:
            progress("exporting, trials", len(samples), len(run.trials))
    tags = ["twinbench", *(["rehearsal"] if run.simulated else [])]
    tasks = str(run.plan["where"]["tasks"])
    packages = {"twinbench": version("twinbench")}
    if "version" in agent:
        packages[scaffold] = str(agent["version"])
    spec = EvalSpec(
        eval_id=run.fingerprint[:22],
        run_id=run.fingerprint[:22],
        task_id=run.same_but_router[:22],
        created=begun.isoformat(),
        task=f"{tasks} (simulated models)" if run.simulated else tasks,
        task_description=SIMULATED if run.simulated else None,
        solver=scaffold,
        tags=tags,
        dataset=EvalDataset(name=tasks, samples=len(cases), sample_ids=list(cases), shuffled=False),
        model=f"twinbench/{run.router}",
        config=EvalConfig(epochs=max(trial.trial for trial in run.trials)),
        packages=packages,
        metadata=_about(run),
    )
    totals = _usages(run.recorded)
    return EvalLog(
        status="success",
        eval=spec,
        plan=EvalPlan(name=scaffold, steps=[EvalPlanStep(solver=scaffold, params=dict(agent))]),
        results=_results(run),
        stats=EvalStats(started_at=begun.isoformat(), completed_at=ended.isoformat(), model_usage=totals),
        tags=tags,
        metadata=_about(run),
        samples=samples,
    )


def _require() -> None:
    """Say what to install where inspect_ai is missing."""
    try:
        import inspect_ai.event
        import inspect_ai.log  # noqa: F401
    except ImportError as error:
        raise TwinbenchError(
            f"inspect_ai cannot be imported ({error}): logs for it need pip install 'twinbench[inspect]'"
        ) from None


def _about(run: LoadedRun) -> dict[str, Any]:
    """What a log says of the run as a whole; the money is that of ``dynamic score``."""
    score = run.score.to_json()
    models = score.pop("models")
    about = {
        "simulated": run.simulated,
        "rehearsal": SIMULATED if run.simulated else None,
        "time": "virtual" if run.simulated else "wall",
        "run": str(run.path),
        "router": run.router,
        "fingerprint": run.fingerprint,
        "pool": run.pool.name,
        "pool_fingerprint": run.pool.fingerprint,
        "division": run.pool.division,
        "seed": run.plan["identity"]["seed"],
        **score,
        "calls": models,
        "unended": run.unended,
    }
    return dict(replace_surrogates(about))


def _results(run: LoadedRun) -> Any:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    score = run.score
    resolved, decided = score.count("resolved"), score.count("resolved") + score.count("unresolved")
    numbers: dict[str, float] = {} if not decided else {"accuracy": resolved / decided}
    numbers |= {
        "bill_usd": float(score.bill_usd),
        "cost_usd": float(score.cost_usd),
        "spend_usd": float(score.spend_usd),
        "penalty_usd": float(score.penalty_usd),
    }
    metrics = {name: EvalMetric(name=name, value=value) for name, value in numbers.items()}
    return EvalResults(
        total_samples=len(run.trials),
        completed_samples=decided,
        scores=[
            EvalScore(
                name=SCORER,
                scorer=SCORER,
                scored_samples=decided,
                unscored_samples=len(run.trials) - decided,
                metrics=metrics,
            )
        ],
    )


def _sample(run: LoadedRun, recording: Recording, trial: Trial) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.scorer import Score

    maker = _Events(run, recording)
    said = maker.messages
    first = min(maker.said.answers.values(), default=len(said))
    events = maker.events()
    begun, ended = _times(recording)
    handling = None if trial.cause is None else CAUSES[trial.cause]
    error = None
    if handling is not None and handling.counts is not Counts.unresolved:
        told = f"{trial.counts}: {trial.cause}, {handling.meaning}" + (f" ({trial.detail})" if trial.detail else "")
        error = EvalError(message=replace_surrogates(told), traceback="", traceback_ansi="")
    scores = None
    if error is None and trial.resolved is not None:
        why = "the tests decided" if handling is None else f"{trial.cause}: {handling.meaning}"
        scores = {
            SCORER: Score(
                value="C" if trial.resolved else "I",
                answer=replace_surrogates(_patch(recording)),
                explanation=replace_surrogates(why + (f" ({trial.detail})" if trial.detail else "")),
            )
        }
    content = trial.to_json()
    usage = content.pop("usage")
    del content["id"], content["trial"]
    calls = content.pop("models")
    metadata = {
        "simulated": run.simulated,
        "router": run.router,
        "counts": trial.counts,
        **content,
        **usage,
        "calls": calls,
        "conversation": maker.said.source,
    }
    return EvalSample(
        id=trial.id,
        epoch=trial.trial,
        input=list(said[:first]),
        target="",
        messages=list(said),
        output=maker.last,
        scores=scores,
        metadata=replace_surrogates(metadata),
        events=[*events, *maker.ends(scores, error, ended)],
        model_usage=_usages([recording]),
        started_at=_moment(begun).isoformat(),
        completed_at=_moment(ended).isoformat(),
        total_time=round(ended - begun, 6),
        working_time=round(ended - begun, 6),
        uuid=maker.id("sample"),
        error=error,
        turn_count=trial.steps,
    )


class _Events:
    """Makes the messages and events of a trial."""

    def __init__(self, run: LoadedRun, recording: Recording) -> None:
        from inspect_ai.model import ModelOutput

        self._run = run
        self._recording = recording
        self._candidates = {candidate.id: candidate for candidate in run.pool.candidates}
        self._begun, self._ended = _times(recording)
        self.said = conversation(run, recording)
        self.messages: Sequence[ChatMessage] = [
            self._message(message, f"message {place}") for place, message in enumerate(self.said.messages)
        ]
        self.last: ModelOutput = ModelOutput()

    def id(self, *parts: str) -> str:
        """The same whenever the same run is exported."""
        names = (self._run.fingerprint, self._recording.case, str(self._recording.trial), *parts)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:22]

    def events(self) -> list[Event]:
        """Of each step a span: the decision, the call, the commands."""
        from inspect_ai.event import InfoEvent, SpanBeginEvent, SpanEndEvent

        found: list[Event] = []
        now = self._begun
        for number in sorted(self._recording.steps):
            step = self._recording.steps[number]
            span = self.id(f"step {number}")
            decided = _at(step.decision, now)
            found.append(
                SpanBeginEvent(
                    id=span, name=f"step {number}", uuid=self.id(span, "begin"), span_id=span, **self._when(decided)
                )
            )
            if step.decision is not None:
                names = ("candidate", "score", "rationale", "latency_ms", "error", "router_error", "prompt_tokens")
                told = {name: step.decision.get(name) for name in names}
                told["own_calls"] = [_attempt(attempt) for call in step.own.values() for attempt in call.attempts]
                found.append(
                    InfoEvent(
                        source="router",
                        data=replace_surrogates(told),
                        uuid=self.id(span, "decision"),
                        span_id=span,
                        **self._when(decided),
                    )
                )
            if step.attempts:
                found.append(self._model_event(number, step, span))
                now = max(now, _settled(step.attempts[-1]))
            calls = [] if step.answer is None else tool_calls(answered_message(step.answer))
            for index, command in enumerate(step.commands):
                call = str(calls[index].get("id")) if index < len(calls) else f"step-{number}-command-{index}"
                now = _at(command.observation, now)
                found.append(self._tool_event(call, command, span, now, self.id(span, f"command {index}")))
            found.append(SpanEndEvent(id=span, uuid=self.id(span, "end"), span_id=span, **self._when(now)))
        return found

    def ends(self, scores: Mapping[str, Any] | None, error: Any, ended: float) -> list[Event]:
        """The event of the score, or of the error."""
        from inspect_ai.event import ErrorEvent, ScoreEvent

        if error is not None:
            return [ErrorEvent(error=error, uuid=self.id("error"), **self._when(ended))]
        found = (scores or {}).items()
        return [
            ScoreEvent(score=score, scorer=name, uuid=self.id("score", name), **self._when(ended))
            for name, score in found
        ]

    def _model_event(self, number: int, step: RecordedStep, span: str) -> Event:
        from inspect_ai.event import ModelEvent
        from inspect_ai.model import GenerateConfig, ModelOutput

        answer = step.answer
        asked = step.attempts[-1] if answer is None else answer
        name = str(asked.reserve["candidate"])
        candidate = self._candidates[name]
        settle: Mapping[str, Any] = asked.settle or {}
        decision = step.decision or {}
        output = ModelOutput(model=name)
        if answer is not None:
            self.last = output = self._output(number, answer, name)
        metadata = {
            "step": number,
            "candidate": name,
            "tier": str(candidate.tier),
            **(settle.get("usage") or {}),
            "cost_usd": float(spent_usd(asked)),
            "step_spend_usd": float(sum(map(spent_usd, step.attempts))),
            "served_model": settle.get("served_model"),
            "cause": settle.get("cause"),
            "decision_ms": decision.get("latency_ms"),
            "attempts": [_attempt(attempt) for attempt in step.attempts],
        }
        started = _at(step.attempts[0].reserve, self._begun)
        return ModelEvent(
            model=name,
            input=list(self.messages[: self.said.answers[number]]),
            tools=[],
            tool_choice="auto",
            config=GenerateConfig(max_tokens=candidate.max_tokens, temperature=candidate.temperature),
            output=output,
            retries=len(step.attempts) - 1 or None,
            error=None if answer is not None else replace_surrogates(f"{settle.get('cause')}: {settle.get('detail')}"),
            completed=_moment(_settled(asked)),
            working_time=settle.get("latency_s"),
            metadata=replace_surrogates(metadata),
            uuid=self.id(span, "call"),
            span_id=span,
            **self._when(started),
        )

    def _output(self, number: int, answer: RecordedAttempt, name: str) -> ModelOutput:
        from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

        settle: Mapping[str, Any] = answer.settle or {}
        place = self.said.answers[number]
        stands = place < len(self.messages) and self.said.messages[place].get("role") == "assistant"
        key = f"message {place}" if stands else f"answer {number}"  # one that did not parse is in no conversation
        message = self._message({**answered_message(answer), "role": "assistant"}, key)
        assert isinstance(message, ChatMessageAssistant)  # noqa: S101 - its role says so
        message.model = name
        reason = _REASONS.get(finish_reason(answer) or "", "unknown")
        return ModelOutput(
            model=name,
            choices=[ChatCompletionChoice(message=message, stop_reason=reason)],
            usage=_usage(Usage(**settle["usage"]), float(settle["cost_usd"])),
            time=settle.get("latency_s"),
        )

    def _tool_event(self, call: str, command: RecordedCommand, span: str, at: float, uuid: str) -> Event:
        from inspect_ai.event import ToolEvent
        from inspect_ai.tool import ToolCallError

        observation: Mapping[str, Any] = command.observation or {}
        ended = str(observation.get("ended", "unknown"))
        error = None
        if ended != "exited":
            said = str(observation.get("exception_info") or "nothing is recorded of it")
            error = ToolCallError("timeout" if ended == "timeout" else "unknown", replace_surrogates(said))
        seconds = observation.get("seconds")
        begun = at if self._run.simulated else at - float(seconds or 0)
        return ToolEvent(
            id=call,
            function=_TOOL,
            arguments={"command": replace_surrogates(command.command)},
            result=replace_surrogates(output_of(command)),
            error=error,
            completed=_moment(at),
            working_time=seconds,
            metadata={"returncode": observation.get("returncode"), "ended": ended},
            uuid=uuid,
            span_id=span,
            **self._when(begun),
        )

    def _message(self, message: Message, key: str) -> ChatMessage:
        from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
        from inspect_ai.tool import ToolCall

        content, role, id_ = text_of(message.get("content")), message.get("role"), self.id(key)
        if role == "system":
            return ChatMessageSystem(id=id_, content=content, source="input")
        if role == "tool":
            return ChatMessageTool(
                id=id_, content=content, tool_call_id=str(message.get("tool_call_id")), function=_TOOL
            )
        if role != "assistant":
            return ChatMessageUser(id=id_, content=content)
        calls = []
        for call in tool_calls(message):
            function = call["function"]
            arguments, wrong = _arguments(function.get("arguments"))
            name = str(function.get("name"))
            calls.append(ToolCall(id=str(call.get("id")), function=name, arguments=arguments, parse_error=wrong))
        extra = message.get("extra")
        candidate = extra.get("candidate") if isinstance(extra, Mapping) else None
        return ChatMessageAssistant(
            id=id_, content=content, tool_calls=calls or None, model=candidate, source="generate"
        )

    def _when(self, at: float) -> dict[str, Any]:
        return {"timestamp": _moment(at), "working_start": round(max(at - self._begun, 0.0), 6)}


def _usages(recorded: Sequence[Recording]) -> dict[str, ModelUsage]:
    """The four buckets of the answered calls, and what they cost, by candidate."""
    usages: dict[str, Usage] = {}
    costs: dict[str, Decimal] = {}
    for answer in (answer for recording in recorded for answer in recording.answers):
        name, settle = str(answer.reserve["candidate"]), answer.settle or {}
        usages[name] = usages.get(name, Usage()) + Usage(**settle["usage"])
        costs[name] = costs.get(name, Decimal(0)) + Decimal(settle["cost_usd"])
    return {name: _usage(usage, float(costs[name])) for name, usage in usages.items()}


def _usage(usage: Usage, cost_usd: float) -> ModelUsage:
    """Our buckets as inspect_ai's, whose input tokens leave out cached ones as ours do."""
    from inspect_ai.model import ModelUsage

    return ModelUsage(
        input_tokens=usage.input,
        input_tokens_cache_read=usage.cache_read,
        input_tokens_cache_write=usage.cache_write,
        output_tokens=usage.output,
        total_tokens=usage.prompt_tokens + usage.output,
        total_cost=cost_usd,
    )


def _attempt(attempt: RecordedAttempt) -> dict[str, Any]:
    settle: Mapping[str, Any] = attempt.settle or {}
    return {
        "attempt": attempt.reserve["attempt"],
        "candidate": attempt.reserve["candidate"],
        **{name: settle.get(name) for name in ("cause", "detail", "status", "latency_s", "usage")},
        "cost_usd": float(spent_usd(attempt)),
    }


def _arguments(said: Any) -> tuple[dict[str, Any], str | None]:
    """A tool call's arguments, and what is wrong with them where they are none."""
    if isinstance(said, Mapping):
        return dict(said), None
    with suppress(ValueError, TypeError, RecursionError):
        found = json.loads(said)
        if isinstance(found, dict):
            return dict(replace_surrogates(found)), None
    return {}, f"no JSON object: {said}"


def _patch(recording: Recording) -> str:
    patch = (recording.end or {}).get("patch")
    return unpacked(patch).decode("utf-8", "replace") if isinstance(patch, str) and patch else ""


def _times(recording: Recording) -> tuple[float, float]:
    """When a trial was begun and ended, in seconds since 1970; its verdict may have been given long after."""
    ended = _at(recording.end, recording.at or 0.0)
    return _at(recording.start, ended), ended


def _settled(attempt: RecordedAttempt) -> float:
    return _at(attempt.reserve, 0.0) + float((attempt.settle or {}).get("latency_s") or 0)


def _at(fields: Mapping[str, Any] | None, otherwise: float) -> float:
    at = (fields or {}).get("at")
    return otherwise if at is None else float(at)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
