"""The text of an editor's window, with undo."""

from inkbuffer.buffer import Buffer
from inkbuffer.change import Change, Step
from inkbuffer.history import History, HistoryError
from inkbuffer.marks import Mark, Marks

__all__ = ["Buffer", "Change", "History", "HistoryError", "Mark", "Marks", "Step"]
