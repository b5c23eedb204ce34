"""Routers that answer what is no decision, or by a way that is none."""

from __future__ import annotations

import gc
import json
import json.decoder
import json.encoder
import marshal
import os
import struct
import subprocess
import sys
import time
from typing import Any

from twinbench import Call, Decision


class Answers:
    """Answers with something odd, or each session with what it is called by."""

    def __init__(self, what: str = "") -> None:
        self._what = what

    def route(self, call: Call) -> Any:
        answers: dict[str, Any] = {
            "none": None,
            "number": 3,
            "list": ["low"],
            "unknown": "gpt-17",
            "nan": Decision("low", score=float("nan")),
            "infinite": Decision("low", score=float("inf")),
            "text-score": Decision("low", score="0.5"),  # type: ignore[arg-type]
            "long-rationale": Decision("low", rationale="x" * 10 * 2**20),
            "escaped-rationale": Decision("low", rationale="\0" * 2**17),
            "long-text": "x" * 10 * 2**20,
            "bytes-rationale": Decision("low", rationale=b"x"),  # type: ignore[arg-type]
            "surrogate-rationale": Decision("low", rationale="\ud800"),
            "raising-repr": _Odd(),
            "long-name": type("x" * 2 * 2**20, (), {})(),
        }
        what = self._what or call.session
        if what == "surrogate-error":
            raise ValueError("half a \ud83d and a \0")
        return answers[what]


class _Odd:
    def __repr__(self) -> str:
        raise ZeroDivisionError("no repr")


class Prints:
    """Says something."""

    def __init__(self, how: str) -> None:
        self._how = how

    def route(self, call: Call) -> str:
        if self._how == "print":
            print("hello")
        elif self._how == "write":
            os.write(1, b"hello\n")
        elif self._how == "subprocess":
            subprocess.run([sys.executable, "-c", "print('hello')"], check=True)
        elif self._how == "much":
            print("x" * 100_000)
        elif self._how == "error":
            print("hello", file=sys.stderr)
        elif self._how == "raise":
            print("hello")
            raise ValueError("after printing")
        elif self._how == "dies":
            print("hello")
            os._exit(3)
        elif self._how == "hangs":
            print("hello")
            time.sleep(60)
        return "low"


class ClosesPipe:
    """Closes all that it did not open."""

    def __init__(self, then: str = "") -> None:
        self._then = then

    def route(self, call: Call) -> str:
        os.closerange(0 if self._then == "all" else 3, 256)
        while self._then == "loop":
            pass
        return "low"


class WritesToPipe:
    """Finds the pipe among the open descriptors, and writes to it itself."""

    def __init__(self, what: str) -> None:
        self._what = what

    def route(self, call: Call) -> str:
        answer = {"number": 2, "candidate": "high", "score": None, "rationale": None, "route_ms": 0.0}
        bodies = {
            "text": b"hello, twinbench",
            "no-json": b"\0\0\0\5hello",
            "list": b"\0\0\0\2[]",
            "deep": struct.pack(">I", 200_000) + b"[" * 200_000,
            "other-session": _frame({**answer, "number": 7}),
            "odd-answer": _frame({"number": 2, "route_ms": "long", "accesses": 3, "candidate": {"a": 1}}),
            "no-answer": _frame({"number": 2}),
        }
        for descriptor in range(3, 64):
            try:
                if os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:"):  # noqa: PTH115 - as a plugin would
                    os.write(descriptor, bodies[self._what])
            except OSError:
                continue
        return "low"


def _frame(content: object) -> bytes:
    body = json.dumps(content).encode()
    return struct.pack(">I", len(body)) + body


class PatchesModules:
    """Makes liars of the modules that its answers might be written with."""

    def __init__(self) -> None:
        def lie(*_: object, **__: object) -> Any:
            return '{"candidate": "high"}'

        for module, names in {
            json: ["dumps", "loads"],
            json.JSONEncoder: ["encode", "iterencode"],
            json.JSONDecoder: ["decode"],
            json.encoder: ["c_make_encoder", "encode_basestring"],
            json.decoder: ["scanstring"],
            marshal: ["dumps", "loads"],
            os: ["read", "write"],
            struct: ["pack", "unpack"],
        }.items():
            for name in names:
                setattr(module, name, lie)

    def route(self, call: Call) -> str:
        return "low"


class Peeks:
    """Looks through all that it can reach in its process, and notes which of some words are there."""

    def __init__(self, words: str, report: str) -> None:
        self._words = words
        self._report = report

    def route(self, call: Call) -> str:
        texts: list[str] = [*sys.argv, *sys.path, *os.environ, *os.environ.values(), os.getcwd()]  # noqa: PTH109
        for frame in sys._current_frames().values():
            inner: Any = frame
            while inner is not None:
                texts += [repr(key) + repr(value)[:10_000] for key, value in inner.f_locals.items() if key != "texts"]
                inner = inner.f_back
        for each in gc.get_objects():
            if isinstance(each, dict):
                texts += [part for item in list(each.items()) for part in item if isinstance(part, str)]
            elif isinstance(each, list | tuple | set | frozenset) and each is not texts:
                texts += [part for part in list(each) if isinstance(part, str)]
        # What the router itself was told is in there too, so its own words are taken out.
        texts = [text.replace(self._words, "") for text in texts]
        found = [word for word in self._words.split(",") if any(word in text for text in texts)]
        with open(self._report, "a", encoding="utf-8") as report:  # noqa: PTH123 - as a plugin would
            report.write(f"{len(texts)} {','.join(found)}\n")
        return "low"


class ReadsEnvironment:
    """Tells what it finds in its environment."""

    def route(self, call: Call) -> Decision:
        return Decision("low", rationale=json.dumps(dict(os.environ)))
