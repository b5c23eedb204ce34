"""How well a cache serves."""

from dataclasses import dataclass, field

from tidecache.entry import Cause


@dataclass
class Stats:
    """Counts since the cache was made."""

    hits: int = 0
    misses: int = 0
    removals: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(Cause, 0))

    @property
    def hit_rate(self) -> float:
        """The share of reads that found a living entry; 0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0
