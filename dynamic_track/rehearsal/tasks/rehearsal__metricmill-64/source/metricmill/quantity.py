"""Numbers with units."""

import math
from dataclasses import replace
from functools import total_ordering

from metricmill.grammar import Term, parse_terms, unit_of, write_terms
from metricmill.symbols import PREFIXES, THOUSANDS, UNPREFIXED
from metricmill.unit import Unit


class DimensionError(TypeError):
    """Quantities that measure different things."""


@total_ordering
class Quantity:
    """A number with a unit."""

    def __init__(self, value: float, terms: tuple[Term, ...] = ()) -> None:
        self.value = value
        self.terms = terms

    @classmethod
    def parse(cls, text: str) -> "Quantity":
        """A quantity written as ``90 km/h``.

        Raises:
            ValueError: there is no number, or what follows is no unit.
        """
        number, _, unit = text.strip().partition(" ")
        return cls(float(number), parse_terms(unit))

    @property
    def unit(self) -> Unit:
        """The unit of the number."""
        return unit_of(self.terms)

    def to(self, unit: str) -> "Quantity":
        """The same quantity in another unit.

        Raises:
            UnitError: the text is no unit.
            DimensionError: the unit measures something else.
        """
        return self._in(parse_terms(unit))

    def compact(self) -> "Quantity":
        """The same quantity with the prefix at its first symbol with which the number is smallest, but at least 1."""
        if not self.terms or self.terms[0].symbol in UNPREFIXED or self.terms[0].divided or not self.value:
            return self
        head, *rest = self.terms
        plain = self._in((replace(head, prefix=""), *rest))
        steps = {prefix: PREFIXES[prefix] for prefix in THOUSANDS}
        fitting = [prefix for prefix in THOUSANDS if abs(plain.value) >= steps[prefix]]
        best = max(fitting, key=steps.__getitem__) if fitting else min(steps, key=steps.__getitem__)
        return Quantity(plain.value / float(steps[best]), (replace(head, prefix=best), *rest))

    def __str__(self) -> str:
        return f"{self.value:.12g} {write_terms(self.terms)}".rstrip()

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.value + other._in(self.terms).value, self.terms)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.value - other._in(self.terms).value, self.terms)

    def __mul__(self, other: "Quantity | float") -> "Quantity":
        if isinstance(other, Quantity):
            return Quantity(self.value * other.value, (*self.terms, *other.terms))
        return Quantity(self.value * other, self.terms)

    def __truediv__(self, other: "Quantity | float") -> "Quantity":
        if isinstance(other, Quantity):
            turned = (replace(term, divided=not term.divided) for term in other.terms)
            return Quantity(self.value / other.value, (*self.terms, *turned))
        return Quantity(self.value / other, self.terms)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quantity):
            return NotImplemented
        if self.unit.dimension != other.unit.dimension:
            return False
        return math.isclose(self.value, other._in(self.terms).value, rel_tol=1e-12)

    def __lt__(self, other: "Quantity") -> bool:
        return self != other and self.value < other._in(self.terms).value

    __hash__ = None  # equality has a tolerance

    def _in(self, terms: tuple[Term, ...]) -> "Quantity":
        unit, wanted = self.unit, unit_of(terms)
        if unit.dimension != wanted.dimension:
            raise DimensionError(f"{write_terms(self.terms)} is {unit.dimension}, not {wanted.dimension}")
        return Quantity(self.value * float(unit.scale / wanted.scale), terms)
