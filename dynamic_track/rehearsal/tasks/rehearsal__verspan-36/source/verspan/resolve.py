"""Choosing among the versions that there are."""

from collections.abc import Iterable, Mapping

from verspan.ranges import Range
from verspan.version import Version


def best(available: Iterable[str], wanted: Range | str) -> Version | None:
    """The highest available version in the range, or None if there is none."""
    allowed = wanted if isinstance(wanted, Range) else Range.parse(wanted)
    return max((version for version in map(Version.parse, available) if allowed.allows(version)), default=None)


def outdated(
    installed: Mapping[str, str], wanted: Mapping[str, str], available: Mapping[str, Iterable[str]]
) -> dict[str, Version]:
    """What should be installed instead, by package, where that is another version than the installed one."""
    changes: dict[str, Version] = {}
    for package, version in sorted(installed.items()):
        choice = best(available.get(package, ()), wanted.get(package, "*"))
        if choice is not None and choice != Version.parse(version):
            changes[package] = choice
    return changes
