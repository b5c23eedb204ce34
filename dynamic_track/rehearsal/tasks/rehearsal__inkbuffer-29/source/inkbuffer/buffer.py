"""The text of one window."""

from collections.abc import Iterator
from contextlib import contextmanager

from inkbuffer.change import Change
from inkbuffer.history import History
from inkbuffer.marks import Mark, Marks


class Buffer:
    """A text that can be changed, with its history and its marks."""

    def __init__(self, text: str = "", limit: int = 1000) -> None:
        self._text = text
        self._history = History(limit)
        self._marks = Marks()

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self._text

    @property
    def modified(self) -> bool:
        """Whether the text is in another state than when it was saved last, or loaded."""
        return not self._history.at_saved

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to make again."""
        return self._history.can_redo

    def insert(self, at: int, text: str) -> None:
        """Puts a text at a position.

        Raises:
            ValueError: there is no such position.
        """
        self._make(Change(at, "", text))

    def delete(self, at: int, length: int) -> str:
        """Takes out a text; what it was.

        Raises:
            ValueError: there is not so much text.
        """
        removed = self._text[at : at + length]
        if len(removed) != length:
            raise ValueError(f"there are no {length} characters at {at}")
        self._make(Change(at, removed, ""))
        return removed

    def replace_all(self, old: str, new: str) -> int:
        """Replaces each occurrence of a text, as one step; how many there were."""
        if not old:
            raise ValueError("there is nothing to look for")
        number = 0
        at = self._text.find(old)
        with self.group():
            while at >= 0:
                self._make(Change(at, old, new))
                number += 1
                at = self._text.find(old, at + len(new))
        return number

    @contextmanager
    def group(self) -> Iterator[None]:
        """Makes one step of all changes inside."""
        self._history.begin_group()
        try:
            yield
        finally:
            self._history.end_group()

    def undo(self) -> None:
        """Takes the last step back.

        Raises:
            HistoryError: there is none.
        """
        for change in self._history.undo().inverses:
            self._apply(change)

    def redo(self) -> None:
        """Makes the step again that was undone last.

        Raises:
            HistoryError: there is none.
        """
        for change in self._history.redo():
            self._apply(change)

    def save(self) -> str:
        """The text, which counts as saved.

        Raises:
            HistoryError: a group is open.
        """
        self._history.mark_saved()
        return self._text

    def mark(self, at: int, sticks_left: bool = True) -> Mark:
        """A mark that moves with the text."""
        return self._marks.add(at, sticks_left)

    def _make(self, change: Change) -> None:
        if change.removed == change.inserted:
            return
        self._apply(change)
        self._history.record(change)

    def _apply(self, change: Change) -> None:
        self._text = change.apply(self._text)
        self._marks.follow(change)
