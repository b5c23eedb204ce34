"""The symbols of units and their prefixes."""

from fractions import Fraction

from metricmill.dimension import Dimension
from metricmill.unit import Unit

_MASS = Dimension(mass=1)
_TIME = Dimension(time=1)
_FORCE = Dimension(length=1, mass=1, time=-2)
_ENERGY = Dimension(length=2, mass=1, time=-2)

SYMBOLS = {
    "m": Unit(Fraction(1), Dimension(length=1)),
    "g": Unit(Fraction(1, 1000), _MASS),
    "t": Unit(Fraction(1000), _MASS),
    "s": Unit(Fraction(1), _TIME),
    "min": Unit(Fraction(60), _TIME),
    "h": Unit(Fraction(3600), _TIME),
    "K": Unit(Fraction(1), Dimension(temperature=1)),
    "L": Unit(Fraction(1, 1000), Dimension(length=3)),
    "Hz": Unit(Fraction(1), Dimension(time=-1)),
    "N": Unit(Fraction(1), _FORCE),
    "J": Unit(Fraction(1), _ENERGY),
    "W": Unit(Fraction(1), Dimension(length=2, mass=1, time=-3)),
    "Pa": Unit(Fraction(1), Dimension(length=-1, mass=1, time=-2)),
}
UNPREFIXED = frozenset({"min", "h"})

PREFIXES = {
    "G": Fraction(10**9),
    "M": Fraction(10**6),
    "k": Fraction(1000),
    "h": Fraction(100),
    "": Fraction(1),
    "d": Fraction(1, 10),
    "c": Fraction(1, 100),
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
THOUSANDS = ("G", "M", "k", "", "m", "u", "n")


def split_prefix(name: str) -> tuple[str, str] | None:
    """Prefix and symbol of a name as ``km``, or None where it is none; a symbol as it stands goes first."""
    if name in SYMBOLS:
        return "", name
    prefix, symbol = name[:1], name[1:]
    if prefix in PREFIXES and symbol in SYMBOLS and symbol not in UNPREFIXED:
        return prefix, symbol
    return None
