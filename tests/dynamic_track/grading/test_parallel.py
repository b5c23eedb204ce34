"""Gradings side by side: where one fails or all are interrupted, the others give up and no other begins."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from dynamic_track.grading.parallel import AbortedError, Checkpoint, process_in_parallel
from twinbench.containers.engine import Engine

WAITING_S = 60


def wait_for_the_end(checkpoint: Checkpoint) -> None:
    until = time.monotonic() + WAITING_S
    while time.monotonic() < until:
        checkpoint()
        time.sleep(0.01)


def test_results_are_in_the_order_of_the_items(engine: Engine) -> None:
    done: list[int] = []

    def work(item: int, used: Engine, _checkpoint: Checkpoint) -> int:
        assert used is engine
        time.sleep(0.05 * (3 - item))
        return 10 * item

    assert process_in_parallel(engine, [0, 1, 2, 2], work, 3, done.append) == [0, 10, 20, 20]
    assert done == [1, 2, 3, 4]


def test_what_one_raises_is_raised_and_the_others_give_up(engine: Engine) -> None:
    begun: list[int] = []
    given_up: list[int] = []

    def work(item: int, _engine: Engine, checkpoint: Checkpoint) -> None:
        begun.append(item)
        if item == 1:
            raise OSError("the disk is full")
        try:
            wait_for_the_end(checkpoint)
        except AbortedError:
            given_up.append(item)
            raise

    with pytest.raises(OSError, match="the disk is full"):
        process_in_parallel(engine, range(6), work, 2, lambda _: pytest.fail("none is done"))
    assert sorted(begun) == [0, 1]
    assert given_up == [0]


def test_an_interrupt_is_raised_once_all_have_given_up(engine: Engine) -> None:
    both = threading.Barrier(3, timeout=WAITING_S)
    given_up: list[int] = []

    def work(item: int, _engine: Engine, checkpoint: Checkpoint) -> None:
        both.wait()
        try:
            wait_for_the_end(checkpoint)
        finally:
            given_up.append(item)

    def interrupt() -> None:
        both.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        process_in_parallel(engine, range(6), work, 2, lambda _: None)
    interrupting.join()
    assert sorted(given_up) == [0, 1]
