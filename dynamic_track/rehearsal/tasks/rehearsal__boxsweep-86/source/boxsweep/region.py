"""What several boxes cover together."""

from collections.abc import Iterable, Iterator

from boxsweep import measure
from boxsweep.box import Box


class Region:
    """An immutable set of boxes, which may overlap."""

    def __init__(self, boxes: Iterable[Box] = ()) -> None:
        self._boxes = tuple(sorted(set(boxes)))

    def __iter__(self) -> Iterator[Box]:
        return iter(self._boxes)

    def __len__(self) -> int:
        return len(self._boxes)

    def __repr__(self) -> str:
        return f"Region([{', '.join(map(repr, self._boxes))}])"

    @property
    def area(self) -> int:
        """How many squares are covered."""
        return measure.area(self._boxes)

    @property
    def perimeter(self) -> int:
        """The length of the border between what is covered and what is not."""
        return measure.perimeter(self._boxes)

    @property
    def depth(self) -> int:
        """The largest number of boxes that cover the same square."""
        return measure.depth(self._boxes)

    @property
    def pieces(self) -> "list[Region]":
        """The parts that hang together, in the order of their first boxes."""
        return [Region(group) for group in measure.pieces(self._boxes)]

    @property
    def bounds(self) -> Box | None:
        """The smallest box around everything, None around nothing."""
        if not self._boxes:
            return None
        return Box(
            min(box.left for box in self._boxes),
            min(box.bottom for box in self._boxes),
            max(box.right for box in self._boxes),
            max(box.top for box in self._boxes),
        )

    def union(self, other: "Region") -> "Region":
        """What at least one of the two covers."""
        return Region([*self, *other])

    def clipped(self, bounds: Box) -> "Region":
        """What is covered inside of a box."""
        inside = (box.clipped(bounds) for box in self._boxes)
        return Region(box for box in inside if box is not None)

    def moved(self, right: int, up: int) -> "Region":
        """The region at another place."""
        return Region(box.moved(right, up) for box in self._boxes)
