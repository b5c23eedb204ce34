"""Small repairs in a few steps: the model shows itself a file, edits lines of it, and submits; tests run by themselves.

An edit keeps the indentation of the line that it replaces, since small models mostly lose it. After each edit the model
is told what the tests say and shown the file, so that a step depends on those before it as an agent's does.
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
"""Characters of a file and of what the tests said, in a reply."""

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
    """Its name, without a folder."""
    source: str
    """What stands in it before the repair."""
    test: str
    """Python that imports the file's module, and raises where it is not as it should be."""
    steps: Annotated[int, Field(ge=2, le=20)] = 6
    """Answers in which the repair is to be submitted."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    @property
    def most_steps(self) -> int:
        """In which it is to be submitted."""
        return self.steps

    @property
    def longest_reply(self) -> int:
        """What is shown of a file and its tests."""
        return _MOST_SHOWN

    def evaluate(self, answers: Sequence[Answer], tools: Tools) -> Evaluation:
        """Carry out all commands so far, and reply to the last one."""
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
                # Else a small model gives the same command until its steps are over.
                note = f"Line {line} was so before: nothing has changed.\n" if edited == source else ""
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
    """A file as models are shown it, each line with its number."""
    lines = "".join(f"{number}: {line}\n" for number, line in enumerate(source.splitlines(), 1))
    return f"{file}:\n{lines}"


def edit_line(source: str, line: int, text: str) -> str | None:
    """Replace a line, at its own indentation; None where there is no such line.

    Args:
        source: of the file.
        line: its number, from 1.
        text: what is to stand there; more than one line keep their indentation to each other, and no text removes it.
    """
    lines = source.splitlines()
    if not 1 <= line <= len(lines):
        return None
    old = lines[line - 1]
    indentation = old[: len(old) - len(old.lstrip())]
    lines[line - 1 : line] = textwrap.indent(textwrap.dedent(text).strip("\n"), indentation).splitlines()
    return "".join(f"{each}\n" for each in lines)


def _command(text: str) -> str | tuple[int, str]:
    """``show``, ``submit``, or line and text of an edit; anything else is what the model is told about its answer."""
    try:
        said = answered_json(text)
    except ValueError as error:
        return f"This is no command: {error}"
    match said:
        case {"command": "show" | "submit" as command}:
            return str(command)
        case {"command": "edit", "line": int(line), "text": str(text)} if not isinstance(line, bool):
            return line, text
    return "This is no command: give show, edit with a line and a text, or submit."
