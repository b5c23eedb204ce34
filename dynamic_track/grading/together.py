"""Several gradings at once, which an interrupt ends at once: their containers are removed, none is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Checkpoint = Callable[[], None]


class GivenUpError(Exception):
    """All is interrupted: what is being graded is left as it is."""


def work_on_all(
    work: Callable[[Item, Checkpoint], Result],
    items: Sequence[Item],
    workers: int,
    name: str,
    done: Callable[[int], None],
) -> list[Result]:
    """What work on each item gives, in their order.

    Args:
        work: on one item. It calls the checkpoint while it waits, which raises GivenUpError where all is interrupted.
        items: what there is to work on.
        workers: how many at once.
        name: of the threads.
        done: called with the number of items that are done, each time one is.

    Raises:
        Exception: what ``work`` raises first; the others are given up then.
    """
    interrupted = threading.Event()

    def checkpoint() -> None:
        if interrupted.is_set():
            raise GivenUpError

    with ThreadPoolExecutor(workers, name) as pool:
        futures = [pool.submit(work, item, checkpoint) for item in items]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                done(number)
        except BaseException:
            interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
