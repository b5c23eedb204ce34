"""What can be measured by sweeping a line over boxes."""

from collections.abc import Sequence

from boxsweep.box import Box
from boxsweep.coverage import Coverage
from boxsweep.events import events


def area(boxes: Sequence[Box]) -> int:
    """How many squares the boxes cover together."""
    line = Coverage(boxes)
    squares = 0
    arrived_at = 0
    for event in events(boxes):
        squares += line.length * (event.at - arrived_at)
        line.change(event.box, 1 if event.opens else -1)
        arrived_at = event.at
    return squares


def depth(boxes: Sequence[Box]) -> int:
    """The largest number of boxes that cover the same square."""
    line = Coverage(boxes)
    deepest = 0
    for event in events(boxes):
        line.change(event.box, 1 if event.opens else -1)
        deepest = max(deepest, line.most)
    return deepest


def perimeter(boxes: Sequence[Box]) -> int:
    """The length of the border around what the boxes cover together."""
    return upright_border(boxes) + upright_border([box.turned for box in boxes])


def upright_border(boxes: Sequence[Box]) -> int:
    """The length of the upright parts of the border: where the line becomes covered or bare, there is one."""
    line = Coverage(boxes)
    border = 0
    for event in events(boxes):
        before = line.length
        line.change(event.box, 1 if event.opens else -1)
        border += abs(line.length - before)
    return border


def pieces(boxes: Sequence[Box]) -> list[list[Box]]:
    """The boxes in groups that hang together."""
    groups: list[list[Box]] = []
    open_boxes: list[Box] = []
    for event in events(boxes):
        box = event.box
        if not event.opens:
            open_boxes.remove(box)
            continue
        met = [other for other in open_boxes if other.bottom <= box.top and box.bottom <= other.top]
        joined = [box]
        for group in [group for group in groups if any(other in group for other in met)]:
            joined += group
            groups.remove(group)
        groups.append(joined)
        open_boxes.append(box)
    return sorted(sorted(group) for group in groups)
