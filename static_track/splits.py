"""Parts of a bank, drawn by trajectory: for training, for choosing, for the last word.

Instances of heldout100 stand in a part of their own, in no other part of any split (dynamic.md, "Splits").
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint

HELDOUT = "heldout"


@dataclass(frozen=True)
class Split:
    """Some of a bank's trajectories, by number."""

    name: str | None
    trajectories: tuple[int, ...] | None
    """None: all of them."""

    def condition(self, column: str = "trajectory") -> str:
        """The part as an SQL condition on the column that holds trajectory numbers."""
        if self.trajectories is None:
            return "true"
        return f"{column} IN ({', '.join(map(str, self.trajectories))})" if self.trajectories else "false"

    @property
    def fingerprint(self) -> str | None:
        """Of the trajectories in it; None for the whole bank."""
        return None if self.trajectories is None else fingerprint(self.trajectories)


ALL = Split(None, None)


@dataclass(frozen=True)
class TrajectoryLabel:
    """What stratifies a trajectory: its workload and its highest label."""

    trajectory: int
    workload: str
    instance_id: str
    highest: int
    heldout: bool


@dataclass(frozen=True)
class SplitPlan:
    """A split of a bank into named parts."""

    name: str
    seed: int
    shares: Mapping[str, float]
    parts: Mapping[str, tuple[int, ...]]

    def to_json(self, bank_sha256: str) -> dict[str, Any]:
        """The sidecar file's content."""
        content = {
            "name": self.name,
            "bank": bank_sha256,
            "seed": self.seed,
            "shares": dict(self.shares),
            "parts": {part: list(numbers) for part, numbers in self.parts.items()},
        }
        return {**content, "fingerprint": fingerprint(content)}


def parse_shares(text: str) -> dict[str, float]:
    """``train=60,dev=20,test=20`` as shares that add up to 1.

    Raises:
        UsageError: not of that form.
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
            raise UsageError(f"parts {text!r}: {part.strip()!r} stands twice or is reserved")
        shares[part.strip()] = weight
    total = sum(shares.values())
    return {part: weight / total for part, weight in shares.items()}


def plan_split(name: str, trajectories: Sequence[TrajectoryLabel], shares: Mapping[str, float], seed: int) -> SplitPlan:
    """Deal the trajectories to parts: by stratum (workload and highest label), in an order drawn from the seed.

    Within a stratum each next trajectory goes to the part that is furthest below its share; strata are dealt one after
    the
    other over the same running counts, so that small strata do not all fall to the first part.
    """
    strata: dict[tuple[str, int], list[TrajectoryLabel]] = defaultdict(list)
    parts: dict[str, list[int]] = {part: [] for part in shares}
    held_out = [label.trajectory for label in trajectories if label.heldout]
    for label in trajectories:
        if not label.heldout:
            strata[label.workload, label.highest].append(label)
    owed = dict.fromkeys(shares, 0.0)
    for stratum in sorted(strata):
        drawn = sorted(strata[stratum], key=lambda label: _draw(seed, label))
        for label in drawn:
            for part, share in shares.items():
                owed[part] += share
            due = max(owed, key=lambda part: owed[part])
            owed[due] -= 1
            parts[due].append(label.trajectory)
    if held_out:
        parts[HELDOUT] = held_out
    return SplitPlan(name, seed, shares, {part: tuple(sorted(numbers)) for part, numbers in parts.items()})


def split_path(folder: Path, bank_sha256: str, name: str) -> Path:
    """The sidecar file of a split."""
    return folder / f"{bank_sha256}.split-{name}.json"


def load_split(folder: Path, bank_sha256: str, wanted: str, held_out: Sequence[int]) -> Split:
    """The part that ``wanted`` names: ``part``, or ``split/part`` where several splits have such a part.

    Raises:
        UsageError: no such part, or several.
        TwinbenchError: the sidecar file is damaged.
    """
    plans = [_read(path) for path in sorted(folder.glob(f"{bank_sha256}.split-*.json"))]
    split_name, slash, part = wanted.rpartition("/")
    if wanted == HELDOUT:
        return Split(wanted, tuple(held_out))
    found = [plan for plan in plans if part in plan["parts"] and (not slash or plan["name"] == split_name)]
    if len(found) == 1:
        return Split(wanted, tuple(found[0]["parts"][part]))
    if found:
        ways = " or ".join(f"{plan['name']}/{part}" for plan in found)
        raise UsageError(f"several splits have a part {part!r}: say {ways}")
    known = ", ".join(f"{plan['name']}/{part}" for plan in plans for part in plan["parts"]) or "none yet"
    raise UsageError(f"no part {wanted!r} (parts: {known}); make a split with: twinbench bank split NAME")


def list_splits(folder: Path, bank_sha256: str) -> list[dict[str, Any]]:
    """The splits of a bank."""
    return [_read(path) for path in sorted(folder.glob(f"{bank_sha256}.split-*.json"))]


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        claimed = content.pop("fingerprint")
        if claimed != fingerprint(content):
            raise ValueError("fingerprint")
    except (ValueError, KeyError):
        raise TwinbenchError(f"{path} is damaged: make the split again") from None
    return {**content, "fingerprint": claimed}


def _draw(seed: int, label: TrajectoryLabel) -> str:
    return hashlib.sha256(f"{seed}\0{label.workload}\0{label.instance_id}".encode()).hexdigest()
