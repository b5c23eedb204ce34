"""The conversation of a trial for exports: answers from the journal, the other messages from the trajectory file.

The journal contains every answer and every observation. The messages that the agent put between them are only in
``trajectory.json``, which is derived and may be missing, cut short or edited: it is read without trusting it, and used
only if its answers agree with the journal.
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
    """The number of messages before the step's call, by step."""
    source: str
    """``trajectory``, or ``journal`` if the file cannot be used: then there are no first messages, and raw
    observations.
    """


def tries(recording: Recording) -> Iterator[tuple[int, Recording]]:
    """Yield a trial once for each time that it was started, numbered from 1; only the last one counts."""
    yield from enumerate((*recording.earlier, recording), 1)


def answered_message(attempt: RecordedAttempt) -> Mapping[str, Any]:
    """Return the message with which an attempt was answered, including the model's own fields; empty if there is
    none.
    """
    completion = attempt.completion
    if completion is None or completion.message.problem is not None:
        return {}
    return {**plain_message(completion.message), **completion.message.own}


def patch_text(recording: Recording) -> str:
    """Return the patch with which a trial ended; empty if there is none."""
    return "" if recording.end is None else payload(recording.end.patch).decode("utf-8", "replace")


def finish_reason(attempt: RecordedAttempt) -> str | None:
    """Return why the model ended its answer, in the provider's word."""
    return None if attempt.completion is None else attempt.completion.finish_reason


def output_of(command: RecordedCommand) -> str:
    """Return the output of a command."""
    if command.observation is None:
        return ""
    return command.observation.text


def ended_by(command: RecordedCommand) -> str:
    """Return how a command ended (``containers.shell.Ended``); ``unknown`` if nothing is recorded about it."""
    return (None if command.observation is None else command.observation.ended) or "unknown"


def text_of(content: Any) -> str:
    """Return the content of a message as a string: parts joined, None as an empty string."""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    return "" if content is None else str(content)


def tool_calls(message: Message) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message that are well-formed."""
    calls = message.get("tool_calls")
    found = calls if isinstance(calls, list) else []
    return [call for call in found if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)]


def conversation(run: LoadedRun, recording: Recording) -> Conversation:
    """Read the conversation of a trial."""
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
