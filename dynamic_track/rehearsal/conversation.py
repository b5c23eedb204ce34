"""What a request shows: which task it is about, what was run, what was seen, and what stands in the project now.

A simulated model knows of its work only what is read here, as a real one does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dynamic_track.rehearsal.edits import Edit, TaskEdits

PATCH_FILE = "patch.txt"

_TEXT_COMMAND = re.compile(r"```mswea_bash_command\s*\n(.*?)\n```", re.DOTALL)
"""As mini-swe-agent finds it."""
_RETURN_CODE = re.compile(r"<returncode>(-?\d+)</returncode>")
_PYTHON_FILE = re.compile(r"^[\w-][\w./-]*\.py$", re.MULTILINE)


@dataclass(frozen=True)
class Turn:
    """A command, and what it gave."""

    command: str
    observation: str

    @property
    def failed(self) -> bool:
        """Whether it ended with another code than 0."""
        code = _RETURN_CODE.search(self.observation)
        return code is None or code[1] != "0"


@dataclass(frozen=True)
class Seen:
    """A conversation about a task, read."""

    edits: TaskEdits
    turns: tuple[Turn, ...]

    def stood(self, text: str) -> bool:
        """Whether a text was shown by a command."""
        return any(text.rstrip("\n") in turn.observation for turn in self.turns)

    def can_make(self, edit: Edit) -> bool:
        """Whether all that an edit changes was shown: nobody edits what they have not read."""
        return all(self.stood(change.old) for change in edit.changes)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The source files that a listing showed, without tests."""
        found = [name for turn in self.turns for name in _PYTHON_FILE.findall(turn.observation)]
        return tuple(dict.fromkeys(name for name in found if not name.startswith("tests/")))

    def opened(self, file: str) -> bool:
        """Whether a file was shown from its beginning to its end."""
        return any(line == f"cat {file}" for turn in self.turns for line in turn.command.splitlines())

    @cached_property
    def _last_edit(self) -> tuple[int, Edit | None]:
        """Where the last edit that worked was made, and what it was; -1 and None before any."""
        for place in range(len(self.turns) - 1, -1, -1):
            turn = self.turns[place]
            if not turn.failed:
                for edit in self.edits.edits:
                    if edit_command(edit) in turn.command:
                        return place, edit
        return -1, None

    @property
    def current(self) -> Edit | None:
        """The edit that stands in the project."""
        return self._last_edit[1]

    @cached_property
    def since_edit(self) -> tuple[Turn, ...]:
        """What was run after it."""
        return self.turns[self._last_edit[0] + 1 :]

    @cached_property
    def tried(self) -> tuple[Edit, ...]:
        """Every edit that was made, the last one last."""
        return tuple(edit for turn in self.turns for edit in self.edits.edits if edit_command(edit) in turn.command)

    @cached_property
    def checks(self) -> tuple[Turn, ...]:
        """The runs of tests after the last edit."""
        return tuple(turn for turn in self.since_edit if turn.command == check_command(self.edits))

    @property
    def reproduced(self) -> bool:
        """Whether the issue's own example was run."""
        return any(self.edits.symptom.strip() in turn.command for turn in self.turns)

    @property
    def patch_written(self) -> bool:
        """Whether the patch of what stands in the project lies there."""
        return any(f"> {PATCH_FILE}" in turn.command and not turn.failed for turn in self.since_edit)

    @property
    def clues(self) -> int:
        """How many things it has seen that help to find the right edit."""
        failing = any(turn.failed and turn.command == check_command(self.edits) for turn in self.turns)
        elsewhere = any(self.opened(file) for file in self.files if file not in self.edits.faulty_files)
        return sum((self.reproduced, failing, elsewhere))


def edit_command(edit: Edit) -> str:
    """The command that makes an edit in the project as it was given."""
    lines = ["python3 - <<'EDIT'", "from pathlib import Path", "", "for name, old, new in ["]
    for change in edit.changes:
        lines += [f"    ({change.file!r},", *_literal(change.old), "     ,", *_literal(change.new), "     ),"]
    lines += [
        "]:",
        "    path = Path(name)",
        "    text = path.read_text()",
        '    assert text.count(old) == 1, f"{name}: the text to replace is not there"',
        "    path.write_text(text.replace(old, new))",
        "EDIT",
    ]
    return "\n".join(lines)


def check_command(edits: TaskEdits) -> str:
    """The command that runs the project's tests, and the issue's own example where they pass."""
    return f"python3 -m pytest -q -p no:cacheprovider && {{\n{edits.symptom.strip()}\n}}"


def turns_of(messages: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """Every command of a conversation with what it gave, in either style of actions."""
    open_calls: dict[str, str] = {}
    said = ""
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            open_calls = dict(_calls(message))
            said = text_of(message)
        elif role == "tool":
            command = open_calls.pop(str(message.get("tool_call_id")), None)
            if command is not None:
                yield Turn(command, text_of(message))
        elif role == "user" and said:
            if (found := _TEXT_COMMAND.search(said)) is not None:
                yield Turn(found[1], text_of(message))
            said = ""


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether it is one or made of blocks."""
    content = message.get("content")
    if isinstance(content, list):
        blocks = [block.get("text") for block in content if isinstance(block, Mapping)]
        return "".join(text for text in blocks if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _calls(message: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for call in message.get("tool_calls") or ():
        try:
            yield str(call["id"]), str(json.loads(call["function"]["arguments"])["command"])
        except (KeyError, TypeError, ValueError):
            continue  # a call that cannot be read ran nothing


def _literal(text: str) -> list[str]:
    return [f"     {line!r}" for line in text.splitlines(keepends=True)] or ["     ''"]
