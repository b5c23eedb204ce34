"""How often each part of an upright line is covered."""

from bisect import bisect_left
from collections.abc import Iterable

from boxsweep.box import Box


class Coverage:
    """The line at which a sweep has arrived: counts between the bottoms and tops of all boxes."""

    def __init__(self, boxes: Iterable[Box]) -> None:
        self._heights = sorted({height for box in boxes for height in (box.bottom, box.top)})
        self._counts = [0] * len(self._heights)

    def change(self, box: Box, by: int) -> None:
        """Covers the line from the bottom to the top of a box once more, or, with -1, once less."""
        first, last = bisect_left(self._heights, box.bottom), bisect_left(self._heights, box.top)
        for position in range(first, last):
            self._counts[position] += by

    @property
    def length(self) -> int:
        """How much of the line is covered at all."""
        return sum(
            self._heights[position + 1] - self._heights[position]
            for position, number in enumerate(self._counts)
            if number
        )

    @property
    def most(self) -> int:
        """The largest number of boxes that cover the same part of the line."""
        return max(self._counts, default=0)
