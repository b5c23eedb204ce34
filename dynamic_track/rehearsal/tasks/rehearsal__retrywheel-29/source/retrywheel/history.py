"""What ran, when, and how it went."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    GIVEN_UP = "given up"
    """it failed, and there is no further try"""


@dataclass(frozen=True)
class Run:
    """One run of a job."""

    name: str
    started_s: float
    outcome: Outcome
    error: str = ""


class History:
    """Runs in the order in which they started."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run) -> None:
        """Records a run."""
        self._runs.append(run)

    def starts_s(self, name: str) -> list[float]:
        """When the runs of a job started."""
        return [run.started_s for run in self._runs if run.name == name]

    def outcomes(self, name: str) -> list[str]:
        """How the runs of a job ended."""
        return [run.outcome.value for run in self._runs if run.name == name]
