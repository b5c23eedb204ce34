"""What a line meets that is swept over boxes from left to right."""

from collections.abc import Iterable
from dataclasses import dataclass

from boxsweep.box import Box


@dataclass(frozen=True)
class Event:
    """A box starts or ends."""

    at: int
    opens: bool
    box: Box


def events(boxes: Iterable[Box]) -> list[Event]:
    """All starts and ends from left to right.

    Where boxes end and others start, the ends come first: boxes that only touch are never open together.
    """
    found = []
    for box in boxes:
        found += [Event(box.left, True, box), Event(box.right, False, box)]
    return sorted(found, key=lambda event: (event.at, event.opens))
