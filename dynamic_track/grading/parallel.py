"""Run several gradings in parallel; an interrupt aborts all of them and removes their containers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from twinbench.containers.engine import Engine
from twinbench.executing.executor import collect_results
from twinbench.executing.threads import Threads

Item = TypeVar("Item")
Result = TypeVar("Result")
Checkpoint = Callable[[], None]


class AbortedError(Exception):
    """Everything was interrupted, so the current grading is aborted."""


def process_in_parallel(
    engine: Engine,
    items: Sequence[Item],
    work: Callable[[Item, Engine, Checkpoint], Result],
    workers: int,
    done: Callable[[int], None],
) -> list[Result]:
    """Run work on each item in parallel, and return the results in the items' order.

    Args:
        engine: the Docker engine.
        items: the items.
        work: processes one item. While it waits it calls the checkpoint, which raises AbortedError after an interrupt.
        workers: how many items are processed in parallel.
        done: called with the number of finished items each time one finishes.

    Raises:
        Exception: the first exception of ``work``; the other items are aborted then.
    """
    interrupted = threading.Event()

    def checkpoint() -> None:
        if interrupted.is_set():
            raise AbortedError

    def begin(item: Item, engine: Engine) -> Result:
        checkpoint()
        return work(item, engine, checkpoint)

    return collect_results(Threads({engine: workers}), items, begin, stop=interrupted.set, on_progress=done)
