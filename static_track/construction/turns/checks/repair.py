"""Small repairs in a few steps: the model views a file, edits lines of it, and submits; tests run automatically.

An edit keeps the indentation of the line that it replaces, since small models often lose it. After each edit the model
sees the tests' result and the file, so that a step depends on earlier ones as an agent's step does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from static_track.construction.turns.checks.program import test_result
from static_track.construction.turns.comparing import answered_json
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed, goes_on

_MOST_SHOWN = 4000
"""Largest number of characters of a reply, which shows the file and the tests' result."""

COMMANDS: Mapping[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"command": {"const": "show"}},
            "required": ["command"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "command": {"const": "edit"},
                "line": {"type": "integer", "minimum": 1, "maximum": 99},
                "text": {"type": "string", "maxLength": 120},
            },
            "required": ["command", "line", "text"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"command": {"const": "submit"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    ]
}
"""JSON schema of an answer: one command."""


class Repair(Check):
    """The file that the model submits passes the test."""

    needs_containers: ClassVar[bool] = True
    file: Annotated[str, Field(pattern=r"^[a-z_]{1,40}\.py$")]
    """The file's name, without a folder."""
    source: str
    """The file's content before the repair."""
    test: str
    """Python code that imports the file's module, and raises if it is wrong."""
    steps: Annotated[int, Field(ge=2, le=20)] = 6
    """Number of answers within which the repair must be submitted."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    @property
    def most_steps(self) -> int:
        """The number of answers within which the repair must be submitted."""
        return self.steps

    @property
    def longest_reply(self) -> int:
        """The largest number of characters of a reply."""
        return _MOST_SHOWN

    def evaluate(self, answers: Sequence[Answer], tools: Tools) -> Evaluation:
        """Apply all commands so far, and reply to the last one."""
        source, complaint, note = self.source, "", ""
        for answer in answers:
            command = _command(answer.text)
            if command == "submit":
                result = self._tested(source, tools)
                return PASSED if result.passed else failed(f"submitted, and the tests fail: {result.reason}")
            if isinstance(command, str):
                complaint, note = ("" if command == "show" else command), ""
            else:
                line, text = command
                edited = edit_line(source, line, text)
                complaint = f"{self.file} has no line {line}." if edited is None else ""
                # Without this note, a small model repeats the same command until its steps are used up.
                note = f"Line {line} is the same as before: nothing changed.\n" if edited == source else ""
                source = source if edited is None else edited
        if len(answers) >= self.steps:
            return failed(f"nothing was submitted in {self.steps} steps")
        return goes_on(complaint or f"{note}{self._shown(source, tools)}")

    def _tested(self, source: str, tools: Tools) -> Evaluation:
        return test_result(tools, {self.file: source}, self.test, self.timeout_s)

    def _shown(self, source: str, tools: Tools) -> str:
        result = self._tested(source, tools)
        said = "All tests pass." if result.passed else f"Tests fail: {result.reason}"
        return f"{numbered(self.file, source)}\n{said}"[-_MOST_SHOWN:]


def numbered(file: str, source: str) -> str:
    """Return a file as models see it, with line numbers."""
    lines = "".join(f"{number}: {line}\n" for number, line in enumerate(source.splitlines(), 1))
    return f"{file}:\n{lines}"


def edit_line(source: str, line: int, text: str) -> str | None:
    """Replace a line, keeping its indentation; None if the line does not exist.

    Args:
        source: the file's content.
        line: the line's number, from 1.
        text: the new text; several lines keep their relative indentation, and an empty text removes the line.
    """
    lines = source.splitlines()
    if not 1 <= line <= len(lines):
        return None
    old = lines[line - 1]
    indentation = old[: len(old) - len(old.lstrip())]
    lines[line - 1 : line] = textwrap.indent(textwrap.dedent(text).strip("\n"), indentation).splitlines()
    return "".join(f"{each}\n" for each in lines)


def _command(text: str) -> str | tuple[int, str]:
    """Parse a command: ``show``, ``submit``, or line and text of an edit; otherwise return an error message for the
    model.
    """
    try:
        said = answered_json(text)
    except ValueError as error:
        return f"This is not a command: {error}"
    match said:
        case {"command": "show" | "submit" as command}:
            return str(command)
        case {"command": "edit", "line": int(line), "text": str(text)} if not isinstance(line, bool):
            return line, text
    return "This is not a command: give show, edit with a line and a text, or submit."
