"""Currencies and how finely they are divided."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Currency:
    """A currency by its ISO 4217 code, with the number of decimals of its minor unit."""

    code: str
    decimals: int

    @property
    def units(self) -> int:
        """Minor units in one major unit."""
        return 10**self.decimals


EUR = Currency("EUR", 2)
JPY = Currency("JPY", 0)
KWD = Currency("KWD", 3)
