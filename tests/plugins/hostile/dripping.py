"""Routers that keep twinbench waiting or feed it without end, while they are loaded, told of a session, or asked."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, NoReturn

from twinbench import Call, LlmError
from twinbench.routing.llm import Llm

_BLOCK = b"x" * 2**20


class _Feeds:
    """Does something endless at one moment: ``load``, ``start``, ``route``, ``observe`` or ``end``."""

    def __init__(self, when: str = "route") -> None:
        self._when = when
        self.pipe = _answers()
        if when == "load":
            self.feed()

    def feed(self) -> NoReturn:
        raise NotImplementedError

    def start(self, session: str) -> None:
        if self._when == "start":
            self.feed()

    def route(self, call: Call) -> str:
        if self._when == "route":
            self.feed()
        return "low"

    def observe(self, outcome: object) -> None:
        if self._when == "observe":
            self.feed()

    def end(self, session: str) -> None:
        if self._when == "end":
            self.feed()


def _answers() -> int:
    """The descriptor that this process's answers go through."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        host: Any = frame.f_locals.get("self")
        if type(host).__name__ == "Host":
            return int(host._answers)
    raise LookupError("no host above")


class Drips(_Feeds):
    """Writes to standard error, a byte at a time."""

    def feed(self) -> NoReturn:
        while True:
            os.write(2, b".")
            time.sleep(0.05)


class Floods(_Feeds):
    """Writes to standard error as fast as it can."""

    def feed(self) -> NoReturn:
        while True:
            os.write(2, _BLOCK)


class FloodsInChild(_Feeds):
    """The same in a process that it starts; itself it waits."""

    def feed(self) -> NoReturn:
        if os.fork() == 0:
            while True:
                os.write(2, _BLOCK)
        while True:
            time.sleep(1)


class FloodsBehind(_Feeds):
    """Answers well, while a process that it started writes to standard error as fast as it can."""

    def route(self, call: Call) -> str:
        if call.step_index == 1 and os.fork() == 0:
            while True:
                os.write(2, _BLOCK)
        return "low"


class DripsHeader(_Feeds):
    """Sends the length of a frame, a byte at a time, and then nothing."""

    def feed(self) -> NoReturn:
        for each in b"\0\0\0":
            os.write(self.pipe, bytes([each]))
            time.sleep(0.05)
        while True:
            time.sleep(1)


class DripsFrame(_Feeds):
    """Sends a frame a byte at a time that is too long to be whole within ten seconds."""

    def feed(self) -> NoReturn:
        os.write(self.pipe, b"\0\x0f\xff\xff")
        while True:
            os.write(self.pipe, b"[")
            time.sleep(1e-5)


class FloodsPipe(_Feeds):
    """Sends what is no frame as fast as it can."""

    def feed(self) -> NoReturn:
        while True:
            os.write(self.pipe, _BLOCK)


class FloodsOutput(_Feeds):
    """Writes to standard output as fast as it can."""

    def feed(self) -> NoReturn:
        while True:
            os.write(1, _BLOCK)


class ClosesAndLives(_Feeds):
    """Closes its pipe, and lives on."""

    def feed(self) -> NoReturn:
        os.close(self.pipe)
        while True:
            time.sleep(1)


class NeverReads(_Feeds):
    """Reads no request any more once it is loaded."""

    def __init__(self) -> None:
        super().__init__("never")
        host: Any = sys.modules["twinbench.plugins.host"]
        host.read_request = self._wait

    def _wait(self, read: object) -> NoReturn:
        while True:
            time.sleep(1)


class Bombs(_Feeds):
    """Starts processes until it cannot, each of which drips."""

    def feed(self) -> NoReturn:
        for _ in range(40):
            if os.fork() == 0:
                while True:
                    os.write(2, b".")
                    time.sleep(0.01)
        while True:
            time.sleep(1)


class AnswersAfter:
    """Takes its time for the first step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def route(self, call: Call) -> str:
        if call.step_index == 1:
            time.sleep(self._seconds)
        return "low"


class AsksForEver:
    """Asks an LLM again and again, whatever it is told; each question is as long as it may be."""

    def use(self, llm: Llm) -> None:
        self._llm = llm

    def route(self, call: Call) -> NoReturn:
        while True:
            try:
                self._llm.ask([{"role": "user", "content": "x" * 15 * 2**20}])
            except LlmError:
                continue


class AsksBrackets:
    """Sends a question that is as long as it may be and holds no text."""

    def __init__(self) -> None:
        self._pipe = _answers()

    def route(self, call: Call) -> str:
        body = b'{"number": 1, "ask": {"messages": [' + b"[]," * (5 * 2**20) + b"[]]}}"
        left = memoryview(len(body).to_bytes(4, "big") + body)
        while left:
            left = left[os.write(self._pipe, left) :]
        return "low"
