"""The outline of a town."""

from collections.abc import Iterable

from boxsweep.box import Box
from boxsweep.events import events


def skyline(boxes: Iterable[Box]) -> list[tuple[int, int]]:
    """The points from left to right at which the upper outline of boxes on the ground changes its height."""
    points: list[tuple[int, int]] = []
    tops: list[int] = []
    for event in events(boxes):
        if event.box.bottom != 0:
            raise ValueError(f"a box of a skyline stands on the ground, got {event.box}")
        if event.opens:
            tops.append(event.box.top)
        else:
            tops.remove(event.box.top)
        if points and points[-1][0] == event.at:
            points.pop()
        height = max(tops, default=0)
        if height != (points[-1][1] if points else 0):
            points.append((event.at, height))
    return points
