"""The outcome of a check, as every command that checks something gives it: ``checks[]`` in JSON, a row in a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended. A warning is something that a person should look at; it fails no command."""

    passed = "pass"
    warned = "warn"
    failed = "fail"


@dataclass(frozen=True)
class CheckResult:
    """One check of one thing, and how it ended."""

    name: str
    """Of the check."""
    subject: str
    """What was checked: a router, an image, a task, a run or a case of it."""
    status: Status
    reason: str
    """What was seen, in words."""
    value: float | None = None
    """The number that decided, or that a person wants to know; its unit stands in ``reason``."""
    advice: str | None = None
    """What to do about it."""

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "name": self.name,
            "subject": self.subject,
            "status": str(self.status),
            "value": self.value,
            "reason": self.reason,
            "advice": self.advice,
        }
