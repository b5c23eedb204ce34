"""What a router was trained on, stored in its folder so that it is recognised wherever the router is scored.

A sketch of a text is the smallest hashes of its shingles (a bottom-k sketch). Of two sketches, the hashes below both
their bounds are samples of the two sets by the same rule, so their Jaccard index estimates that of the sets, with a
standard error of 0.025 at 0.8; of short texts it is exact. Shingles that most messages of a workload have say nothing
about the task and are left out (as for near-duplicates within a bank).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twinbench.errors import UsageError
from twinbench.reading.input_files import read_regular
from twinbench.text.shingles import near, shingles_of

_SKETCH_SIZE = 256
_HASH_BYTES = 6
_IN_SAMPLE = " (in-sample)"
"""The end of the name of a router that was scored on what it was trained on, wherever the name is shown."""

Hashes = frozenset[int]


class Seen(BaseModel):
    """The groups and texts of the trajectories that a router was trained on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    groups: list[str]
    sketches: list[Annotated[list[int], Field(max_length=_SKETCH_SIZE)]]
    """The sketch of each distinct first message, in ascending order."""
    templates: dict[str, list[int]]
    """Hashes of the shingles that most first messages of a workload have, by workload."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what a trained router's folder says about its training data.

        Raises:
            ValueError: it is not what this release keeps.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            raise ValueError("not what this release keeps of training data") from None

    def instances(self) -> set[str]:
        """Return the ids of the instances that its groups are of: a group is an instance, or ``workload/instance``."""
        return {*self.groups, *(instance for group in self.groups if (instance := group.partition("/")[2]))}


@dataclass(frozen=True)
class Overlap:
    """The overlap of a set of trajectories or tasks with a router's training data."""

    kind: str
    """The noun for what is compared, such as ``groups`` or ``tasks``."""
    same: tuple[str, ...] = ()
    """Groups or tasks that the router was trained on."""
    near: tuple[str, ...] = ()
    """Others that begin nearly like something that it was trained on."""

    @classmethod
    def union(cls, kind: str, overlaps: Iterable[Self]) -> Self:
        """Return what any of several overlaps of the same kind has, in order; what is the same in one is not near."""
        found = list(overlaps)
        same = {name for each in found for name in each.same}
        near = {name for each in found for name in each.near} - same
        return cls(kind, tuple(sorted(same)), tuple(sorted(near)))

    def __len__(self) -> int:
        """Return how many groups or tasks are in common; an overlap is false if there are none."""
        return len(self.same) + len(self.near)

    def __str__(self) -> str:
        """Return the overlap in words, with an example."""
        parts = []
        if self.same:
            parts.append(f"{len(self.same):,} of its {self.kind}, such as {self.same[0]}")
        if self.near:
            parts.append(f"near-duplicates of {len(self.near):,} more, such as {self.near[0]}")
        return " and ".join(parts)


def read_seen(path: Path) -> Seen:
    """Read what a trained router's folder says about its training data.

    Raises:
        UsageError: the file is not of this release.
    """
    try:
        return Seen.parse(read_regular(path))
    except (ValueError, OSError):
        raise UsageError(f"{path}: not what this release keeps of training data: train the router again") from None


class SeenTexts:
    """The first messages that a router was trained on, indexed to find near-duplicates."""

    def __init__(self, seen: Seen) -> None:
        """Index the sketches of ``seen``."""
        self._templates = {workload: frozenset(hashes) for workload, hashes in seen.templates.items()}
        self._sketches = [frozenset(sketch) for sketch in seen.sketches]
        self._bounds = [_bound(sketch) for sketch in seen.sketches]
        self._with: dict[int, list[int]] = defaultdict(list)
        for place, each in enumerate(seen.sketches):
            for hashed in each:
                self._with[hashed].append(place)

    def has_near(self, hashes: Hashes, workload: str = "", local_templates: Hashes = frozenset()) -> bool:
        """Return whether a text is a near-duplicate of one that the router was trained on.

        Args:
            hashes: the text, as ``hash_shingles`` gives it.
            workload: the workload whose template is left out; empty for none.
            local_templates: further shingles that say nothing about the task.
        """
        common = local_templates | self._templates.get(workload, frozenset())
        mine = sketch(hashes - common)
        bound = _bound(mine)
        for place in {place for each in mine for place in self._with.get(each, ())}:
            below = min(bound, self._bounds[place])
            one = {each for each in mine if each <= below}
            other = {each for each in self._sketches[place] if each <= below} - common
            if one and other and near(one, other):
                return True
        return False


def hash_shingles(text: str) -> Hashes:
    """Return the hashed shingles of a text; equal texts have the same in every process."""
    return frozenset(
        int.from_bytes(hashlib.blake2b(shingle.encode("utf-8", "replace"), digest_size=_HASH_BYTES).digest(), "big")
        for shingle in shingles_of(text)
    )


def sketch(hashes: AbstractSet[int]) -> list[int]:
    """Return the smallest of some hashes, in ascending order."""
    return sorted(hashes)[:_SKETCH_SIZE]


def _bound(hashes: Iterable[int]) -> int:
    """Return the largest hash up to which a sketch has all hashes of its text."""
    held = list(hashes)
    return held[-1] if len(held) == _SKETCH_SIZE else 2 ** (8 * _HASH_BYTES)


def mark_in_sample(name: str, *, in_sample: bool = True) -> str:
    """Return a router's name, marked if it was scored on what it was trained on; a mark is not repeated."""
    return name if not in_sample or is_in_sample(name) else f"{name}{_IN_SAMPLE}"


def is_in_sample(name: str) -> bool:
    """Return whether a router's name has the mark of ``mark_in_sample``."""
    return name.endswith(_IN_SAMPLE)


def without_mark(name: str) -> str:
    """Return a router's spec, from a name that may have the mark of ``mark_in_sample``."""
    return name.removesuffix(_IN_SAMPLE)
