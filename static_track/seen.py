"""Recognise in a part of a bank what a router was trained on, and record what is needed for that.

``twinbench.plugins.seen`` says what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from static_track.banks.bank import Bank
from static_track.banks.near_duplicates import templates
from static_track.banks.splits import BankPart
from twinbench.plugins.seen import Hashes, Overlap, Seen, SeenTexts, hash_shingles, sketch


def seen_of(bank: Bank, trajectories: Sequence[int]) -> Seen:
    """Return what is recorded of a bank's trajectories, given by number."""
    wanted = set(trajectories)
    hashed = _hash_first_messages(bank)
    common = _templates(hashed)
    sketches = {
        tuple(sketch(hashes - common.get(workload, frozenset())))
        for number, (workload, hashes) in hashed.items()
        if number in wanted
    }
    groups = bank.groups()
    return Seen(
        groups=sorted({groups[number] for number in wanted}),
        sketches=sorted(list(each) for each in sketches if each),
        templates={workload: sorted(hashes) for workload, hashes in sorted(common.items()) if hashes},
    )


@dataclass
class Recogniser:
    """Finds in a part of a bank what a router was trained on."""

    bank: Bank
    split: BankPart
    _known: Mapping[int, tuple[str, Hashes]] | None = field(default=None, init=False)

    def overlap(self, seen: Seen) -> Overlap:
        """Return what the part has in common with what was seen."""
        numbers = range(self.bank.info.trajectories) if self.split.trajectories is None else self.split.trajectories
        groups = self.bank.groups()
        trained = set(seen.groups)
        same = sorted({groups[number] for number in numbers if groups[number] in trained})
        if self._known is None:
            self._known = _hash_first_messages(self.bank)
        texts = SeenTexts(seen)
        local = _templates(self._known)
        alike = set()
        for number in numbers:
            if number in self._known and groups[number] not in trained:
                workload, hashes = self._known[number]
                if texts.has_near(hashes, workload, local.get(workload, frozenset())):
                    alike.add(groups[number])
        return Overlap("groups", tuple(same), tuple(sorted(alike)))


def _hash_first_messages(bank: Bank) -> dict[int, tuple[str, Hashes]]:
    """Return the workload and the hashed shingles of each trajectory's first message, by number."""
    return {each.trajectory: (each.workload, hash_shingles(each.text)) for each in bank.first_messages()}


def _templates(hashed: Mapping[int, tuple[str, Hashes]]) -> dict[str, Hashes]:
    return templates(dict.fromkeys(hashed.values()))
