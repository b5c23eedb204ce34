"""Work that is started in a thread before its result is needed, so that a command takes less time.

DuckDB leaves Python's lock to other threads while it works: modules can be imported meanwhile. What was started ahead
may fail, or may not be done when its result is needed; whoever needs it must be able to do the work themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from threading import Thread


def start_ahead(work: Callable[[], object]) -> None:
    """Call a function in a thread.

    Its errors are ignored: they are raised again, where they can be explained, by whoever needs its result. The process
    does not wait for it at its end: an interrupt can leave Python's import lock with the main thread, for good.
    """

    def run() -> None:
        with suppress(Exception):
            work()

    Thread(target=run, name="twinbench-ahead", daemon=True).start()


def import_ahead(*modules: str) -> None:
    """Import modules in a thread; an ``import`` of one of them waits until it is loaded."""
    start_ahead(lambda: [import_module(each) for each in modules])
