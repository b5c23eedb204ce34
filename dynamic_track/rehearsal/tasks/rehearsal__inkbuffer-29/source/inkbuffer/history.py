"""What was done and what was undone."""

from inkbuffer.change import Change, Step


class HistoryError(RuntimeError):
    """Something that cannot be done now."""


class History:
    """The steps of a text, at most ``limit`` of them."""

    def __init__(self, limit: int = 1000) -> None:
        if limit < 1:
            raise ValueError("a history keeps at least one step")
        self._limit = limit
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._typing = False
        self._groups = 0
        self._grouped: list[Change] = []
        self._saved = 0

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done) and not self._groups

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to make again."""
        return bool(self._undone) and not self._groups

    @property
    def at_saved(self) -> bool:
        """Whether the text is in the state that was saved last."""
        return len(self._done) == self._saved and not self._grouped

    def record(self, change: Change) -> None:
        """Notes a change that was made."""
        self._undone.clear()
        if self._groups:
            self._grouped.append(change)
        elif self._typing and self._done[-1].goes_on_with(change):
            self._done[-1] = self._done[-1].joined(change)
        else:
            self._push(Step((change,)))
            self._typing = change.is_typing

    def begin_group(self) -> None:
        """From here on, changes become one step; groups may be nested, the outermost counts."""
        self._groups += 1

    def end_group(self) -> None:
        """Ends the innermost group."""
        self._groups -= 1
        if not self._groups and self._grouped:
            self._push(Step(tuple(self._grouped)))
            self._grouped.clear()
        self._typing = False

    def undo(self) -> Step:
        """The step to take back, which counts as undone from now on.

        Raises:
            HistoryError: there is none, or a group is open.
        """
        if not self.can_undo:
            raise HistoryError("there is nothing to undo")
        self._typing = False
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Step:
        """The step to make again, which counts as done from now on.

        Raises:
            HistoryError: there is none, or a group is open.
        """
        if not self.can_redo:
            raise HistoryError("there is nothing to redo")
        self._typing = False
        self._done.append(self._undone.pop())
        return self._done[-1]

    def mark_saved(self) -> None:
        """Notes that the text was saved as it is now.

        Raises:
            HistoryError: a group is open.
        """
        if self._groups:
            raise HistoryError("a group is open")
        self._saved = len(self._done)

    def _push(self, step: Step) -> None:
        self._done.append(step)
        if len(self._done) > self._limit:
            self._done.pop(0)
