"""The conversation of a trial as its trajectory file contains it, read without trusting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.auditing.evidence import AuditedCall, AuditedTrial
from twinbench.calls.mini_swe_agent import BASH_TOOL
from twinbench.calls.translation import Utterance, conversation_message


@dataclass(frozen=True)
class Spoken:
    """The messages of a trial, and the positions of its calls among them."""

    messages: Sequence[Mapping[str, Any]]
    conversation: Sequence[Utterance]
    """The same messages in the form from which requests are made."""
    prefixes: Sequence[int]
    """For each answer, the number of messages that preceded its call."""
    rest: int | None
    """The number of messages that precede a call that was not answered."""
    tools: Sequence[Mapping[str, Any]]
    tool_options: Mapping[str, Any]
    info: Mapping[str, Any]

    @property
    def answers(self) -> list[Mapping[str, Any]]:
        """What the agent recorded about each answer: ``extra`` of its message, or of the error message about it."""
        return [self.messages[prefix]["extra"] for prefix in self.prefixes]


def read_trajectory(trial: AuditedTrial) -> Spoken | None:
    """Read the trajectory of a trial; None if there is none that can be read (``trajectory_complaint``)."""
    content = trial.json("trajectory.json")
    return None if content is None or isinstance(content, str) or _complaint(content) else _spoken(trial, content)


def trajectory_complaint(trial: AuditedTrial) -> str | None:
    """Return why a trajectory cannot be read; None also if there is no trajectory."""
    content = trial.json("trajectory.json")
    return content if content is None or isinstance(content, str) else _complaint(content)


def with_conversation(trial: AuditedTrial, spoken: Spoken) -> Iterator[tuple[AuditedCall, Sequence[Utterance]]]:
    """Yield each call of the agent with the conversation before it, as far as the trajectory goes."""
    answered = 0
    for call in trial.calls:
        if call.is_own:
            continue
        prefix = spoken.prefixes[answered] if answered < len(spoken.prefixes) else spoken.rest
        if prefix is None:
            return
        yield call, spoken.conversation[:prefix]
        answered += call.answered


def _complaint(content: Mapping[str, Any]) -> str | None:
    messages, info = content.get("messages"), content.get("info")
    if not isinstance(info, dict) or not isinstance(messages, list):
        return "has no info or no messages"
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("extra", {}), dict):
            return f"messages[{number}] is not a message"
        extra = message.get("extra", {})
        if not isinstance(extra.get("own", {}), dict) or not isinstance(extra.get("actions", []), list):
            return f"messages[{number}].extra is not an object"
    return None


def _spoken(trial: AuditedTrial, content: Mapping[str, Any]) -> Spoken:
    messages = content["messages"]
    config = content["info"].get("config")
    model = config.get("model") if isinstance(config, dict) else None
    options = dict((model.get("model_kwargs") if isinstance(model, dict) else None) or {})
    options.pop("drop_params", None)
    agent = None if trial.begin is None else trial.begin.agent
    style = None if agent is None else agent.get("actions")
    prefixes = [number for number, message in enumerate(messages) if "candidate" in (message.get("extra") or {})]
    is_over = bool(messages) and messages[-1].get("role") == "exit"
    return Spoken(
        messages=messages,
        conversation=[conversation_message(message, message.get("extra") or {}) for message in messages],
        prefixes=prefixes,
        rest=len(messages) - 1 if is_over else None,
        tools=[BASH_TOOL] if style == "tool" else [],
        tool_options=options,
        info=content["info"],
    )
