"""Error classes, with messages for the person who has to fix the problem.

An error says what is wrong, where (file, line, field) and what to do. The command line prints its text and exits with
its ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHOWN_PROBLEMS = 20


class TwinbenchError(Exception):
    """The command failed: exit code 1."""

    exit_code = 1


class UsageError(TwinbenchError):
    """An option, a name or a spec is invalid: exit code 2."""

    exit_code = 2


class StoreWriteError(TwinbenchError):
    """The store cannot be written; nothing in it was changed."""


class JournalError(TwinbenchError):
    """The journal cannot be written, or was changed or damaged; the text names the file and the line."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an input file, with its place.

    ``line`` counts from 1 (lines of a text file, else ``unit``) and is None for a problem of the whole file;
    ``field`` is
    a path such as ``messages[3].content``.
    """

    source: str
    line: int | None
    field: str | None
    what: str
    unit: str = "line"

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}, {self.unit} {self.line}"
        return f"{place}: {self.what}" if self.field is None else f"{place}, field {self.field}: {self.what}"

    def to_json(self) -> dict[str, Any]:
        """The problem as a JSON object."""
        return {"source": self.source, "line": self.line, "field": self.field, "what": self.what}


class ContentError(TwinbenchError):
    """The content of an input is invalid; the text lists every problem found, up to a limit."""

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"… and {len(self.problems) - SHOWN_PROBLEMS} more")
        if hint is not None:
            lines.append(hint)
        super().__init__("\n".join(lines))
