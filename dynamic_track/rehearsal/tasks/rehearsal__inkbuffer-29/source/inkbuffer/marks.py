"""Positions that move with the text."""

from dataclasses import dataclass

from inkbuffer.change import Change


@dataclass
class Mark:
    """A position between two characters."""

    at: int
    sticks_left: bool = True
    """whether it stays before what is inserted at it"""


class Marks:
    """All marks of a text."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    def add(self, at: int, sticks_left: bool = True) -> Mark:
        """A new mark."""
        mark = Mark(at, sticks_left)
        self._marks.append(mark)
        return mark

    def follow(self, change: Change) -> None:
        """Moves the marks as the change moves the text; those inside of what is removed go to its start."""
        removed_to = change.at + len(change.removed)
        for mark in self._marks:
            if mark.at > removed_to or (mark.at == removed_to and (change.removed or not mark.sticks_left)):
                mark.at += len(change.inserted) - len(change.removed)
            elif mark.at > change.at:
                mark.at = change.at
