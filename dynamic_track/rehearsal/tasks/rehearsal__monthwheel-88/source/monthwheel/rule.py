"""How days come back."""

from dataclasses import dataclass
from datetime import date

UNITS = ("day", "week", "month", "year")
SHORT = ("last", "skip")


@dataclass(frozen=True)
class Rule:
    """A rhythm, and when it ends."""

    every: str
    interval: int = 1
    on_day: int | None = None
    """the day of the month, for months and years; None for that of the first day"""
    short: str = "last"
    """what becomes of months that are too short: their last day, or nothing"""
    count: int | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.every not in UNITS:
            raise ValueError(f"every is one of {', '.join(UNITS)}, got {self.every!r}")
        if self.short not in SHORT:
            raise ValueError(f"short is one of {', '.join(SHORT)}, got {self.short!r}")
        if self.interval < 1 or (self.count is not None and self.count < 1):
            raise ValueError("interval and count are at least 1")
        if self.on_day is not None and (not self.goes_by_months or not 1 <= self.on_day <= 31):
            raise ValueError("on_day is a day of the month, for rules of months and years")

    @property
    def goes_by_months(self) -> bool:
        """Whether the day of the month decides."""
        return self.every in ("month", "year")

    @property
    def months(self) -> int:
        """Months from one turn to the next; for rules that go by months."""
        return self.interval * (12 if self.every == "year" else 1)

    @property
    def days(self) -> int:
        """Days from one turn to the next; for rules that do not go by months."""
        return self.interval * (7 if self.every == "week" else 1)
