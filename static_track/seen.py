"""What a router was trained on, kept so that it can be recognised in another bank: groups, and sketches of texts.

A sketch of a trajectory's first message is the smallest hashes of its shingles (a bottom-k sketch). Of two sketches,
the hashes below both their bounds are samples of the two sets by the same rule, so their Jaccard index estimates that
of the sets, with a standard error of 0.025 at 0.8; of short texts it is exact. Shingles that most messages of a
workload have, in the bank that was trained on or in the one that is scored, say nothing of the task and are left out
(as ``banks.near_duplicates`` does).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from static_track.banks.bank import Bank
from static_track.banks.near_duplicates import FirstMessage, near, shingles_of, templates
from static_track.banks.splits import Split
from twinbench.errors import UsageError

_SKETCH_SIZE = 256
_HASH_BYTES = 6

Hashes = frozenset[int]


class Seen(BaseModel):
    """The groups and texts of the trajectories that a router was trained on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    groups: list[str]
    sketches: list[Annotated[list[int], Field(max_length=_SKETCH_SIZE)]]
    """Of each different first message, in ascending order."""
    templates: dict[str, list[int]]
    """Hashes of the shingles that most first messages of a workload have, by workload."""


@dataclass(frozen=True)
class Overlap:
    """What a part of a bank has in common with what a router was trained on."""

    groups: Sequence[str] = ()
    """Groups that it was trained on."""
    near: Sequence[str] = ()
    """Other groups of which a trajectory begins nearly like one that it was trained on."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.near)

    def __str__(self) -> str:
        parts = []
        if self.groups:
            parts.append(f"{len(self.groups):,} of its groups, such as {self.groups[0]}")
        if self.near:
            parts.append(f"near-duplicates of {len(self.near):,} more, such as {self.near[0]}")
        return " and ".join(parts)


def seen_of(bank: Bank, trajectories: Sequence[int]) -> Seen:
    """What is to be kept of a bank's trajectories, by number."""
    wanted = set(trajectories)
    hashed = _hashed(bank)
    common = _templates(hashed)
    sketches = {
        tuple(_sketch(hashes - common.get(workload, frozenset())))
        for number, (workload, hashes) in hashed.items()
        if number in wanted
    }
    groups = bank.groups()
    return Seen(
        groups=sorted({groups[number] for number in wanted}),
        sketches=sorted(list(sketch) for sketch in sketches if sketch),
        templates={workload: sorted(hashes) for workload, hashes in sorted(common.items()) if hashes},
    )


def read_seen(path: Path) -> Seen:
    """What a trained router's folder says of it.

    Raises:
        UsageError: the file is not of this release.
    """
    try:
        return Seen.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        raise UsageError(f"{path}: not what this release keeps of training data: train the router again") from None


@dataclass
class Recogniser:
    """Finds in a part of a bank what a router was trained on."""

    bank: Bank
    split: Split
    _hashed: Mapping[int, tuple[str, Hashes]] | None = field(default=None, init=False)

    def overlap(self, seen: Seen) -> Overlap:
        """What the part has in common with what was seen."""
        numbers = range(self.bank.info.trajectories) if self.split.trajectories is None else self.split.trajectories
        groups = self.bank.groups()
        trained = set(seen.groups)
        same = sorted({groups[number] for number in numbers if groups[number] in trained})
        if self._hashed is None:
            self._hashed = _hashed(self.bank)
        known = _Sketches(seen)
        local = _templates(self._hashed)
        alike = set()
        for number in numbers:
            if number in self._hashed and groups[number] not in trained:
                workload, hashes = self._hashed[number]
                if known.has_near(workload, hashes, local.get(workload, frozenset())):
                    alike.add(groups[number])
        return Overlap(same, sorted(alike))


class _Sketches:
    """The sketches of what was seen, looked up by hash."""

    def __init__(self, seen: Seen) -> None:
        self._templates = {workload: frozenset(hashes) for workload, hashes in seen.templates.items()}
        self._sketches = [frozenset(sketch) for sketch in seen.sketches]
        self._bounds = [_bound(sketch) for sketch in seen.sketches]
        self._with: dict[int, list[int]] = defaultdict(list)
        for place, sketch in enumerate(seen.sketches):
            for each in sketch:
                self._with[each].append(place)

    def has_near(self, workload: str, hashes: Hashes, local_templates: Hashes) -> bool:
        """Whether a first message is nearly one of them."""
        common = local_templates | self._templates.get(workload, frozenset())
        mine = _sketch(hashes - common)
        bound = _bound(mine)
        for place in {place for each in mine for place in self._with.get(each, ())}:
            below = min(bound, self._bounds[place])
            one = {each for each in mine if each <= below}
            other = {each for each in self._sketches[place] if each <= below} - common
            if one and other and near(one, other):
                return True
        return False


def _hashed(bank: Bank) -> dict[int, tuple[str, Hashes]]:
    """The workload and the hashed shingles of each trajectory's first message, by number."""
    return {each.trajectory: (each.workload, _hashes(each)) for each in bank.first_messages()}


def _hashes(message: FirstMessage) -> Hashes:
    return frozenset(
        int.from_bytes(hashlib.blake2b(shingle.encode("utf-8", "replace"), digest_size=_HASH_BYTES).digest(), "big")
        for shingle in shingles_of(message.text)
    )


def _templates(hashed: Mapping[int, tuple[str, Hashes]]) -> dict[str, Hashes]:
    return templates(dict.fromkeys(hashed.values()))


def _sketch(hashes: AbstractSet[int]) -> list[int]:
    return sorted(hashes)[:_SKETCH_SIZE]


def _bound(sketch: Iterable[int]) -> int:
    """The largest hash up to which a sketch has all hashes of its text."""
    held = list(sketch)
    return held[-1] if len(held) == _SKETCH_SIZE else 2 ** (8 * _HASH_BYTES)
