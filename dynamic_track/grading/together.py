"""Several gradings at once, which an interrupt ends at once: their containers are removed, none is waited for."""

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
    """All is interrupted: what is being graded is left as it is."""


def work_on_all(
    engine: Engine,
    items: Sequence[Item],
    work: Callable[[Item, Engine, Checkpoint], Result],
    workers: int,
    done: Callable[[int], None],
) -> list[Result]:
    """What work on each item gives, in their order.

    Args:
        engine: for containers.
        items: what there is to work on.
        work: on one item. It calls the checkpoint while it waits, which raises GivenUpError where all is interrupted.
        workers: how many at once.
        done: called with the number of items that are done, each time one is.

    Raises:
        Exception: what ``work`` raises first; the others are given up then.
    """
    interrupted = threading.Event()

    def checkpoint() -> None:
        if interrupted.is_set():
            raise GivenUpError

    def begin(item: Item, engine: Engine) -> Result:
        checkpoint()
        return work(item, engine, checkpoint)

    return results_in_order(Threads({engine: workers}), items, begin, stop=interrupted.set, done=done)
