"""What comes out of a merge."""

from collections.abc import Sequence
from dataclasses import dataclass

from trimerge.lines import closed


@dataclass(frozen=True)
class Conflict:
    """Lines of the base that the two sides changed in different ways."""

    base: tuple[str, ...]
    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    def lines(self, names: tuple[str, str], base: bool) -> list[str]:
        """The conflict with its markers."""
        before = ["||||||| base\n", *closed(self.base)] if base else []
        ours = [f"<<<<<<< {names[0]}\n", *closed(self.ours)]
        theirs = ["=======\n", *closed(self.theirs), f">>>>>>> {names[1]}\n"]
        return [*ours, *before, *theirs]


@dataclass(frozen=True)
class Merged:
    """Lines that are merged, and conflicts between them."""

    parts: Sequence[tuple[str, ...] | Conflict]

    @property
    def conflicts(self) -> list[Conflict]:
        """The conflicts from top to bottom."""
        return [part for part in self.parts if isinstance(part, Conflict)]

    @property
    def clean(self) -> bool:
        """Whether there is no conflict."""
        return not self.conflicts

    def text(self, names: tuple[str, str] = ("ours", "theirs"), *, base: bool = False) -> str:
        """The merged text, with markers where there are conflicts."""
        lines: list[str] = []
        for part in self.parts:
            if isinstance(part, Conflict):
                lines = [*closed(lines), *part.lines(names, base)]
            else:
                lines += part
        return "".join(lines)
