"""Routers that cannot be had."""

from __future__ import annotations

import os
import sys
import time

from twinbench import Call


class _Router:
    def route(self, call: Call) -> str:
        return "low"


class Raises(_Router):
    def __init__(self) -> None:
        raise OSError("no model here")


class Hangs(_Router):
    def __init__(self) -> None:
        time.sleep(1000)


class SysExits(_Router):
    def __init__(self) -> None:
        sys.exit("not today")


class OsExits(_Router):
    def __init__(self) -> None:
        os._exit(6)


class NoRouter:
    """Has no method route."""


class Once(_Router):
    """Loads one time only, and dies of its first decision."""

    def __init__(self, memory: str) -> None:
        with open(memory, "a") as file:  # noqa: PTH123 - as a plugin would
            if file.tell():
                raise OSError("once is enough")
            file.write("loaded\n")

    def route(self, call: Call) -> str:
        os._exit(7)


class OddToLookAt(_Router):
    def __getattr__(self, name: str) -> object:
        raise ValueError(f"who asks for {name}?")


class WarmsUp:
    """Loads what it needs before the first decision, which takes longer than one may."""

    answer = "low"

    def warm_up(self) -> None:
        time.sleep(2.5)
        self.answer = "high"

    def route(self, call: Call) -> str:
        return self.answer
