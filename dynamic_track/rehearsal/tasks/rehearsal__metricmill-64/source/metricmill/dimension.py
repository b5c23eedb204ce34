"""What kind of thing a unit measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimension:
    """Exponents of the base dimensions."""

    length: int = 0
    mass: int = 0
    time: int = 0
    temperature: int = 0

    def __mul__(self, other: "Dimension") -> "Dimension":
        return Dimension(
            self.length + other.length,
            self.mass + other.mass,
            self.time + other.time,
            self.temperature + other.temperature,
        )

    def power(self, exponent: int) -> "Dimension":
        """The dimension multiplied with itself."""
        return Dimension(
            self.length * exponent, self.mass * exponent, self.time * exponent, self.temperature * exponent
        )

    def __str__(self) -> str:
        named = {"length": self.length, "mass": self.mass, "time": self.time, "temperature": self.temperature}
        return " ".join(f"{name}^{exponent}" for name, exponent in named.items() if exponent) or "none"
