"""Routers that send frames of their own making in place of their process's answers."""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import Any

from twinbench import Call

NUMBER = "NUMBER"
"""Stands in a frame's text for the number of the request."""

FRAMES: dict[str, tuple[str, str]] = {
    # name: (when it is sent, what is sent)
    "no hooks": ("load", '{"number": NUMBER}'),
    "hooks no list": ("load", '{"number": NUMBER, "hooks": 5}'),
    "hooks a text": ("load", '{"number": NUMBER, "hooks": "start"}'),
    "hooks unknown": ("load", '{"number": NUMBER, "hooks": ["start", "finish"]}'),
    "hooks unhashable": ("load", '{"number": NUMBER, "hooks": [["start"]]}'),
    "error without usage": ("load", '{"number": NUMBER, "error": "no"}'),
    "usage no truth value": ("load", '{"number": NUMBER, "error": "no", "usage": "yes"}'),
    "load error no text": ("load", '{"number": NUMBER, "error": {"a": 1}, "usage": false}'),
    "decision at load": ("load", '{"number": NUMBER, "candidate": "low"}'),
    "question at load": ("load", '{"number": NUMBER, "ask": {"messages": [], "candidate": null}}'),
    "route_ms nan": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": NaN}'),
    "route_ms infinite": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": Infinity}'),
    "route_ms beyond floats": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": 1e999}'),
    "route_ms negative": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": -1.5}'),
    "route_ms huge": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": 1e300}'),
    "route_ms of 400 digits": ("route", f'{{"number": NUMBER, "candidate": "low", "route_ms": 1{"0" * 400}}}'),
    "route_ms a text": ("route", '{"number": NUMBER, "candidate": "low", "route_ms": "0.1"}'),
    "route_ms nan with error": ("route", '{"number": NUMBER, "error": "no", "route_ms": NaN}'),
    "score nan": ("route", '{"number": NUMBER, "candidate": "low", "score": NaN}'),
    "score above 1": ("route", '{"number": NUMBER, "candidate": "low", "score": 1.5}'),
    "score true": ("route", '{"number": NUMBER, "candidate": "low", "score": true}'),
    "score of 5,000 digits": ("route", f'{{"number": NUMBER, "candidate": "low", "score": 1{"0" * 5000}}}'),
    "rationale a list": ("route", '{"number": NUMBER, "candidate": "low", "rationale": ["why"]}'),
    "rationale half a pair": ("route", '{"number": NUMBER, "candidate": "low", "rationale": "\\ud83d"}'),
    "rationale too long": ("route", f'{{"number": NUMBER, "candidate": "low", "rationale": "{"x" * 140_000}"}}'),
    "candidate an object": ("route", '{"number": NUMBER, "candidate": {"id": "low"}}'),
    "candidate 900 deep": ("route", f'{{"number": NUMBER, "candidate": {"[" * 900}{"]" * 900}}}'),
    "100,000 deep": ("route", "[" * 100_000),
    "error half a pair": ("route", '{"number": NUMBER, "error": "\\udc00 \\ud83d"}'),
    "error a number": ("route", '{"number": NUMBER, "error": 5}'),
    "mutated a text": ("route", '{"number": NUMBER, "candidate": "low", "mutated": "no"}'),
    "reached a number": ("route", '{"number": NUMBER, "candidate": "low", "accesses": 3}'),
    "reached of lists": ("route", '{"number": NUMBER, "candidate": "low", "accesses": [["open"]]}'),
    "neither": ("route", '{"number": NUMBER}'),
    "hooks at a decision": ("route", '{"number": NUMBER, "hooks": []}'),
    "unknown field": ("route", '{"number": NUMBER, "candidate": "low", "usage": false}'),
    "key twice": ("route", '{"number": NUMBER, "candidate": "low", "candidate": "high"}'),
    "number a text": ("route", '{"number": "NUMBER", "candidate": "low"}'),
    "number a float": ("route", '{"number": NUMBER.0, "candidate": "low"}'),
    "number missing": ("route", '{"candidate": "low"}'),
    "question no object": ("route", '{"number": NUMBER, "ask": 5}'),
    "question without messages": ("route", '{"number": NUMBER, "ask": {"candidate": null}}'),
    "question and decision": ("route", '{"number": NUMBER, "ask": {}, "candidate": "low"}'),
    "not UTF-8": ("route", '{"number": NUMBER, "candidate": "\x80"}'),
    "empty": ("route", ""),
    "decision at a hook": ("hook", '{"number": NUMBER, "candidate": "low"}'),
    "question at a hook": (
        "hook",
        '{"number": NUMBER, "ask": {"messages": [], "candidate": null, "max_tokens": 1, "temperature": 0}}',
    ),
    "hook error a list": ("hook", '{"number": NUMBER, "error": []}'),
    "hook error half a pair": ("hook", '{"number": NUMBER, "error": "\\ud83d"}'),
}


