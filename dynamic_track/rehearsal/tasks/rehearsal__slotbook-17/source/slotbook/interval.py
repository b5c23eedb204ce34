"""One stretch of time within a day."""

from dataclasses import dataclass

from slotbook.clock import format_clock, parse_clock


@dataclass(frozen=True, order=True)
class Interval:
    """A half-open stretch of time, in minutes since midnight; sorts by start, then by end."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"an interval ends after it starts, got {self.start} to {self.end}")

    def __str__(self) -> str:
        return f"{format_clock(self.start)}-{format_clock(self.end)}"

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """The interval written as ``HH:MM-HH:MM``."""
        start, dash, end = text.partition("-")
        if not dash:
            raise ValueError(f"not an interval: {text!r}")
        return cls(parse_clock(start), parse_clock(end))

    @property
    def length(self) -> int:
        """Minutes from start to end."""
        return self.end - self.start

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two share at least one minute."""
        return self.start < other.end and other.start < self.end

    def meets(self, other: "Interval") -> bool:
        """Whether the two overlap or touch, so that together they are one stretch."""
        return self.start <= other.end and other.start <= self.end

    def join(self, other: "Interval") -> "Interval":
        """The one stretch that both make together; ``other`` meets this one and starts no earlier."""
        return Interval(self.start, other.end)

    def clip(self, bounds: "Interval") -> "Interval | None":
        """The part of this interval inside ``bounds``, or None if there is none."""
        if not self.overlaps(bounds):
            return None
        return Interval(max(self.start, bounds.start), min(self.end, bounds.end))
