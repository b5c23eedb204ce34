"""Converts a trial's messages and events to objects of inspect_ai."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynamic_track.exporting.conversation import (
    Message,
    answer_message,
    command_output,
    content_text,
    finish_reason,
    how_ended,
    read_conversation,
    tool_calls,
)
from dynamic_track.results.loading import LoadedRun
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.lines import TrialLine
from twinbench.calls.recording import RecordedAttempt, RecordedCommand, RecordedStep, Recording
from twinbench.display.wording import remove_folders
from twinbench.routing.usage import Usage

if TYPE_CHECKING:
    from inspect_ai.event import Event
    from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage

_TOOL = "bash"
_REASONS: Mapping[str, Any] = {"stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls"}


class EventBuilder:
    """Builds the messages and events of a trial."""

    def __init__(self, run: LoadedRun, recording: Recording) -> None:
        from inspect_ai.model import ModelOutput

        self._run = run
        self._recording = recording
        self._candidates = {candidate.id: candidate for candidate in run.pool.candidates}
        self._begun, self._ended = trial_times(recording)
        self.said = read_conversation(run, recording)
        self.messages: Sequence[ChatMessage] = [
            self._message(message, f"message {place}") for place, message in enumerate(self.said.messages)
        ]
        self.last: ModelOutput = ModelOutput()

    def next_id(self, *parts: str) -> str:
        """Return a new id, the same whenever the same run is exported."""
        names = (self._run.fingerprint, self._recording.case, str(self._recording.trial), *parts)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:22]

    def step_events(self) -> list[Event]:
        """Return a span for each step: the decision, the call, the commands."""
        from inspect_ai.event import InfoEvent, SpanBeginEvent, SpanEndEvent

        found: list[Event] = []
        now = self._begun
        for number in sorted(self._recording.steps):
            step = self._recording.steps[number]
            span = self.next_id(f"step {number}")
            decided = _time_of(step.decision, now)
            found.append(
                SpanBeginEvent(
                    id=span,
                    name=f"step {number}",
                    uuid=self.next_id(span, "begin"),
                    span_id=span,
                    **self._when(decided),
                )
            )
            if step.decision is not None:
                names = ("candidate", "score", "rationale", "latency_ms", "error", "router_error", "prompt_tokens")
                told = {name: getattr(step.decision, name) for name in names}
                told |= {name: told[name] and remove_folders(told[name]) for name in ("error", "router_error")}
                told["own_calls"] = [
                    _attempt(attempt) for call in step.router_calls.values() for attempt in call.attempts
                ]
                found.append(
                    InfoEvent(
                        source="router",
                        data=replace_surrogates(told),
                        uuid=self.next_id(span, "decision"),
                        span_id=span,
                        **self._when(decided),
                    )
                )
            if step.attempts:
                found.append(self._model_event(number, step, span))
                now = max(now, _settle_time(step.attempts[-1]))
            calls = [] if step.answer is None else tool_calls(answer_message(step.answer))
            for index, command in enumerate(step.commands):
                call = str(calls[index].get("id")) if index < len(calls) else f"step-{number}-command-{index}"
                now = _time_of(command.observation, now)
                found.append(self._tool_event(call, command, span, now, self.next_id(span, f"command {index}")))
            found.append(SpanEndEvent(id=span, uuid=self.next_id(span, "end"), span_id=span, **self._when(now)))
        return found

    def final_events(self, scores: Mapping[str, Any] | None, error: Any, ended: float) -> list[Event]:
        """Return the events of the score, or of the error."""
        from inspect_ai.event import ErrorEvent, ScoreEvent

        if error is not None:
            return [ErrorEvent(error=error, uuid=self.next_id("error"), **self._when(ended))]
        found = (scores or {}).items()
        return [
            ScoreEvent(score=score, scorer=name, uuid=self.next_id("score", name), **self._when(ended))
            for name, score in found
        ]

    def _model_event(self, number: int, step: RecordedStep, span: str) -> Event:
        from inspect_ai.event import ModelEvent
        from inspect_ai.model import GenerateConfig, ModelOutput

        answer = step.answer
        asked = step.attempts[-1] if answer is None else answer
        name, settle = asked.reserve.candidate, asked.settle
        candidate = self._candidates[name]
        cause, detail = (None, None) if settle is None else (settle.cause, settle.detail)
        output = ModelOutput(model=name)
        if answer is not None:
            self.last = output = self._output(number, answer, name)
        metadata = {
            "step": number,
            "candidate": name,
            "tier": str(candidate.tier),
            **({} if asked.usage is None else asked.usage.to_json()),
            "cost_usd": float(asked.spent_usd),
            "step_spend_usd": float(sum(attempt.spent_usd for attempt in step.attempts)),
            "served_model": None if settle is None else settle.served_model,
            "cause": cause,
            "decision_ms": None if step.decision is None else step.decision.latency_ms,
            "attempts": [_attempt(attempt) for attempt in step.attempts],
        }
        started = _time_of(step.attempts[0].reserve, self._begun)
        return ModelEvent(
            model=name,
            input=list(self.messages[: self.said.messages_before[number]]),
            tools=[],
            tool_choice="auto",
            config=GenerateConfig(max_tokens=candidate.max_tokens, temperature=candidate.temperature),
            output=output,
            retries=len(step.attempts) - 1 or None,
            error=None if answer is not None else replace_surrogates(f"{cause}: {detail}"),
            completed=to_datetime(_settle_time(asked)),
            working_time=None if settle is None else settle.latency_s,
            metadata=replace_surrogates(metadata),
            uuid=self.next_id(span, "call"),
            span_id=span,
            **self._when(started),
        )

    def _output(self, number: int, answer: RecordedAttempt, name: str) -> ModelOutput:
        from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

        place = self.said.messages_before[number]
        stands = place < len(self.messages) and self.said.messages[place].get("role") == "assistant"
        key = f"message {place}" if stands else f"answer {number}"  # unparsed ones are in no conversation
        message = self._message({**answer_message(answer), "role": "assistant"}, key)
        assert isinstance(message, ChatMessageAssistant)  # noqa: S101 - follows from its role
        message.model = name
        reason = _REASONS.get(finish_reason(answer) or "", "unknown")
        return ModelOutput(
            model=name,
            choices=[ChatCompletionChoice(message=message, stop_reason=reason)],
            usage=to_model_usage(answer.usage or Usage(), float(answer.spent_usd)),
            time=None if answer.settle is None else answer.settle.latency_s,
        )

    def _tool_event(self, call: str, command: RecordedCommand, span: str, at: float, uuid: str) -> Event:
        from inspect_ai.event import ToolEvent
        from inspect_ai.tool import ToolCallError

        observation = command.observation
        ended = how_ended(command)
        error = None
        if ended != "exited":
            said = (None if observation is None else observation.exception_info) or "nothing is recorded about it"
            error = ToolCallError("timeout" if ended == "timeout" else "unknown", replace_surrogates(said))
        seconds = None if observation is None else observation.seconds
        begun = at if self._run.origin.has_virtual_time else at - (seconds or 0)
        return ToolEvent(
            id=call,
            function=_TOOL,
            arguments={"command": replace_surrogates(command.command)},
            result=replace_surrogates(command_output(command)),
            error=error,
            completed=to_datetime(at),
            working_time=seconds,
            metadata={"returncode": None if observation is None else observation.returncode, "ended": ended},
            uuid=uuid,
            span_id=span,
            **self._when(begun),
        )

    def _message(self, message: Message, key: str) -> ChatMessage:
        from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
        from inspect_ai.tool import ToolCall

        content, role, id_ = content_text(message.get("content")), message.get("role"), self.next_id(key)
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
        return {"timestamp": to_datetime(at), "working_start": round(max(at - self._begun, 0.0), 6)}


def to_model_usage(usage: Usage, cost_usd: float) -> ModelUsage:
    """Convert our usage to inspect_ai's, whose input tokens exclude cached ones, like ours."""
    from inspect_ai.model import ModelUsage

    return ModelUsage(
        input_tokens=usage.input,
        input_tokens_cache_read=usage.cache_read,
        input_tokens_cache_write=usage.cache_write,
        output_tokens=usage.output,
        total_tokens=usage.prompt_tokens + usage.output,
        total_cost=cost_usd,
    )


