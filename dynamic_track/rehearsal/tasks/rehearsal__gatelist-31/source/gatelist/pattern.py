"""Patterns of resources."""

from dataclasses import dataclass
from functools import cached_property

ANY_PART = "*"
ANYTHING_BELOW = "**"


@dataclass(frozen=True)
class Pattern:
    """A path in which ``*`` is any one part and ``**`` at the end is everything below, and the place itself."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.startswith("/"):
            raise ValueError(f"a pattern begins with /: {self.text!r}")
        if ANYTHING_BELOW in self.parts[:-1]:
            raise ValueError(f"** stands only at the end: {self.text!r}")

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts between the slashes."""
        return split(self.text)

    @property
    def specificity(self) -> int:
        """The number of parts that are written out."""
        return sum(part not in (ANY_PART, ANYTHING_BELOW) for part in self.parts)

    def matches(self, resource: str) -> bool:
        """Whether a resource is among those that the pattern means."""
        asked = split(resource)
        wanted = self.parts
        if wanted[-1:] == (ANYTHING_BELOW,):
            wanted = wanted[:-1]
            asked = asked[: len(wanted)]
        if len(asked) != len(wanted):
            return False
        return all(part in (ANY_PART, other) for part, other in zip(wanted, asked, strict=True))


def split(path: str) -> tuple[str, ...]:
    """The parts of a path; slashes at the end and doubled ones do not count."""
    return tuple(part for part in path.split("/") if part)
