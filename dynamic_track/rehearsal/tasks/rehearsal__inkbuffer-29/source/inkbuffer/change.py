"""Changes of a text, and steps made of them."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """At a position, one text in place of another."""

    at: int
    removed: str
    inserted: str

    @property
    def inverse(self) -> "Change":
        """What takes the change back."""
        return Change(self.at, self.inserted, self.removed)

    @property
    def is_typing(self) -> bool:
        """Whether it only inserts, and no line break."""
        return not self.removed and bool(self.inserted) and "\n" not in self.inserted

    def apply(self, text: str) -> str:
        """The text after the change.

        Raises:
            ValueError: the text does not have at the position what the change removes.
        """
        end = self.at + len(self.removed)
        if not 0 <= self.at <= len(text) or text[self.at : end] != self.removed:
            raise ValueError(f"there is no {self.removed!r} at {self.at}")
        return text[: self.at] + self.inserted + text[end:]


@dataclass(frozen=True)
class Step:
    """Changes that are undone together, in the order in which they were made."""

    changes: tuple[Change, ...]

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @property
    def inverses(self) -> Iterator[Change]:
        """What takes the step back, in the order in which to apply it."""
        return (change.inverse for change in reversed(self.changes))

    def goes_on_with(self, change: Change) -> bool:
        """Whether a change is the next keystroke of this step."""
        if len(self.changes) != 1 or not self.changes[0].is_typing or not change.is_typing:
            return False
        return change.at == self.changes[0].at + len(self.changes[0].inserted)

    def joined(self, change: Change) -> "Step":
        """This step with one more keystroke."""
        only = self.changes[0]
        return Step((Change(only.at, "", only.inserted + change.inserted),))
