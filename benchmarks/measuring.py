"""One line of the table: a ratio of two things measured in the same run, against the most it may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """A ratio (or a plain number) and its limit."""

    what: str
    measured: str
    against: str
    value: float
    limit: float
    at_least: bool = False
    """Whether the limit is a floor instead of a ceiling."""
    unit: str = "×"

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"ok": self.ok}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measurement:
        """From what ``to_json`` makes."""
        return cls(**{name: value for name, value in content.items() if name != "ok"})

    def row(self) -> list[str]:
        """As a row of the table."""
        bound = f"{'≥' if self.at_least else '≤'} {self.limit:,g}{self.unit}"
        value = f"{self.value:,.0f}{self.unit}" if self.value >= 100 else f"{self.value:.2f}{self.unit}"
        return [self.what, self.measured, self.against, value, bound, "ok" if self.ok else "MISSED"]


HEAD = ["what", "measured", "against", "value", "limit", ""]


def best_of(times: int, run: Callable[[], object]) -> float:
    """The shortest of several runs, in seconds: what others on the machine add is never negative."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def seconds(value: float) -> str:
    """A duration for the table."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"
