"""The one rule of rounding that the whole library follows."""

from fractions import Fraction


def round_half(value: Fraction) -> int:
    """The nearest whole number; a half is rounded away from zero."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
