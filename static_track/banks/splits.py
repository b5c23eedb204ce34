"""Split a bank by trajectory into parts, such as training, development and test.

Instances of heldout100 are in a part of their own and in no other part of any split (dynamic.md, "Splits").
Near-duplicates, and trajectories of the same group, are in one part; those of a held-out instance are held out too.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from static_track.banks.near_duplicates import Components
from twinbench.display.wording import did_you_mean
from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.text.shingles import JACCARD, SHINGLE_WORDS

HELDOUT = "heldout"
DEFAULT_SPLIT = "default"
"""The default name of a split."""


@dataclass(frozen=True)
class BankPart:
    """A part of a bank: some of its trajectories, by number."""

    name: str | None
    trajectories: tuple[int, ...] | None
    """The trajectories' numbers; None for the whole bank."""

    def condition(self, column: str = "trajectory") -> str:
        """Return the part as an SQL condition on the column with trajectory numbers."""
        if self.trajectories is None:
            return "true"
        return f"{column} IN ({', '.join(map(str, self.trajectories))})" if self.trajectories else "false"

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the trajectories; None for the whole bank."""
        return None if self.trajectories is None else fingerprint(self.trajectories)


WHOLE_BANK = BankPart(None, None)


@dataclass(frozen=True)
class TrajectoryLabel:
    """The stratum of a trajectory: its workload and its highest label."""

    trajectory: int
    workload: str
    instance_id: str
    highest: int
    heldout: bool


@dataclass(frozen=True)
class Grouping:
    """Groups of trajectories that are kept in one part."""

    groups: tuple[tuple[int, ...], ...]
    """The groups, each of two or more trajectory numbers."""
    joined_heldout: tuple[int, ...]
    """Trajectories that are held out only because an instance of heldout100 is in their group."""

    @classmethod
    def from_groups(cls, groups: Sequence[tuple[int, ...]], trajectories: Sequence[TrajectoryLabel]) -> Self:
        """Make a grouping from groups of these trajectories."""
        held_out = {label.trajectory for label in trajectories if label.heldout}
        joined = {number for group in groups if held_out.intersection(group) for number in group} - held_out
        return cls(tuple(groups), tuple(sorted(joined)))

    def to_json(self) -> dict[str, Any]:
        """Return what a split's file says about the grouping."""
        sizes = [len(group) for group in self.groups]
        return {
            "groups": len(sizes),
            "trajectories": sum(sizes),
            "largest": max(sizes, default=0),
            "joined_heldout": list(self.joined_heldout),
        }


@dataclass(frozen=True)
class SplitPlan:
    """A split of a bank into named parts."""

    name: str
    seed: int
    shares: Mapping[str, float]
    parts: Mapping[str, tuple[int, ...]]
    near_duplicates: Grouping | None
    """Near-duplicates by first message (static_track.banks.near_duplicates); None: they were not kept together."""
    named_groups: Grouping | None = None
    """Groups that rows name; None if they name none."""

    def to_json(self, bank_sha256: str) -> dict[str, Any]:
        """Return the content of the split's sidecar file."""
        content = {
            "name": self.name,
            "bank": bank_sha256,
            "seed": self.seed,
            "shares": dict(self.shares),
            "near_duplicates": None
            if self.near_duplicates is None
            else {"shingle_words": SHINGLE_WORDS, "jaccard": float(JACCARD), **self.near_duplicates.to_json()},
            # Only if there are some, so that other splits keep their fingerprints.
            **({} if self.named_groups is None else {"named_groups": self.named_groups.to_json()}),
            "parts": {part: list(numbers) for part, numbers in self.parts.items()},
        }
        return {**content, "fingerprint": fingerprint(content)}


def parse_shares(text: str) -> dict[str, float]:
    """Parse ``train=60,dev=20,test=20`` to shares that add up to 1.

    Raises:
        UsageError: the text is not of that form.
    """
    shares: dict[str, float] = {}
    for item in text.split(","):
        part, equals, number = item.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not equals or not part.strip().isidentifier() or not 0 < weight < float("inf"):
            raise UsageError(f"parts {text!r}: write them as train=60,dev=20,test=20")
        if part.strip() in shares or part.strip() == HELDOUT:
            raise UsageError(f"parts {text!r}: {part.strip()!r} is given twice or is reserved")
        shares[part.strip()] = weight
    total = sum(shares.values())
    return {part: weight / total for part, weight in shares.items()}


def plan_split(
    name: str,
    trajectories: Sequence[TrajectoryLabel],
    shares: Mapping[str, float],
    seed: int,
    near_duplicates: Sequence[tuple[int, ...]] | None = None,
    named_groups: Sequence[tuple[int, ...]] = (),
) -> SplitPlan:
    """Distribute the trajectories over parts, by stratum (workload and highest label), in an order drawn from the seed.

    Within a stratum each next trajectory goes to the part that is furthest below its share. Strata share the running
    counts, so that small strata do not all go to the first part. Trajectories that belong together (near-duplicates,
    named groups, or chains of both) are distributed as a unit, in the stratum of most of them, large units first, so
    that later ones even out their effect. A unit with an instance of heldout100 is held out.

    Args:
        name: the split's name.
        trajectories: all trajectories of a bank.
        shares: the share of each part; they add up to 1.
        seed: the seed of the random order.
        near_duplicates: near-duplicates to keep together; None: they are not kept together, and the plan says so.
        named_groups: named groups, which are always kept together.
    """
    together = merge_groups([*(near_duplicates or ()), *named_groups])
    whole = Grouping.from_groups(together, trajectories)
    found = None if near_duplicates is None else Grouping.from_groups(near_duplicates, trajectories)
    named = None
    if named_groups:
        joined = set(whole.joined_heldout).difference(() if found is None else found.joined_heldout)
        named = Grouping(tuple(named_groups), tuple(sorted(joined)))
    parts: dict[str, list[int]] = {part: [] for part in shares}
    held_out = {label.trajectory for label in trajectories if label.heldout}
    held_out.update(whole.joined_heldout)
    strata: dict[tuple[str, int], list[list[TrajectoryLabel]]] = defaultdict(list)
    for unit in _units([label for label in trajectories if label.trajectory not in held_out], together):
        strata[_stratum(unit)].append(unit)
    owed = dict.fromkeys(shares, 0.0)
    for stratum in sorted(strata):
        for unit in sorted(
            strata[stratum], key=lambda unit: (-len(unit), min(_draw_key(seed, label) for label in unit))
        ):
            for part, share in shares.items():
                owed[part] += share * len(unit)
            due = max(owed, key=lambda part: owed[part])
            owed[due] -= len(unit)
            parts[due] += (label.trajectory for label in unit)
    if held_out:
        parts[HELDOUT] = list(held_out)
    dealt = {part: tuple(sorted(numbers)) for part, numbers in parts.items()}
    return SplitPlan(name, seed, shares, dealt, found, named)


