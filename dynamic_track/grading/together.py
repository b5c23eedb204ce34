"""Run several gradings in parallel; an interrupt aborts all of them and removes their containers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from twinbench.containers.engine import Engine
from twinbench.executing.executor import results_in_order
from twinbench.executing.threads import Threads

Item = TypeVar("Item")
Result = TypeVar("Result")
Checkpoint = Callable[[], None]


class GivenUpError(Exception):
    """Everything was interrupted, so the current grading is aborted."""


def work_on_all(
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
        work: processes one item. While it waits it calls the checkpoint, which raises GivenUpError after an interrupt.
        workers: how many items are processed in parallel.
        done: called with the number of finished items each time one finishes.

    Raises:
        Exception: the first exception of ``work``; the other items are aborted then.
    """
    interrupted = threading.Event()

    def checkpoint() -> None:
        if interrupted.is_set():
            raise GivenUpError

    def begin(item: Item, engine: Engine) -> Result:
        checkpoint()
        return work(item, engine, checkpoint)

    return results_in_order(Threads({engine: workers}), items, begin, stop=interrupted.set, done=done)
