"""Units as multiples of the SI's base units."""

from dataclasses import dataclass
from fractions import Fraction

from metricmill.dimension import Dimension


@dataclass(frozen=True)
class Unit:
    """A multiple of metres, kilograms, seconds and kelvins, to some exponents."""

    scale: Fraction
    dimension: Dimension

    def __mul__(self, other: "Unit") -> "Unit":
        return Unit(self.scale * other.scale, self.dimension * other.dimension)

    def power(self, exponent: int) -> "Unit":
        """The unit multiplied with itself; a negative exponent divides."""
        return Unit(self.scale**exponent, self.dimension.power(exponent))

    def scaled(self, factor: Fraction) -> "Unit":
        """A unit that is ``factor`` times as large."""
        return Unit(self.scale * factor, self.dimension)


NO_UNIT = Unit(Fraction(1), Dimension())
