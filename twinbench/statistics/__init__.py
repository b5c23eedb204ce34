"""Statistics for both tracks: confidence intervals, comparisons and ranks. Functions take arrays and return results.

The sampling unit is a cluster: observations that were sampled together (a group of trajectories, a case with its
trials). Clusters belong to strata (workloads). ``sampling`` has the bootstrap, ``intervals`` computes intervals from
it, ``paired`` compares two routers, ``swapping`` and ``comparing`` have the tests. All modules but ``comparing`` need
numpy, which callers import only when they use it.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_RESAMPLES = 2000
COMPARISON_RESAMPLES = 10_000
"""Default for comparisons, which need precise tails: p-values are corrected for many pairs."""
DEFAULT_LEVEL = 0.95
MIN_RESAMPLES = 100
"""With fewer resamples the tails are too imprecise for an interval."""
MAX_RESAMPLES = 1_000_000
"""More resamples take minutes and do not change the result."""
MIN_LEVEL, MAX_LEVEL = 0.5, 0.999


@dataclass(frozen=True)
class Resampling:
    """Settings of the bootstrap: number of resamples, confidence level of the intervals, and random seed.

    Raises:
        ValueError: there are fewer than 100 or more than a million resamples, the level is not between 0.5 and 0.999,
            or the seed is negative.
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
            bounds = (
                f"{MIN_RESAMPLES} to {MAX_RESAMPLES:,} resamples, a level from {MIN_LEVEL} to "
                f"{MAX_LEVEL}, a seed of at least 0"
            )
            raise ValueError(f"{bounds}: {self}")

    @property
    def fewest_clusters(self) -> int:
        """The smallest number of clusters for which an interval can hold its level: 6 at level 0.95.

        All of n independent values lie on the same side of their median with probability 2 / 2^n, and then no interval
        within their range contains it; that probability must not exceed 1 - level.
        """
        clusters = 2
        while 2 / 2**clusters > 1 - self.level:
            clusters += 1
        return clusters
