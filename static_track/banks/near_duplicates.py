"""First messages that are nearly the same: those with four fifths of their five-word shingles in common.

MinHash only proposes pairs. The exact Jaccard index of the two sets of shingles decides.

What most messages of a workload have in common is the agent's template and says nothing of the task: measured on 154
runs of mini-swe-agent, whose first message is a page of rules around the task, 85 different tasks would be one group.
So such shingles do not count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction

SHINGLE_WORDS = 5
JACCARD = Fraction(4, 5)
"""Two texts with at least this Jaccard index are near-duplicates."""

TEMPLATE_SHARE = 0.5
TEMPLATE_TEXTS = 10
"""A shingle in half of a workload's different messages, and in ten at least, is of the agent's template."""

_PERMUTATIONS = 256
_BANDS = 64
"""Of four values each: of pairs at 0.8, one in 10^14 shares no band and is not proposed; at 0.3, two in five are."""
_SEED = 0


@dataclass(frozen=True)
class FirstMessage:
    """What a trajectory begins with."""

    trajectory: int
    workload: str
    text: str


def groups(messages: Iterable[FirstMessage]) -> list[tuple[int, ...]]:
    """The trajectories that belong together, in groups of two or more, each in order.

    One belongs to a group if its message is a near-duplicate of any other in it. In which order ``messages`` come makes
    no difference. A message with fewer than five words has no shingle, and is no near-duplicate of any.
    """
    same: dict[tuple[str, frozenset[int]], list[int]] = defaultdict(list)
    for message, shingles in _numbered(messages):
        same[message.workload, shingles].append(message.trajectory)
    texts = list(same)
    common = templates(texts)
    telling = [shingles - common[workload] for workload, shingles in texts]
    components = Components(len(texts))
    first: dict[frozenset[int], int] = {}
    for place, (_, shingles) in enumerate(texts):  # the same text in several workloads
        components.join(place, first.setdefault(shingles, place))
    for one, other in _candidates(telling):
        if components.of(one) != components.of(other) and near(telling[one], telling[other]):
            components.join(one, other)
    found: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        found[components.of(place)] += same[text]
    return sorted(tuple(sorted(numbers)) for numbers in found.values() if len(numbers) > 1)


def shingles_of(text: str) -> set[str]:
    """All runs of five words in a text, whatever their case and the white space between them."""
    words = text.casefold().split()
    return {" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)}


def near(one: AbstractSet[int], other: AbstractSet[int]) -> bool:
    """Whether two sets of shingles, neither of them empty, have a Jaccard index of at least 0.8."""
    wanted, of = JACCARD.as_integer_ratio()
    smaller, larger = sorted((len(one), len(other)))
    if of * smaller < wanted * larger:  # then no overlap is enough
        return False
    shared = len(one & other)
    return of * shared >= wanted * (smaller + larger - shared)


def _numbered(messages: Iterable[FirstMessage]) -> Iterator[tuple[FirstMessage, frozenset[int]]]:
    """Each message with its shingles as numbers, if it has any: one that stands in many messages is kept once."""
    numbers: dict[str, int] = {}
    for message in sorted(messages, key=lambda each: each.trajectory):
        shingles = shingles_of(message.text)
        if shingles:
            yield message, frozenset(numbers.setdefault(shingle, len(numbers)) for shingle in sorted(shingles))


def templates(texts: Iterable[tuple[str, frozenset[int]]]) -> dict[str, frozenset[int]]:
    """The shingles of each workload that most of its texts have; each text is given once, with its workload."""
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
    """Pairs of sets that may be near, by their places; an empty one is near none."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=float(JACCARD), num_perm=_PERMUTATIONS, num_bands=_BANDS)
    for place, each in enumerate(sets):
        if each:
            sketch = RMinHash(num_perm=_PERMUTATIONS, seed=_SEED)
            sketch.update([str(shingle) for shingle in each])
            yield from ((earlier, place) for earlier in index.query(sketch))
            index.insert(place, sketch)


class Components:
    """Which things belong together."""

    def __init__(self, size: int) -> None:
        """Take as many things, each by itself."""
        self._parent = list(range(size))

    def of(self, thing: int) -> int:
        """What stands for all that belong together with it."""
        while self._parent[thing] != thing:
            self._parent[thing] = thing = self._parent[self._parent[thing]]
        return thing

    def join(self, one: int, other: int) -> None:
        """Let two belong together."""
        self._parent[self.of(one)] = self.of(other)
