"""What routers print: kept up to a bound, so that it can be shown after a failure, or passed on as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable

MOST_KEPT_BYTES = 2**16
"""How much of each router's output is kept: its end."""

MOST_SHOWN_BYTES = 2_000
"""How much of a router's output before its failure is shown: its end."""


class RouterOutput:
    """What the processes of routers write to standard output and standard error, by the router's name.

    Args:
        listener: called with the router's name and each text as it comes; None: no listener.
    """

    def __init__(self, listener: Callable[[str, str], None] | None = None) -> None:
        self.listener = listener
        self._kept: dict[str, bytes] = {}
        self._before_failure: dict[str, str] = {}
        self._adding = threading.Lock()
        """Several processes of a router may run at once."""

    def __reduce__(self) -> tuple[type[RouterOutput], tuple[()]]:
        """Pickle nothing: another process keeps what its own routers print."""
        return RouterOutput, ()

    def add(self, router: str, printed: bytes) -> None:
        """Keep what a router's process printed, and pass it on."""
        if not printed:
            return
        with self._adding:
            self._kept[router] = (self._kept.get(router, b"") + printed)[-MOST_KEPT_BYTES:]
            if self.listener is not None:
                self.listener(router, printed.decode("utf-8", "replace"))

    def note_failure(self, router: str) -> None:
        """Remember what a router printed until now, where this is its first failure."""
        with self._adding:
            self._before_failure.setdefault(router, _end(self._kept.get(router, b"")))

    def has_failed(self, router: str) -> bool:
        """Whether a failure of this router was noted."""
        return router in self._before_failure

    def read_output(self, router: str) -> str:
        """Return the end of what a router printed; empty if it printed nothing."""
        return self._kept.get(router, b"").decode("utf-8", "replace")

    def before_failure(self, router: str) -> str | None:
        """Return the end of a router's output before its first failure; None if it did not fail or printed nothing."""
        return self._before_failure.get(router) or None

    def failures(self) -> dict[str, str]:
        """Return the output before its first failure of each router that failed and had printed something."""
        return {router: text for router, text in self._before_failure.items() if text}


def _end(printed: bytes) -> str:
    """The last lines, of which the first may be cut."""
    return printed[-MOST_SHOWN_BYTES:].decode("utf-8", "replace").strip("\n")
