"""What may be said of measured numbers: intervals, comparisons, ranks. Arrays in, results out; knows nothing of tracks.

The unit is a cluster: what was sampled as a whole (a group of trajectories, a case with its trials), drawn within its
stratum (a workload). ``sampling`` draws, ``intervals`` makes intervals of what was drawn, ``paired`` says how far two
routers are apart, ``swapping`` and ``comparing`` have the tests. All but ``comparing`` need numpy, which is imported
where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_RESAMPLES = 2000
COMPARISON_RESAMPLES = 10_000
"""Of a comparison: p-values that are corrected for many pairs live in the tails."""
DEFAULT_LEVEL = 0.95
MIN_RESAMPLES = 100
"""Of resamples: fewer tell nothing of the tails."""
MAX_RESAMPLES = 1_000_000
"""Of resamples: more take minutes and say the same."""
MIN_LEVEL, MAX_LEVEL = 0.5, 0.999


@dataclass(frozen=True)
class Resampling:
    """How often clusters are drawn again, from which seed, and the level of the intervals made of that.

    Raises:
        ValueError: less than 100 resamples, more than a million, a level not between 0.5 and 0.999, a negative seed.
    """

    resamples: int = DEFAULT_RESAMPLES
    level: float = DEFAULT_LEVEL
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not MIN_RESAMPLES <= self.resamples <= MAX_RESAMPLES
            or not MIN_LEVEL <= self.level <= MAX_LEVEL
            or self.seed < 0
        ):
            bounds = f"{MIN_RESAMPLES} to {MAX_RESAMPLES:,} resamples, a level from {MIN_LEVEL} to {MAX_LEVEL}, a seed of at least 0"
            raise ValueError(f"{bounds}: {self}")

    @property
    def fewest_clusters(self) -> int:
        """How many clusters an interval needs at least.

        Of n independent values all lie on one side of their median with a chance of 2 in 2^n, so no interval over
        fewer can be relied on at the level (6 at 0.95).
        """
        clusters = 2
        while 2 / 2**clusters > 1 - self.level:
            clusters += 1
        return clusters
