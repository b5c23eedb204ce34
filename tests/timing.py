"""Time in tests: ratios against what is measured beside them, and deadlines that do nothing but end a hang."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

HANG_S = 120.0
"""A deadline for what takes seconds at most: who is not done by then never will be, however busy the machine is."""


def until(happened: Callable[[], bool], within_s: float = HANG_S) -> None:
    """Wait for something that has to happen."""
    end = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def cpu_s(work: Callable[[], object], times: int = 3) -> float:
    """The least CPU time of this process that some work takes; what else the machine does counts little in it."""
    with _no_garbage_collection():
        taken = []
        for _ in range(times):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
    return max(min(taken), 1e-6)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """One look at all objects of a whole suite takes longer than most of what is measured."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def wall_s(work: Callable[[], object]) -> float:
    """How long some work takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def limit_for(work: Callable[[], object], *, at_least_s: float, times: float = 20) -> float:
    """A limit of time that work of this kind keeps with ease, however busy the machine is just now.

    Args:
        work: work of the same kind, which is done and measured.
        at_least_s: the limit on a quiet machine.
        times: how often the measured time has to fit.
    """
    return round(max(at_least_s, times * wall_s(work)), 3)


def growth(work: Callable[[T], object], small: T, large: T) -> float:
    """How many times as long the larger input takes: as many as it is larger where time is linear, else their square.

    Args:
        work: what is done with an input.
        small: an input large enough to be measured.
        large: one many times as large.
    """
    small_s = cpu_s(lambda: work(small), 5)
    return cpu_s(lambda: work(large), 2) / small_s
