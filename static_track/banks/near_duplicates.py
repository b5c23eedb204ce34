"""Find near-duplicate first messages: those with four fifths of their five-word shingles in common.

MinHash only proposes pairs; the exact Jaccard index of the two sets of shingles decides.

Text that most messages of a workload share is the agent's template and says nothing about the task, so its shingles do
not count. Otherwise 85 different tasks in 154 runs of mini-swe-agent, whose first message is a page of rules around the
task, would be one group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from twinbench.text.shingles import JACCARD, near, shingles_of

TEMPLATE_SHARE = 0.5
TEMPLATE_TEXTS = 10
"""A shingle in half of a workload's distinct messages, and in at least ten, belongs to the agent's template."""

_PERMUTATIONS = 256
_BANDS = 64
"""Number of bands of four values: one in 10^14 pairs at 0.8 is not proposed; two in five pairs at 0.3 are."""
_SEED = 0


@dataclass(frozen=True)
class FirstMessage:
    """The first user message of a trajectory."""

    trajectory: int
    workload: str
    text: str


def find_groups(messages: Iterable[FirstMessage]) -> list[tuple[int, ...]]:
    """Return groups of two or more trajectories that are near-duplicates.

    A trajectory belongs to a group if its message is a near-duplicate of any other in it. The order of ``messages``
    makes no difference. A message with fewer than five words has no shingle and is never a near-duplicate.
    """
    same: dict[tuple[str, frozenset[int]], list[int]] = defaultdict(list)
    for message, shingles in _number_shingles(messages):
        same[message.workload, shingles].append(message.trajectory)
    texts = list(same)
    common = templates(texts)
    telling = [shingles - common[workload] for workload, shingles in texts]
    components = Components(len(texts))
    first: dict[frozenset[int], int] = {}
    for place, (_, shingles) in enumerate(texts):  # the same text in several workloads
        components.join(place, first.setdefault(shingles, place))
    for one, other in _candidates(telling):
        if components.find(one) != components.find(other) and near(telling[one], telling[other]):
            components.join(one, other)
    found: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        found[components.find(place)] += same[text]
    return sorted(tuple(sorted(numbers)) for numbers in found.values() if len(numbers) > 1)


def _number_shingles(messages: Iterable[FirstMessage]) -> Iterator[tuple[FirstMessage, frozenset[int]]]:
    """Yield each message that has shingles, with these as numbers; equal shingles have the same number."""
    numbers: dict[str, int] = {}
    for message in sorted(messages, key=lambda each: each.trajectory):
        shingles = shingles_of(message.text)
        if shingles:
            yield message, frozenset(numbers.setdefault(shingle, len(numbers)) for shingle in sorted(shingles))


def templates(texts: Iterable[tuple[str, frozenset[int]]]) -> dict[str, frozenset[int]]:
    """Return for each workload the shingles that most of its distinct texts have."""
    of_workload: dict[str, list[frozenset[int]]] = defaultdict(list)
    for workload, shingles in texts:
        of_workload[workload].append(shingles)
    found = {}
    for workload, sets in of_workload.items():
        enough = max(TEMPLATE_TEXTS, TEMPLATE_SHARE * len(sets))
        times = Counter(shingle for shingles in sets for shingle in shingles)
        found[workload] = frozenset(shingle for shingle, count in times.items() if count >= enough)
    return found


def _candidates(sets: Sequence[Collection[int]]) -> Iterator[tuple[int, int]]:
    """Yield pairs of sets that may be near-duplicates, by index; empty sets never are."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=float(JACCARD), num_perm=_PERMUTATIONS, num_bands=_BANDS)
    for place, each in enumerate(sets):
        if each:
            sketch = RMinHash(num_perm=_PERMUTATIONS, seed=_SEED)
            sketch.update([str(shingle) for shingle in each])
            yield from ((earlier, place) for earlier in index.query(sketch))
            index.insert(place, sketch)


class Components:
    """Connected components (union-find)."""

    def __init__(self, size: int) -> None:
        """Start with ``size`` separate things."""
        self._parent = list(range(size))

    def find(self, thing: int) -> int:
        """Return the representative of a thing's component."""
        while self._parent[thing] != thing:
            self._parent[thing] = thing = self._parent[self._parent[thing]]
        return thing

    def join(self, one: int, other: int) -> None:
        """Merge the components of two things."""
        self._parent[self.find(one)] = self.find(other)
