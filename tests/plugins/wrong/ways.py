"""Routers that are wrong, each in one way that people get routers wrong."""
# mypy: ignore-errors
# ruff: noqa: S311, SIM115, PTH123 - as people write them

from __future__ import annotations

import ctypes
import os
import random
import sys
import time
from pathlib import Path

from twinbench import Call, Decision


class Low:
    """The one that is right, for the others to differ from."""

    def __init__(self, **_: str) -> None:
        pass

    def route(self, call: Call) -> object:
        return "low"


class MisspeltMethod:
    def rout(self, call: Call) -> str:
        return "low"


class Awaits:
    async def route(self, call: Call) -> str:
        return "low"


async def awaits(call: Call) -> str:
    return "low"


class TakesTwo:
    def route(self, call: Call, history: list) -> str:
        return "low"


class TakesTyped:
    def __init__(self, k: int, model: str = "x") -> None:
        pass

    def route(self, call: Call) -> str:
        return "low"


def two(call, llm):
    return "low"


def make(k: int) -> Low:
    return Low()


def returns_text():
    return "low"


class AwaitsHook(Low):
    async def warm_up(self) -> None:
        self.loaded = True


class YieldsInHook(Low):
    def observe(self, outcome: object):
        yield outcome


class HookTakesNone(Low):
    def start(self) -> None:
        pass


class ByPosition(Low):
    def __init__(self, k, /) -> None:
        pass


class RaisesInConstructor(Low):
    def __init__(self) -> None:
        self.table = {}["weights"]


class NeedsFile(Low):
    def __init__(self, weights="weights.txt") -> None:
        self.weights = open(weights).read()


class NeedsOwnFile(Low):
    def __init__(self) -> None:
        self.weights = Path("weights.txt").read_text()


class NeedsKey(Low):
    def __init__(self) -> None:
        self.key = os.environ["MY_SERVICE_KEY"]


class WantsKey(Low):
    def __init__(self) -> None:
        raise ValueError("set the environment variable OPENAI_API_KEY")


class WrapsMissingKey(Low):
    def __init__(self) -> None:
        try:
            self.key = os.environ["MY_SERVICE_KEY"]
        except KeyError as error:
            raise RuntimeError("no client") from error


class LoadsForever(Low):
    def __init__(self) -> None:
        time.sleep(60)


class WarmsUpWrongly(Low):
    def warm_up(self) -> None:
        raise OSError("no such model")


class ReturnsNothing(Low):
    def route(self, call: Call) -> object:
        return None


class ReturnsModel(Low):
    def route(self, call: Call) -> object:
        return "gpt-4o"


class ReturnsDecisionOfNothing(Low):
    def route(self, call: Call) -> object:
        return Decision(None)


class ReturnsObject(Low):
    def route(self, call: Call) -> object:
        return object()


class Yields(Low):
    def route(self, call: Call) -> object:
        yield "low"


class AsksPerson(Low):
    def route(self, call: Call) -> object:
        return input("which tier? ")


class StopsInDebugger(Low):
    def route(self, call: Call) -> object:
        breakpoint()
        return "low"


class RaisesGroup(Low):
    def route(self, call: Call) -> object:
        raise ExceptionGroup("all of them", [KeyError("first"), OSError("second")])


class ReturnsScore(Low):
    def route(self, call: Call) -> object:
        return Decision("low", score=7.0)


class ReturnsAwaitable(Low):
    def route(self, call: Call) -> object:
        return awaits(call)


class Raises(Low):
    def route(self, call: Call) -> object:
        print("looking at", call.step_index)
        return call.message


class RaisesAtThree(Low):
    def route(self, call: Call) -> object:
        print("step", call.step_index)
        if call.step_index == 3:
            raise LookupError("no third step")
        return "low"


class ReadsFileLate(Low):
    def route(self, call: Call) -> object:
        return open("tiers.txt").read()


class Hangs(Low):
    def route(self, call: Call) -> object:
        time.sleep(60)
        return "low"


class Exits(Low):
    def route(self, call: Call) -> object:
        sys.exit("cannot go on")


class DiesSilently(Low):
    def route(self, call: Call) -> object:
        print("about to die")
        os._exit(3)


class Crashes(Low):
    def route(self, call: Call) -> object:
        ctypes.string_at(0)
        return "low"


class Leaks(Low):
    def route(self, call: Call) -> object:
        kept = b"x" * (400 * 2**20)
        time.sleep(60)
        return len(kept)


class RaisesInHook(Low):
    def observe(self, outcome: object) -> None:
        raise KeyError("usage")


class Prints(Low):
    def route(self, call: Call) -> object:
        print("deciding", call.step_index)
        return "low"


class SlowFirst(Low):
    loaded = False

    def route(self, call: Call) -> object:
        if not self.loaded:
            time.sleep(1.3)
            self.loaded = True
        return "low"


class Draws(Low):
    def route(self, call: Call) -> object:
        return random.choice(["low", "mid", "mid_high", "high"])  # five calls agree by chance once in a thousand times


class Mutates(Low):
    def route(self, call: Call) -> object:
        if call.messages:
            call.messages[-1]["seen"] = True
        return "low"


class MixesSessions(Low):
    def __init__(self) -> None:
        self.calls = 0

    def route(self, call: Call) -> object:
        self.calls += 1
        return "low" if self.calls % 2 else "high"
