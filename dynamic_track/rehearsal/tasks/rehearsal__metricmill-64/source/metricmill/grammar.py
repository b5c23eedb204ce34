"""How units are written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from metricmill.symbols import PREFIXES, SYMBOLS, split_prefix
from metricmill.unit import NO_UNIT, Unit

_TERM = re.compile(r"\s*(/?)\s*([A-Za-z]+)(?:\^(-?\d+))?")


class UnitError(ValueError):
    """A text that is no unit."""


@dataclass(frozen=True)
class Term:
    """A symbol with its prefix and its exponent, which the unit is multiplied with or divided by."""

    prefix: str
    symbol: str
    exponent: int = 1
    divided: bool = False

    @property
    def unit(self) -> Unit:
        """What the term stands for."""
        unit = SYMBOLS[self.symbol].power(self.exponent).scaled(PREFIXES[self.prefix])
        return unit.power(-1) if self.divided else unit

    def __str__(self) -> str:
        exponent = "" if self.exponent == 1 else f"^{self.exponent}"
        return f"{self.prefix}{self.symbol}{exponent}"


def parse_terms(text: str) -> tuple[Term, ...]:
    """The terms of a unit, from left to right.

    Raises:
        UnitError: the text is no unit.
    """
    terms = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TERM.match(text, at)
        split = split_prefix(match[2]) if match else None
        if match is None or split is None:
            raise UnitError(f"not a unit: {text!r}")
        prefix, symbol = split
        terms.append(Term(prefix, symbol, int(match[3] or 1), match[1] == "/"))
        at = match.end()
    return tuple(terms)


def write_terms(terms: Iterable[Term]) -> str:
    """The text that `parse_terms` reads."""
    written = ""
    for term in terms:
        if term.divided:
            written += f"/{term}"
        else:
            written += f" {term}" if written else str(term)
    return written


def unit_of(terms: Iterable[Term]) -> Unit:
    """What the terms stand for together."""
    whole = NO_UNIT
    for term in terms:
        whole = whole * term.unit
    return whole
