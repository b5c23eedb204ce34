"""Routers that start processes which mean to outlive them, each with ``mark`` on its command line or environment."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import NoReturn

from twinbench import Call

_SLEEP = "import time; time.sleep(1000)"


def _wait() -> NoReturn:
    while True:
        time.sleep(1)


class _Forks:
    def __init__(self, mark: str, then: str = "") -> None:
        self._mark = mark
        self._then = then

    def fork(self) -> None:
        raise NotImplementedError

    def route(self, call: Call) -> str:
        self.fork()
        time.sleep(0.2)  # the children are there
        if self._then == "exit":
            os._exit(5)
        if self._then == "hang":
            _wait()
        if self._then == "kill-group":
            time.sleep(0.5)  # somebody looks five times a second
            os.killpg(0, signal.SIGKILL)
        return "low"


class Plainly(_Forks):
    """A child that ignores what it is told."""

    def fork(self) -> None:
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _wait()


class Away(_Forks):
    """A grandchild in a session of its own, whose parent is gone."""

    def fork(self) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _wait()
            os._exit(0)
        os.wait()


class Unmarked(_Forks):
    """The same with an environment that nothing can be found by."""

    def fork(self) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execve(sys.executable, [sys.executable, "-c", _SLEEP, self._mark], {})  # noqa: S606
            os._exit(0)
        os.wait()


class Returning(_Forks):
    """A child that comes back from the decision as if it were the router."""

    def fork(self) -> None:
        os.fork()
