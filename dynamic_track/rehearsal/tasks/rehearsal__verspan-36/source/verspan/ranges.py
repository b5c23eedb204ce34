"""Ranges: alternatives of terms that must all hold."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from verspan.bounds import caret, lowest, tilde, wildcard
from verspan.errors import RangeError
from verspan.version import Version

_OPERATORS: dict[str, Callable[[Version, Version], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_SHORTHANDS = {"^": caret, "~": tilde, "": wildcard}
_TERM = re.compile(
    r"(?P<operator>>=|<=|>|<|=|\^|~|)\s*v?(?P<parts>[0-9xX*]+(?:\.[0-9xX*]+){0,2})(?P<labels>-[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True)
class Comparator:
    """A version and how others have to compare with it."""

    symbol: str
    version: Version

    def holds(self, version: Version) -> bool:
        """Whether a version compares so; says nothing about prereleases."""
        return _OPERATORS[self.symbol](version, self.version)


@dataclass(frozen=True)
class Range:
    """Versions that satisfy every comparator of at least one alternative."""

    text: str
    alternatives: tuple[tuple[Comparator, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Range":
        """The range in a text.

        Raises:
            RangeError: a term cannot be understood.
        """
        return cls(text, tuple(_alternative(part) for part in text.split("||")))

    def __str__(self) -> str:
        return self.text

    def allows(self, version: Version | str) -> bool:
        """Whether the version is in the range."""
        asked = Version.parse(version) if isinstance(version, str) else version
        return any(_allows(alternative, asked) for alternative in self.alternatives)


def _allows(comparators: tuple[Comparator, ...], version: Version) -> bool:
    if not all(comparator.holds(version) for comparator in comparators):
        return False
    named = {comparator.version.core for comparator in comparators if comparator.version.prerelease}
    return not version.prerelease or version.core in named


def _alternative(text: str) -> tuple[Comparator, ...]:
    comparators: list[Comparator] = []
    position = 0
    stripped = text.strip()
    while position < len(stripped):
        match = _TERM.match(stripped, position)
        if match is None or stripped[match.end() : match.end() + 1].strip():
            raise RangeError(f"not a range: {stripped[position:]!r}")
        comparators += _comparators(match["operator"], match["parts"], match["labels"] or "")
        position = match.end() + len(stripped[match.end() :]) - len(stripped[match.end() :].lstrip())
    if not comparators:
        raise RangeError(f"an empty alternative: {text!r}")
    return tuple(comparators)


def _comparators(symbol: str, written: str, labels: str) -> list[Comparator]:
    parts = _numbers(written)
    if labels and len(parts) < 3:
        raise RangeError(f"a prerelease of no version: {written + labels!r}")
    if symbol in _OPERATORS or (symbol == "" and len(parts) == 3):
        return [Comparator(symbol or "=", Version.parse(f"{lowest(parts)}{labels}"))]
    if symbol and not parts:
        raise RangeError(f"{symbol} of nothing: {symbol + written!r}")
    first, end = _SHORTHANDS[symbol](parts)
    comparators = [Comparator(">=", Version.parse(f"{first}{labels}"))]
    return comparators if end is None else [*comparators, Comparator("<", end)]


def _numbers(written: str) -> list[int]:
    """The parts up to the first wildcard."""
    numbers: list[int] = []
    for part in written.split("."):
        if part in ("x", "X", "*"):
            break
        if not part.isdigit():
            raise RangeError(f"not a version part: {part!r}")
        numbers.append(int(part))
    return numbers