def merge_groups(groups: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Merge groups that share a trajectory."""
    components = Components(1 + max((number for group in groups for number in group), default=0))
    for group in groups:
        for number in group[1:]:
            components.join(group[0], number)
    merged: dict[int, list[int]] = defaultdict(list)
    for number in sorted({number for group in groups for number in group}):
        merged[components.find(number)].append(number)
    return sorted(map(tuple, merged.values()))


def _units(
    trajectories: Sequence[TrajectoryLabel], groups: Sequence[tuple[int, ...]]
) -> Iterator[list[TrajectoryLabel]]:
    """Yield the units of distribution: groups, and single trajectories that are in no group."""
    group_of = {number: -1 - place for place, group in enumerate(groups) for number in group}
    units: dict[int, list[TrajectoryLabel]] = defaultdict(list)
    for label in trajectories:
        units[group_of.get(label.trajectory, label.trajectory)].append(label)
    yield from units.values()


def _stratum(unit: Sequence[TrajectoryLabel]) -> tuple[str, int]:
    """Return the stratum of most of a unit's trajectories; the first one if several tie."""
    times = Counter((label.workload, label.highest) for label in unit)
    return min(times, key=lambda stratum: (-times[stratum], stratum))


def split_path(folder: Path, bank_sha256: str, name: str) -> Path:
    """Return the sidecar file of a split."""
    return folder / f"{bank_sha256}.split-{name}.json"


def load_split(folder: Path, bank_sha256: str, wanted: str, held_out: Sequence[int]) -> BankPart:
    """Return the part that ``wanted`` names: ``part``, or ``split/part`` if several splits have such a part.

    Raises:
        UsageError: the part does not exist, or the name is ambiguous.
        TwinbenchError: the sidecar file is damaged.
    """
    plan = split_of_part(folder, bank_sha256, wanted)
    return BankPart(wanted, tuple(held_out if plan is None else plan["parts"][wanted.rpartition("/")[2]]))


def split_of_part(folder: Path, bank_sha256: str, wanted: str) -> dict[str, Any] | None:
    """Return the split that a part belongs to, as its file has it; None for the held-out part, which every split has.

    Raises:
        UsageError: the part does not exist, or the name is ambiguous.
        TwinbenchError: the sidecar file is damaged.
    """
    plans = list_splits(folder, bank_sha256)
    split_name, slash, part = wanted.rpartition("/")
    if wanted == HELDOUT:
        return None
    found = [plan for plan in plans if part in plan["parts"] and (not slash or plan["name"] == split_name)]
    if len(found) == 1:
        return found[0]
    if found:
        ways = " or ".join(f"{plan['name']}/{part}" for plan in found)
        raise UsageError(f"several splits have a part {part!r}: name {ways}")
    known = [f"{plan['name']}/{part}" for plan in plans for part in plan["parts"]]
    meant = did_you_mean(wanted, [*known, *(each.partition("/")[2] for each in known), HELDOUT])
    then = f"{meant} Or create a split with:" if meant else "; create a split with:"
    raise UsageError(f"no part {wanted!r} (parts: {', '.join(known) or 'none yet'}){then} twinbench bank split NAME")


def list_splits(folder: Path, bank_sha256: str) -> list[dict[str, Any]]:
    """Return the splits of a bank."""
    return [_read_split(path) for path in sorted(folder.glob(f"{bank_sha256}.split-*.json"))]


def part_columns(folder: Path, bank_sha256: str, held_out: Sequence[int]) -> dict[str, dict[int, str]]:
    """Return for each split a column with the part of each trajectory, by trajectory number.

    The column ``part`` is for the split named ``default`` (without one it has only the part ``heldout``), ``part_NAME``
    for split NAME.
    """
    columns = {"part": dict.fromkeys(held_out, HELDOUT)}
    for split in list_splits(folder, bank_sha256):
        column = "part" if split["name"] == DEFAULT_SPLIT else f"part_{split['name']}"
        columns[column] = {number: part for part, numbers in split["parts"].items() for number in numbers}
    return columns


def _read_split(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        claimed = content.pop("fingerprint")
        if claimed != fingerprint(content):
            raise ValueError("fingerprint")
    except OSError as error:
        raise TwinbenchError(f"cannot read {path} ({error.strerror or error})") from None
    except (ValueError, KeyError, RecursionError):
        raise TwinbenchError(f"{path} is damaged: create the split again") from None
    return {**content, "fingerprint": claimed}


def _draw_key(seed: int, label: TrajectoryLabel) -> str:
    return hashlib.sha256(f"{seed}\0{label.workload}\0{label.instance_id}".encode()).hexdigest()
