"""What long work tells of how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is, and of how much (None where nobody knows); by any thread."""


def no_progress(_what: str, _done: int, _total: int | None) -> None:
    """Shows nothing."""
