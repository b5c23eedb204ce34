"""Two versions with a common base become one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimerge.edits import Edit, apply_edits, edits_between
from trimerge.lines import split_lines
from trimerge.result import Conflict, Merged


@dataclass
class Region:
    """Lines of the base from ``start`` to before ``end``, with the edits of both sides that meet there."""

    start: int
    end: int
    ours: list[Edit] = field(default_factory=list)
    theirs: list[Edit] = field(default_factory=list)

    def meets(self, edit: Edit) -> bool:
        """Whether an edit, which starts no earlier than the region, belongs to it."""
        return edit.start < self.end

    def take(self, edit: Edit, is_ours: bool) -> None:
        """Makes an edit a part of the region."""
        (self.ours if is_ours else self.theirs).append(edit)
        self.end = edit.end


def merge(base: str, ours: str, theirs: str) -> Merged:
    """The base with the edits of both versions; where these meet and differ, a conflict."""
    lines = split_lines(base)
    regions = find_regions(
        edits_between(lines, split_lines(ours)),
        edits_between(lines, split_lines(theirs)),
    )
    parts: list[tuple[str, ...] | Conflict] = []
    position = 0
    for region in regions:
        parts += [tuple(lines[position : region.start]), resolve(lines, region)]
        position = region.end
    parts.append(tuple(lines[position:]))
    return Merged([part for part in parts if part])


def find_regions(ours: Sequence[Edit], theirs: Sequence[Edit]) -> list[Region]:
    """The edits of both sides, those that meet together, from top to bottom."""
    edits = [*((edit, True) for edit in ours), *((edit, False) for edit in theirs)]
    regions: list[Region] = []
    for edit, is_ours in sorted(edits, key=lambda entry: (entry[0].start, entry[0].end)):
        if not regions or not regions[-1].meets(edit):
            regions.append(Region(edit.start, edit.end))
        regions[-1].take(edit, is_ours)
    return regions


def resolve(base: Sequence[str], region: Region) -> tuple[str, ...] | Conflict:
    """What becomes of a region: the lines that are agreed on, or a conflict."""
    ours = tuple(apply_edits(base, region.ours, region.start, region.end))
    theirs = tuple(apply_edits(base, region.theirs, region.start, region.end))
    if not region.theirs or ours == theirs:
        return ours
    if not region.ours:
        return theirs
    return Conflict(tuple(base[region.start : region.end]), ours, theirs)
