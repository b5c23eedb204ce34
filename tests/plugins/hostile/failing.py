"""Routers whose decisions end their process, or never end."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from typing import NoReturn

from twinbench import Call


class Raises:
    def route(self, call: Call) -> NoReturn:
        raise ValueError(f"no idea about {len(call.messages)} messages")


class RaisesWithoutText:
    class _MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    def route(self, call: Call) -> NoReturn:
        raise self._MuteError


class Loops:
    def route(self, call: Call) -> NoReturn:
        while True:
            pass


class Backtracks:
    """Holds the interpreter's lock in C for longer than anybody lives."""

    def route(self, call: Call) -> str:
        re.match(r"(a+)+$", "a" * 64 + "b")
        return "low"


class SleepsInC:
    """Holds the interpreter's lock in a C function that no signal handler of Python can end."""

    def route(self, call: Call) -> str:
        ctypes.PyDLL(None).sleep(1000)
        return "low"


class IgnoresSignals:
    def route(self, call: Call) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)


class SysExits:
    def route(self, call: Call) -> NoReturn:
        threading.Thread(target=time.sleep, args=(1000,)).start()  # Python would wait for it
        sys.exit(3)


class OsExits:
    def route(self, call: Call) -> NoReturn:
        sys.stderr.write("warning: something\nI give up\n")
        sys.stderr.flush()
        os._exit(4)


class Kills:
    """Kills itself by a signal."""

    def __init__(self, number: int = signal.SIGKILL) -> None:
        self._number = number

    def route(self, call: Call) -> str:
        if self._number != signal.SIGKILL:
            signal.signal(self._number, signal.SIG_DFL)
        os.kill(os.getpid(), self._number)
        return "low"


class Segfaults:
    def route(self, call: Call) -> str:
        ctypes.string_at(0)
        return "low"


class Allocates:
    """Takes memory without end, a piece at a time."""

    def route(self, call: Call) -> NoReturn:
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1)) * 2**24)
            time.sleep(0.01)


class AllocatesInChildren:
    """Takes memory in processes of its own, none of them too much by itself."""

    def route(self, call: Call) -> NoReturn:
        for _ in range(6):
            if os.fork() == 0:
                kept = bytearray(b"x") * 2**26
                while kept:
                    time.sleep(1)
        while True:
            time.sleep(1)


class WritesHugeFile:
    """Writes a file of a terabyte, most of it holes; a limit on blocks would not see it."""

    def route(self, call: Call) -> str:
        with open("huge", "wb") as file:  # noqa: PTH123 - as a plugin would
            file.seek(2**40)
            file.write(b"x")
        return "low"


class KillsReaper:
    def route(self, call: Call) -> str:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)
        return "low"


class StopsReaper:
    def route(self, call: Call) -> str:
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(1000)
        return "low"


class KillsGroup:
    def route(self, call: Call) -> str:
        os.killpg(0, signal.SIGKILL)
        return "low"


class LoopsInHook:
    """Fine to ask, not to tell."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._loop)

    def _loop(self, argument: object) -> NoReturn:
        while True:
            time.sleep(1)

    def route(self, call: Call) -> str:
        return "low"


class RaisesInHook:
    """Complains when it is told something."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._raise)

    def _raise(self, argument: object) -> NoReturn:
        raise LookupError("never heard of it")

    def route(self, call: Call) -> str:
        return "low"
