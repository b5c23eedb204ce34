"""The callback through which long operations report progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called from any thread with what is being done, the amount done, and the total amount (None if it is unknown)."""


def no_progress(_what: str, _done: int, _total: int | None) -> None:
    """Ignore progress."""
