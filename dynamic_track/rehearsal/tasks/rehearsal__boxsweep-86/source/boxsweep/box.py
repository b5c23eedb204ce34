"""One upright box."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle whose sides are upright and level."""

    left: int
    bottom: int
    right: int
    top: int

    def __post_init__(self) -> None:
        if self.left >= self.right or self.bottom >= self.top:
            raise ValueError(f"a box covers at least one square, got {self}")

    @property
    def width(self) -> int:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """From bottom to top."""
        return self.top - self.bottom

    @property
    def turned(self) -> "Box":
        """The box with its axes swapped: what was level is upright."""
        return Box(self.bottom, self.left, self.top, self.right)

    def moved(self, right: int, up: int) -> "Box":
        """The box at another place."""
        return Box(self.left + right, self.bottom + up, self.right + right, self.top + up)

    def clipped(self, bounds: "Box") -> "Box | None":
        """The part of the box inside of another one, or None if there is none."""
        left, bottom = max(self.left, bounds.left), max(self.bottom, bounds.bottom)
        right, top = min(self.right, bounds.right), min(self.top, bounds.top)
        return Box(left, bottom, right, top) if left < right and bottom < top else None
