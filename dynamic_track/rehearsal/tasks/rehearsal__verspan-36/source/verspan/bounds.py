"""The lowest version that a shorthand allows, and the first one above it that it does not allow any more."""

from collections.abc import Sequence

from verspan.version import Version

Bounds = tuple[Version, Version | None]
"""From, and up to but without; None for no end."""


def lowest(parts: Sequence[int]) -> Version:
    """The first release that begins with the parts."""
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return Version(major, minor, patch)


def bumped(parts: Sequence[int], index: int) -> Version:
    """The first release in which the part at the index is higher by one."""
    return lowest([*parts[:index], parts[index] + 1])


def wildcard(parts: Sequence[int]) -> Bounds:
    """Every version that begins with the parts; all versions where there are none."""
    if not parts:
        return lowest(parts), None
    return lowest(parts), bumped(parts, len(parts) - 1)


def tilde(parts: Sequence[int]) -> Bounds:
    """A higher patch, or a higher minor where only the major is written."""
    return lowest(parts), bumped(parts, min(len(parts) - 1, 1))


def caret(parts: Sequence[int]) -> Bounds:
    """What leaves the leftmost part that is not zero as it is."""
    if parts[0]:
        return lowest(parts), bumped(parts, 0)
    return lowest(parts), Version(0, lowest(parts).minor + 1, 0)
