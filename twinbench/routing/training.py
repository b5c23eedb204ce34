"""What a router that learns is trained on: trajectories whose labels and costs are known.

Standard library only, as all that a router sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinbench.routing.router import Call
from twinbench.routing.tiers import Tier


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a call that built-in learned routers use (``twinbench/routers/features.py``)."""

    buckets: Sequence[int]
    """Hashes of the words and pairs of words that occur in it, each once."""
    values: Sequence[float]
    """What each of them counts: a vector of length 1; both are empty if there are no words."""
    numbers: Sequence[float]
    """Numbers of how the work goes."""
    sentence: Sequence[float] = ()
    """Sentence embeddings of its texts, for routers with ``features=minilm`` alone; else empty."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One trajectory of a bank, as ``fit(trajectories)`` gets it; lists have one entry for each call, in order."""

    calls: Sequence[Call]
    """The calls as ``route`` is shown them. What they show of cache and spend is what it would be if the strongest
    tier had answered the calls before, since that tells nothing of the labels."""
    targets: Sequence[Tier]
    """The label of each call: the cheapest tier that was found sufficient."""
    costs_usd: Sequence[Mapping[Tier, float]]
    """What each call costs in USD by tier, if that tier answers the whole trajectory: its prompt, warm where the
    protocol says so, and the recorded output."""
    workload: str
    group: str
    """Trajectories of one group are not independent of each other (several draws of one task, say): whoever holds out
    a part of the data for a choice of its own has to hold out whole groups."""
    features: Sequence[Features] = ()
    """The features of each call, if they were read before, which is so for built-in routers alone; else empty."""
