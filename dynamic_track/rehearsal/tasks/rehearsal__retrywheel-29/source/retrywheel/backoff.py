"""How long to wait after a failure, and when to give up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays that grow by a factor up to a longest one."""

    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 60.0
    max_failures: int = 5

    def __post_init__(self) -> None:
        if self.first_s <= 0 or self.factor < 1 or self.longest_s < self.first_s or self.max_failures < 1:
            raise ValueError(f"not a backoff: {self}")

    def delay_s(self, failures: int) -> float:
        """The seconds to wait after so many failures in a row."""
        return min(self.first_s * self.factor ** (failures - 1), self.longest_s)

    def is_over(self, failures: int) -> bool:
        """Whether there is no further try after so many failures in a row."""
        return failures >= self.max_failures