def frame(text: str, number: int) -> bytes:
    """A frame of a text, whatever it is; its characters are bytes."""
    body = text.replace(NUMBER, str(number)).encode("latin-1")
    return struct.pack(">I", len(body)) + body


def _kind(answer: dict[str, Any]) -> str:
    if "hooks" in answer:
        return "load"
    return "route" if "route_ms" in answer else "hook"


class _Forger:
    """Takes over how its process sends answers; each decision is ``mid`` where nothing else is sent."""

    def __init__(self) -> None:
        host = sys.modules["twinbench.plugins.host"].Host
        honest = host._send

        def send(process: Any, answer: dict[str, Any]) -> None:
            forged = self.forge(_kind(answer), process._number)
            if forged is None:
                honest(process, answer)
            else:
                write_all(process._answers, forged)

        host._send = send

    def forge(self, kind: str, number: int) -> bytes | None:
        raise NotImplementedError

    def start(self, session: str) -> None:
        pass

    def route(self, call: Call) -> str:
        return "mid"


class Forges(_Forger):
    """Sends one frame in place of every answer of its kind, or of every second."""

    def __init__(self, what: str, every: int = 1) -> None:
        super().__init__()
        self._when, self._text = FRAMES[what]
        self._every = every
        self._sent = 0

    def forge(self, kind: str, number: int) -> bytes | None:
        if kind != self._when:
            return None
        self._sent += 1
        return frame(self._text, number) if self._sent % self._every == 0 else None


class Mutates(_Forger):
    """Sends mutants of its answers, from a folder that says which is next: its process does not live long."""

    def __init__(self, mutants: str) -> None:
        super().__init__()
        self._mutants = mutants

    def forge(self, kind: str, number: int) -> bytes | None:
        if kind != "route":
            return None
        names = sorted(os.listdir(self._mutants))  # noqa: PTH208 - as a plugin would
        if not names:
            return None
        path = os.path.join(self._mutants, names[0])  # noqa: PTH118
        with open(path, encoding="latin-1", newline="") as file:  # noqa: PTH123
            text = file.read()
        os.unlink(path)  # noqa: PTH108
        return frame(text, number)


class Extra(_Forger):
    """Sends an answer twice."""

    def forge(self, kind: str, number: int) -> bytes | None:
        return frame('{"number": NUMBER, "candidate": "mid"}', number) * 2 if kind == "route" else None


class Early(_Forger):
    """Sends what it takes for the answer to the next question before that is asked, to have taken no time."""

    def forge(self, kind: str, number: int) -> bytes | None:
        if kind != "route":
            return None
        answers = [frame('{"number": NUMBER, "candidate": "mid"}', number + ahead) for ahead in (0, 1)]
        return b"".join(answers)


class Understates(_Forger):
    """Says that its slow decisions took a thousandth of a millisecond."""

    def forge(self, kind: str, number: int) -> bytes | None:
        text = '{"number": NUMBER, "candidate": "mid", "route_ms": 0.001}'
        return frame(text, number) if kind == "route" else None

    def route(self, call: Call) -> str:
        time.sleep(0.05)
        return "mid"


def write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
