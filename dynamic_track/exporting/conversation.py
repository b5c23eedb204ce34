"""What was said in a trial, as exports tell it: answers from the journal, the conversation from the trajectory file.

The journal holds every answer and every observation. The messages that the agent put between them stand in
``trajectory.json`` alone, which is derived and may be missing, cut or edited: it is read without trust, and only where
its answers are those of the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.results.loaded import LoadedRun
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.lines import payload
from twinbench.calls.recording import RecordedAttempt, RecordedCommand, Recording
from twinbench.calls.translation import plain_message
from twinbench.reading.input_files import read_regular

Message = Mapping[str, Any]
"""A message in OpenAI's form."""

_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Conversation:
    """The messages of a trial."""

    messages: Sequence[Message]
    answers: Mapping[int, int]
    """By step: how many messages there were when its call was made."""
    source: str
    """``trajectory``, or ``journal`` where the file does not do: no first messages then, and raw observations."""


def tries(recording: Recording) -> Iterator[tuple[int, Recording]]:
    """A trial as often as it was begun, numbered from 1; only the last one is counted."""
    yield from enumerate((*recording.earlier, recording), 1)


def answered_message(attempt: RecordedAttempt) -> Mapping[str, Any]:
    """The message that an attempt was answered with, the model's own fields in it; empty where there is none."""
    completion = attempt.completion
    if completion is None or completion.message.problem is not None:
        return {}
    return {**plain_message(completion.message), **completion.message.own}


def patch_text(recording: Recording) -> str:
    """The patch that a trial ended with; empty where there is none."""
    return "" if recording.end is None else payload(recording.end.patch).decode("utf-8", "replace")


def finish_reason(attempt: RecordedAttempt) -> str | None:
    """Why the model ended its answer, in the provider's word."""
    return None if attempt.completion is None else attempt.completion.finish_reason


def output_of(command: RecordedCommand) -> str:
    """What a command wrote."""
    if command.observation is None:
        return ""
    return command.observation.text


def ended_by(command: RecordedCommand) -> str:
    """How a command ended (``containers.shell.Ended``); ``unknown`` where nothing is recorded of it."""
    return (None if command.observation is None else command.observation.ended) or "unknown"


def text_of(content: Any) -> str:
    """The content of a message as text: parts joined, none as nothing."""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    return "" if content is None else str(content)


def tool_calls(message: Message) -> list[Mapping[str, Any]]:
    """The tool calls of a message that can be read as such."""
    calls = message.get("tool_calls")
    found = calls if isinstance(calls, list) else []
    return [call for call in found if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)]


def conversation(run: LoadedRun, recording: Recording) -> Conversation:
    """What was said in a trial."""
    return _from_trajectory(run, recording) or _from_journal(recording)


def _from_trajectory(run: LoadedRun, recording: Recording) -> Conversation | None:
    path = RunDirectory(run.path).case(recording.case, recording.trial) / "trajectory.json"
    try:
        found = json.loads(read_regular(path))["messages"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(message, Mapping) for message in found):
        return None
    messages: list[Message] = [replace_surrogates(message) for message in found if message.get("role") in _ROLES]
    extras = [message.get("extra") for message in messages]
    places = [place for place, extra in enumerate(extras) if isinstance(extra, Mapping) and "candidate" in extra]
    steps = [number for number in sorted(recording.steps) if recording.steps[number].answer is not None]
    said = [messages[place]["extra"]["candidate"] for place in places]
    if said != [answer.reserve.candidate for answer in recording.answers]:
        return None
    unanswered = {number: len(messages) for number in recording.steps}
    return Conversation(messages, {**unanswered, **dict(zip(steps, places, strict=True))}, "trajectory")


def _from_journal(recording: Recording) -> Conversation:
    messages: list[Message] = []
    answers: dict[int, int] = {}
    for number in sorted(recording.steps):
        step = recording.steps[number]
        answers[number] = len(messages)
        if step.answer is None:
            continue
        said = {"role": "assistant", **answered_message(step.answer)}
        messages.append(said)
        calls = tool_calls(said)
        for index, command in enumerate(step.commands):
            told: dict[str, Any] = {"role": "user", "content": replace_surrogates(output_of(command))}
            if index < len(calls):
                told |= {"role": "tool", "tool_call_id": calls[index].get("id")}
            messages.append(told)
    return Conversation(messages, answers, "journal")
