"""What an agent's conversation shows of how its work goes: a step for each turn of the assistant, read once a session.

Standard library only: rules run wherever a router's process does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from twinbench.routing.content import message_texts
from twinbench.routing.router import Call

_MOST_READ = 3_000
"""Characters at the start and at the end of an observation; what is between is not looked at."""

_MOST_OF_COMMAND = 1_500
_MOST_OF_WORDS = 300
"""Characters at the beginning of a text, where an assistant says what it is about to do."""

_SEVERITIES = (
    (1.0, ("out of memory", "memoryerror", "oomkilled", "connection refused", "econnrefused")),
    (
        0.7,
        (
            *("traceback (most recent call last)", "importerror", "modulenotfounderror", "command not found"),
            *("assertionerror", "syntaxerror", "timed out", "timeouterror", "no such file or directory"),
        ),
    ),
)
"""How bad an observation is by what it contains, worst first; a command that failed without any of that is 0.3.

Source: Switchyard's stage router (read in code).
"""

_MOST_KEPT = 512
"""Texts of which is kept what they show, since several routers, or one under several settings, read the same ones."""

_FAILED_COMMAND = re.compile(r"<returncode>(?!0</)|\bexit (?:code|status):? [1-9]|\"returncode\": [1-9]")
_PASSED = ("passed", "all tests pass")
_PASSING = re.compile(r"\b\d+ passed\b|\btests? passed\b|\ball tests pass")
_FAILED = re.compile(r"\b[1-9]\d* (?:failed|errors?)\b|\bfailed\b|^fail:", re.MULTILINE)
_EDITS = (
    *(
        "sed -i",
        "apply_patch",
        "git apply",
        "patch -p",
        "cat >",
        "cat <<",
        "tee ",
        "<<'EOF'",
        "<< 'EOF'",
        "<<EOF",
        "<< EOF",
    ),
    *("str_replace", "create_file", "edit_file", "write_file", ".write(", ".write_text("),
)
_READS = frozenset(
    {"cat", "less", "head", "tail", "grep", "rg", "find", "ls", "nl", "sed", "view", "open_file", "read_file", "search"}
)
_PLANS = frozenset({"plan", "todo", "think", "step", "steps"})
_WORDS = re.compile(r"[a-z_]+")
_SPACE = re.compile(r"\s+")


@dataclass
class Step:
    """A turn of the assistant, and what it saw then."""

    command: str
    """What it did: its tool calls, else its text; white space as one blank."""
    edits: bool
    reads: bool
    plans: bool
    severity: float = 0.0
    """Severity of the worst observation: 0 nothing, 0.3 a failed command, 0.7 an error, 1 a failing environment."""
    passed: bool = False
    """Whether tests passed in sight, and none failed."""
    failed: bool = False
    observed: int = 0
    """Characters of what was seen."""


@dataclass
class _Known:
    messages: Sequence[Mapping[str, Any]] = ()
    steps: list[Step] = field(default_factory=list)


class Reader:
    """Reads conversations step by step, each message once; a conversation that is another one is read anew."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def steps(self, call: Call) -> Sequence[Step]:
        """The steps before a call."""
        return self.read(call.session, call.messages)

    def read(self, session: str, messages: Sequence[Mapping[str, Any]]) -> Sequence[Step]:
        """The steps of a conversation that belongs to a session."""
        known = self._known.get(session)
        if known is None or not _goes_on(known.messages, messages):
            known = self._known[session] = _Known()
        for message in messages[len(known.messages) :]:
            _read(message, known.steps)
        known.messages = messages
        return known.steps

    def forget(self, session: str) -> None:
        """Drop what was read of a session."""
        self._known.pop(session, None)


def _goes_on(earlier: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a conversation begins with all of an earlier one."""
    return len(earlier) <= len(now) and all(
        old is new or old == new for old, new in zip(earlier, now[: len(earlier)], strict=True)
    )


def _read(message: Mapping[str, Any], steps: list[Step]) -> None:
    if message.get("role") == "assistant":
        text = " ".join(message_texts(message))
        steps.append(Step(*_done(_said(message)[:_MOST_OF_COMMAND], text[:_MOST_OF_WORDS])))
    elif steps and message.get("role") in ("tool", "function", "user"):
        step = steps[-1]
        for text in message_texts(message):
            severity, failed, passing = _seen(
                text if len(text) <= 2 * _MOST_READ else f"{text[:_MOST_READ]}\n{text[-_MOST_READ:]}"
            )
            step.severity = max(step.severity, severity)
            step.failed = step.failed or failed
            step.passed = not step.failed and (step.passed or passing)
            step.observed += len(text)


@lru_cache(maxsize=_MOST_KEPT)
def _done(said: str, text: str) -> tuple[str, bool, bool, bool]:
    """Return the command of a turn, and whether it edits, reads and plans."""
    command = _SPACE.sub(" ", said).strip()
    edits = any(word in command for word in _EDITS)
    reads = not edits and not _READS.isdisjoint(_WORDS.findall(command[:_MOST_OF_WORDS].lower()))
    return command, edits, reads, not _PLANS.isdisjoint(_WORDS.findall(text.lower()))


@lru_cache(maxsize=_MOST_KEPT)
def _seen(shown: str) -> tuple[float, bool, bool]:
    """Return how bad an observation is, and whether tests failed or passed in it."""
    lower = shown.lower()
    failed = ("fail" in lower or "error" in lower) and bool(_FAILED.search(lower))
    passing = any(word in lower for word in _PASSED) and bool(_PASSING.search(lower))
    return _severity(lower), failed, passing


def _severity(lower: str) -> float:
    """Return the severity of an observation, from its text in lower case."""
    for worth, words in _SEVERITIES:
        if any(word in lower for word in words):
            return worth
    # A plain search first: the pattern takes much longer where nothing of it occurs.
    told = "returncode" in lower or "exit code" in lower or "exit status" in lower
    return 0.3 if told and _FAILED_COMMAND.search(lower) else 0.0


def _said(message: Mapping[str, Any]) -> str:
    """Return the tool calls of a turn, else its text."""
    calls = message.get("tool_calls")
    said: list[str] = []
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        for each in calls:
            function = each.get("function") if isinstance(each, Mapping) else None
            if isinstance(function, Mapping):
                said.append(f"{function.get('name')} {function.get('arguments')}")
    return " ".join(said or message_texts(message))
