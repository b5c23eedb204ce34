"""Exports a run as OpenTelemetry spans: lines of OTLP/JSON as the file exporter's specification defines them, one trial
a line.

Names follow the semantic conventions for generative AI, version 1.41; our own names begin with ``twinbench.``. A trial
is a trace: it contains its steps, a step contains the router's decision (which contains the router's own LLM calls),
each attempt and each command. Ids follow from the run's content, so that two exports of a run are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from dynamic_track.exporting.conversation import command_output, finish_reason, how_ended, starts_of_trial
from dynamic_track.results.loading import LoadedRun, shown_content
from dynamic_track.running.trial import TrialOutcome
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.lines import TrialLine
from twinbench.calls.recording import RecordedAttempt, RecordedCommand, RecordedStep, Recording
from twinbench.calls.trial_log import IN_FLIGHT
from twinbench.causes import CAUSES, OutcomeClass
from twinbench.display.wording import remove_folders

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
_SCOPE = "twinbench"
_INTERNAL, _CLIENT = 1, 3
_ERROR = 2
_TOOL = "bash"


@dataclass
class _Span:
    """A span with the spans in it."""

    key: str
    """Distinguishes it from its siblings."""
    name: str
    start: float
    end: float
    attributes: dict[str, Any]
    kind: int = _INTERNAL
    error: tuple[str, str] | None = None
    """Its type and its message."""
    children: list[_Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = min([self.start, *(child.start for child in self.children)])
        self.end = max([self.start, self.end, *(child.end for child in self.children)])

    def to_json(self, trace: str, above: str = "") -> Iterator[dict[str, Any]]:
        """Yield the span and all spans in it as OTLP objects."""
        path = f"{above}/{self.key}"
        attributes = dict(self.attributes)
        span: dict[str, Any] = {"traceId": trace, "spanId": _hash_id(trace, path, characters=16)}
        if above:
            span["parentSpanId"] = _hash_id(trace, above, characters=16)
        span |= {
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": _nanoseconds(self.start),
            "endTimeUnixNano": _nanoseconds(self.end),
        }
        if self.error is not None:
            attributes["error.type"] = self.error[0]
            span["status"] = {"code": _ERROR, "message": self.error[1]}
        yield {**span, "attributes": _attributes(attributes)}
        for child in self.children:
            yield from child.to_json(trace, path)


def otlp_lines(run: LoadedRun) -> Iterator[str]:
    """Yield the spans of a run: one ``TracesData`` object a line, with all spans of a trial.

    Times are those of the journal. Those of a rehearsal are virtual, with a clock for each trial, and neither decisions
    nor commands take any time in them; the resource says so (``twinbench.time``), and attributes say how long they
    took.
    """
    resource = _attributes(
        {
            "service.name": "twinbench",
            "service.version": version("twinbench"),
            "twinbench.simulated": run.simulated,
            "twinbench.time": "virtual" if run.origin.has_virtual_time else "wall",
            "twinbench.run": run.name,
            "twinbench.fingerprint": run.fingerprint,
            "twinbench.router": run.display_router,
            "twinbench.pool": run.pool.name,
            "twinbench.pool.fingerprint": run.pool.fingerprint,
            "twinbench.division": run.pool.division,
            "twinbench.seed": str(run.plan.seed),
        }
    )
    spans = _SpanBuilder(run)
    for recording, trial in zip(run.recordings, run.trials, strict=True):
        trace = _hash_id(run.fingerprint, recording.case, str(recording.trial), characters=32)
        scope = {"name": _SCOPE, "version": version("twinbench")}
        of_scope = {
            "scope": scope,
            "spans": list(spans.trial(recording, trial).to_json(trace)),
            "schemaUrl": SCHEMA_URL,
        }
        content = {"resource": {"attributes": resource}, "scopeSpans": [of_scope], "schemaUrl": SCHEMA_URL}
        yield json.dumps(replace_surrogates({"resourceSpans": [content]}), allow_nan=False) + "\n"


class _SpanBuilder:
    """Builds the spans of a run's recordings."""

    def __init__(self, run: LoadedRun) -> None:
        self._run = run
        self._candidates = {candidate.id: candidate for candidate in run.pool.candidates}
        self._agent = run.plan.scaffold
        self._provider = {"gen_ai.provider.name": run.pool.gateway}

    def trial(self, recording: Recording, trial: TrialOutcome) -> _Span:
        content = shown_content(trial)
        usage = content.pop("usage")
        content.pop("models")
        detail = content["detail"]
        children: list[_Span] = []
        for number, each in starts_of_trial(recording):
            found = [self._step(step, each.steps[step]) for step in sorted(each.steps)]
            steps = [step for step in found if step is not None]
            if each is recording:
                children += steps
                continue
            at = _time_of(each.start, _time_of(recording.start, 0.0))
            lost = {"twinbench.try": number, "twinbench.lost": str(None if each.lost is None else each.lost.what)}
            children.append(_Span(f"lost {number}", "lost", at, at, lost, children=steps))
        start = min([_time_of(recording.start, recording.at or 0.0), *(child.start for child in children)])
        handling = None if trial.cause is None else CAUSES[trial.cause]
        failed = handling is not None and handling.outcome_class is not OutcomeClass.unresolved
        return _Span(
            "trial",
            f"invoke_agent {self._agent}",
            start,
            _time_of(recording.end, recording.at or start),  # a verdict may be given much later
            {
                "gen_ai.operation.name": "invoke_agent",
                **self._provider,
                "gen_ai.agent.name": self._agent,
                "gen_ai.conversation.id": f"{recording.case}/{recording.trial}",
                "twinbench.case": content.pop("id"),
                **{f"twinbench.{name}": value for name, value in {**content, **usage}.items()},
                "twinbench.counts": trial.outcome_class,
            },
            error=(str(trial.cause), detail or "") if failed else None,
            children=children,
        )

    def _step(self, number: int, step: RecordedStep) -> _Span | None:
        attempts = [self._attempt(attempt) for attempt in step.attempts]
        known = [attempt.end for attempt in attempts]
        decision = self._decision(step)
        if decision is not None:
            known.append(decision.end)
        commands: list[_Span] = []
        for index, command in enumerate(step.commands):
            commands.append(self._command(index, command, max(known, default=0.0)))
            known.append(commands[-1].end)
        children = [*([] if decision is None else [decision]), *attempts, *commands]
        if not children:
            return None
        start = children[0].start
        return _Span(f"step {number}", "step", start, start, {"twinbench.step": number}, children=children)

    def _decision(self, step: RecordedStep) -> _Span | None:
        own = [
            self._attempt(attempt, number)
            for number, call in sorted(step.router_calls.items())
            for attempt in call.attempts
        ]
        decision = step.decision
        if decision is None:
            if not own:
                return None
            return _Span("decision", "decision", own[0].start, own[-1].end, {}, children=own)
        candidate, end, took_ms = decision.candidate, decision.at, decision.latency_ms
        start = end if self._run.origin.has_virtual_time else end - (took_ms or 0) / 1000
        return _Span(
            "decision",
            "decision",
            start,
            end,
            {
                "twinbench.candidate": candidate,
                "twinbench.tier": self._tier(candidate),
                "twinbench.decision_ms": took_ms,
                "twinbench.prompt_tokens": None if candidate is None else decision.prompt_tokens.get(candidate),
                "twinbench.score": decision.score,
                "twinbench.rationale": decision.rationale,
                "twinbench.router_error": None
                if decision.router_error is None
                else remove_folders(decision.router_error),
            },
            error=None if decision.error is None else ("router", remove_folders(decision.error)),
            children=own,
        )

    def _attempt(self, attempt: RecordedAttempt, own: int | None = None) -> _Span:
        reserve, settle, usage, told = attempt.reserve, attempt.settle, attempt.usage, attempt.reported_usd
        candidate = self._candidates.get(reserve.candidate)
        buckets = {} if usage is None else usage.to_json()
        finish = finish_reason(attempt)
        cause, detail = (IN_FLIGHT.cause, IN_FLIGHT.detail) if settle is None else (settle.cause, settle.detail)
        latency_s = None if settle is None else settle.latency_s
        return _Span(
            f"attempt {reserve.attempt}" if own is None else f"own {own} attempt {reserve.attempt}",
            f"chat {reserve.candidate}",
            reserve.at,
            reserve.at + (latency_s or 0),
            {
                "gen_ai.operation.name": "chat",
                **self._provider,
                "gen_ai.request.model": reserve.candidate if candidate is None else candidate.model,
                "gen_ai.request.max_tokens": None if candidate is None else candidate.max_tokens,
                "gen_ai.request.temperature": None if candidate is None else candidate.temperature,
                "gen_ai.response.model": None if settle is None else settle.served_model,
                "gen_ai.response.finish_reasons": None if finish is None else [finish],
                # The convention counts cached tokens among the input; our buckets do not overlap.
                "gen_ai.usage.input_tokens": None if usage is None else usage.prompt_tokens,
                "gen_ai.usage.cache_read.input_tokens": buckets.get("cache_read"),
                "gen_ai.usage.cache_creation.input_tokens": buckets.get("cache_write"),
                "gen_ai.usage.output_tokens": buckets.get("output"),
                "http.response.status_code": None if settle is None else settle.status,
                "twinbench.attempt": reserve.attempt,
                "twinbench.own": own,
                "twinbench.answered": attempt.answered,
                "twinbench.candidate": reserve.candidate,
                "twinbench.tier": self._tier(reserve.candidate),
                **{f"twinbench.{bucket}": tokens for bucket, tokens in buckets.items()},
                "twinbench.cost_usd": float(attempt.spent_usd),
                "twinbench.at_reservation": settle is None or settle.at_reservation,
                "twinbench.reported_cost_usd": None if told is None else float(told),
                "twinbench.served_by": None if settle is None else settle.served_by,
                "twinbench.cause": cause,
            },
            kind=_CLIENT,
            error=None if cause is None else (str(cause), detail or ""),
        )

    def _command(self, index: int, command: RecordedCommand, earliest: float) -> _Span:
        observation = command.observation
        ended = how_ended(command)
        end = _time_of(observation, earliest)
        seconds = None if observation is None else observation.seconds
        start = end if self._run.origin.has_virtual_time else max(end - (seconds or 0), min(earliest, end))
        return _Span(
            f"command {index}",
            f"execute_tool {_TOOL}",
            start,
            end,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": _TOOL,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.arguments": json.dumps(
                    {"command": replace_surrogates(command.command)}, ensure_ascii=False
                ),
                "twinbench.command_s": seconds,
                "twinbench.returncode": None if observation is None else observation.returncode,
                "twinbench.ended": ended,
                "twinbench.output_bytes": len(command_output(command).encode()),
            },
            error=None if ended == "exited" else (ended, "" if observation is None else observation.exception_info),
        )

    def _tier(self, candidate: str | None) -> str | None:
        found = self._candidates.get(str(candidate))
        return None if found is None else str(found.tier)


def _hash_id(*parts: str, characters: int) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:characters]


def _time_of(line: TrialLine | None, otherwise: float) -> float:
    return otherwise if line is None else line.at


def _nanoseconds(seconds: float) -> str:
    """Return nanoseconds as a string, which is OTLP/JSON's form of 64-bit numbers; only precise to microseconds, as a
    float of seconds is.
    """
    return str(round(seconds * 1_000_000) * 1000)


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP objects; unknown values are left out."""
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": str(value)}