def trial_times(recording: Recording) -> tuple[float, float]:
    """Return when a trial began and ended, in seconds since 1970; its verdict may have been given much later."""
    ended = _time_of(recording.end, recording.at or 0.0)
    return _time_of(recording.start, ended), ended


def to_datetime(seconds: float) -> datetime:
    """Convert a time in seconds since 1970 to a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _attempt(attempt: RecordedAttempt) -> dict[str, Any]:
    told = {name: getattr(attempt.settle, name, None) for name in ("cause", "detail", "status", "latency_s")}
    return {
        "attempt": attempt.reserve.attempt,
        "candidate": attempt.reserve.candidate,
        **told,
        "usage": None if attempt.usage is None else attempt.usage.to_json(),
        "cost_usd": float(attempt.spent_usd),
    }


def _arguments(said: Any) -> tuple[dict[str, Any], str | None]:
    """Return a tool call's arguments, and what is wrong with them if they are not a JSON object."""
    if isinstance(said, Mapping):
        return dict(said), None
    with suppress(ValueError, TypeError, RecursionError):
        found = json.loads(said)
        if isinstance(found, dict):
            return dict(replace_surrogates(found)), None
    return {}, f"not a JSON object: {said}"


def _settle_time(attempt: RecordedAttempt) -> float:
    return attempt.reserve.at + ((None if attempt.settle is None else attempt.settle.latency_s) or 0)


def _time_of(line: TrialLine | None, otherwise: float) -> float:
    return otherwise if line is None else line.at
