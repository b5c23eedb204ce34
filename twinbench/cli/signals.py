"""Signal handling of commands: Ctrl-C, SIGTERM (service managers, batch systems) and SIGHUP (closed terminal) do the
same.

The first signal lets the command clean up: it ends containers and routers' processes, and leaves files complete. The
second one ends the process at once. The exit code is 128 plus the signal's number: 130, 143 or 129. A signal that was
ignored when the process started stays ignored, as ``nohup`` needs for SIGHUP.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_BASE = 128

_received: list[int] = []


def received_exit_code() -> int | None:
    """Return the exit code that follows from a received signal; None if none was received."""
    return _BASE + _received[0] if _received else None


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Within the block, the first signal raises KeyboardInterrupt in the main thread."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _handle_signals(interrupt):
        yield


@contextmanager
def stop_on_signals(stop: Callable[[], None], hint: str) -> Iterator[None]:
    """Within the block, the first signal only requests a stop.

    Args:
        stop: requests the stop.
        hint: printed in addition: where the results are and how to continue.
    """
    import typer

    from twinbench.cli.output import make_printable

    def ask() -> None:
        stop()
        with contextlib.suppress(OSError):  # a terminal that is closed
            told = f"stopping after the calls in flight ({hint}); interrupt again to exit at once"
            typer.echo(make_printable(told), err=True)

    with _handle_signals(ask):
        yield


@contextmanager
def _handle_signals(on_first: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def handle(number: int, _frame: Any) -> None:
        _received.append(number)
        if len(_received) > 1:
            os._exit(_BASE + number)
        on_first()

    numbers = [int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # None: a handler that was not set by Python and so cannot be restored.
    heard = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in heard:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
