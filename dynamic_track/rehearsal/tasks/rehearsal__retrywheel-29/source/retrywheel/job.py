"""Something to be run."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Job:
    """What to run and when; ``every_s`` is None for a job that runs once."""

    name: str
    action: Callable[[], object]
    due_s: float
    every_s: float | None = None
    priority: int = 0
    failures: int = 0

    @property
    def recurs(self) -> bool:
        """Whether the job runs again after it went well."""
        return self.every_s is not None

    def next_beat_s(self, now_s: float) -> float:
        """The time of the next regular run of a recurring job."""
        if self.every_s is None:
            raise ValueError(f"{self.name} runs once")
        return now_s + self.every_s
