"""Reads a request of an agent: which task it is about, which commands were run, what they printed, and which edit the
project contains now.

A simulated model knows of its earlier work only what is read here, as a real model does.
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
"""The same pattern with which mini-swe-agent finds the command in a text answer."""
_RETURN_CODE = re.compile(r"<returncode>(-?\d+)</returncode>")
_PYTHON_FILE = re.compile(r"^[\w-][\w./-]*\.py$", re.MULTILINE)


@dataclass(frozen=True)
class Turn:
    """A command that was run, and its output."""

    command: str
    observation: str

    @property
    def failed(self) -> bool:
        """Whether its return code was not 0."""
        code = _RETURN_CODE.search(self.observation)
        return code is None or code[1] != "0"


@dataclass(frozen=True)
class Seen:
    """What a conversation about a task shows."""

    edits: TaskEdits
    turns: tuple[Turn, ...]

    def stood(self, text: str) -> bool:
        """Whether the output of some command contained a text."""
        return any(text.rstrip("\n") in turn.observation for turn in self.turns)

    def can_make(self, edit: Edit) -> bool:
        """Whether the output of commands contained everything that an edit changes: nobody edits what they have not
        read.
        """
        return all(self.stood(change.old) for change in edit.changes)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The source files that a listing of the project showed, without tests."""
        found = [name for turn in self.turns for name in _PYTHON_FILE.findall(turn.observation)]
        return tuple(dict.fromkeys(name for name in found if not name.startswith("tests/")))

    def opened(self, file: str) -> bool:
        """Whether a file was shown from its beginning to its end."""
        return any(line == f"cat {file}" for turn in self.turns for line in turn.command.splitlines())

    @cached_property
    def _last_edit(self) -> tuple[int, Edit | None]:
        """The index of the turn in which the last edit that worked was made, and the edit; -1 and None before any
        edit.
        """
        for place in range(len(self.turns) - 1, -1, -1):
            turn = self.turns[place]
            if not turn.failed:
                for edit in self.edits.edits:
                    if edit_command(edit) in turn.command:
                        return place, edit
        return -1, None

    @property
    def current(self) -> Edit | None:
        """The edit that the project contains now."""
        return self._last_edit[1]

    @cached_property
    def since_edit(self) -> tuple[Turn, ...]:
        """The commands that were run after that edit."""
        return self.turns[self._last_edit[0] + 1 :]

    @cached_property
    def tried(self) -> tuple[Edit, ...]:
        """Every edit that was made, in order."""
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
        """Whether the patch file contains the patch of the project's present state."""
        return any(f"> {PATCH_FILE}" in turn.command and not turn.failed for turn in self.since_edit)

    @property
    def clues(self) -> int:
        """How many pieces of information it has seen that help to find the right edit."""
        failing = any(turn.failed and turn.command == check_command(self.edits) for turn in self.turns)
        elsewhere = any(self.opened(file) for file in self.files if file not in self.edits.faulty_files)
        return sum((self.reproduced, failing, elsewhere))


def edit_command(edit: Edit) -> str:
    """The shell command that makes an edit in the unchanged project."""
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
    """The shell command that runs the project's tests and, if they pass, the issue's own example."""
    return f"python3 -m pytest -q -p no:cacheprovider && {{\n{edits.symptom.strip()}\n}}"


def turns_of(messages: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """Yield every command of a conversation with its output, in either action format."""
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
    """Return the text of a message, whether its content is a string or a list of blocks."""
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
            continue  # a call that cannot be parsed ran no command


def _literal(text: str) -> list[str]:
    return [f"     {line!r}" for line in text.splitlines(keepends=True)] or ["     ''"]
