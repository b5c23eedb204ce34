"""How a command ends by a signal: Ctrl-C, SIGTERM (service managers, batch systems) and SIGHUP (a terminal that closes)
do the same.

The first signal lets the command clean up: containers and routers' processes are ended, files are whole. The second one
ends the process at once. Its exit code is then 128 and the signal's number: 130, 143 or 129. A signal that was ignored
when the process started stays ignored, as ``nohup`` wants it of SIGHUP.
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
    """The exit code that a signal gives this process; None where none came."""
    return _BASE + _received[0] if _received else None


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Within the block, a signal raises KeyboardInterrupt in the main thread."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def stopped_by_signals(stop: Callable[[], None], then: str) -> Iterator[None]:
    """Within the block, a signal only asks for a stop, which whoever works there sees.

    Args:
        stop: asks for it.
        then: what a person is told beside that: where everything is, and how it goes on.
    """
    import typer

    from twinbench.cli.output import printable

    def ask() -> None:
        stop()
        with contextlib.suppress(OSError):  # a terminal that is closed
            told = f"stopping after the calls that are running ({then}); once more to leave at once"
            typer.echo(printable(told), err=True)

    with _handled(ask):
        yield


@contextmanager
def _handled(on_first: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only that one may say what a signal does
        yield
        return

    def handle(number: int, _frame: Any) -> None:
        _received.append(number)
        if len(_received) > 1:
            os._exit(_BASE + number)
        on_first()

    numbers = [int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # None: a handler that is not Python's, which could not be set again.
    heard = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in heard:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
