"""The result of a check, as all checking commands report it: ``checks[]`` in JSON, a row in a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended. A warning is something to look at, and makes no command fail."""

    passed = "pass"
    warned = "warn"
    failed = "fail"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one subject."""

    name: str
    """The name of the check."""
    subject: str
    """What was checked: a router, an image, a task, a run or a case of it."""
    status: Status
    reason: str
    """What was found, in words."""
    value: float | None = None
    """The number that decided, or is worth knowing; ``reason`` gives its unit."""
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
