"""What turns one version into another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimerge.matching import common_lines


@dataclass(frozen=True)
class Edit:
    """The lines of the base from ``start`` to before ``end``, replaced by others."""

    start: int
    end: int
    lines: tuple[str, ...]

    @property
    def inserts(self) -> bool:
        """Whether no line of the base is replaced."""
        return self.start == self.end


def edits_between(base: Sequence[str], other: Sequence[str]) -> list[Edit]:
    """The edits that turn the base into the other version, in their order; between two of them is a line that stays."""
    edits = []
    base_at = other_at = 0
    for base_next, other_next in [*common_lines(base, other), (len(base), len(other))]:
        if base_at < base_next or other_at < other_next:
            edits.append(Edit(base_at, base_next, tuple(other[other_at:other_next])))
        base_at, other_at = base_next + 1, other_next + 1
    return edits


def apply_edits(base: Sequence[str], edits: Iterable[Edit], start: int = 0, end: int | None = None) -> list[str]:
    """The lines of the base, or those from ``start`` to before ``end``, with edits among them done."""
    lines: list[str] = []
    position = start
    for edit in edits:
        lines += base[position : edit.start]
        lines += edit.lines
        position = edit.end
    lines += base[position : len(base) if end is None else end]
    return lines
