"""What every executor promises, held for threads and for processes alike."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.executing import jobs
from twinbench.executing.executor import Executor, collect_results, stop_nothing
from twinbench.executing.processes import Processes
from twinbench.executing.threads import Threads

AnyExecutor = Executor[Any, Any, Any]
Made = Callable[[int], AnyExecutor]


def threads(workers: int) -> AnyExecutor:
    return Threads({None: workers})


def processes(workers: int) -> AnyExecutor:
    return Processes(workers)


@pytest.fixture(params=[threads, processes], ids=["threads", "processes"])
def made(request: pytest.FixtureRequest) -> Made:
    """Makes an executor of so many workers."""
    found: Made = request.param
    return found


def until(holds: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_ends_exactly_once(made: Made, workers: int, tmp_path: Path) -> None:
    executor = made(workers)
    assert executor.workers == workers
    wanted = [(tmp_path, number) for number in range(12)]
    ended: Counter[tuple[Path, int]] = Counter()

    def told(job: tuple[Path, int], result: int) -> None:
        assert result == job[1]
        ended[job] += 1

    executor.run(wanted, jobs.marked, told, stop_nothing)
    assert ended == dict.fromkeys(wanted, 1)
    begun = Counter(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert begun == {str(number): 1 for number in range(12)}


def test_without_jobs_there_is_nothing_to_do(made: Made) -> None:
    made(2).run([], jobs.doubled, lambda *_: pytest.fail("nothing ends"), lambda: pytest.fail("nothing stops"))
    assert collect_results(made(2), [], jobs.doubled) == []


def test_one_worker_ends_jobs_in_their_order(made: Made) -> None:
    ended: list[int] = []
    made(1).run([3, 1, 2, 1], jobs.doubled, lambda job, _: ended.append(job), stop_nothing)
    assert ended == [3, 1, 2, 1]


def test_ends_are_told_as_they_come_one_at_a_time_and_before_the_worker_goes_on(made: Made) -> None:
    """While the end of a job is told, no other is, and its worker has begun none: of two workers, one has."""
    telling = threading.Lock()
    ended: list[int] = []

    def told(job: int, _result: int) -> None:
        assert telling.acquire(blocking=False), "two ends at once"
        ended.append(job)
        time.sleep(0.05)
        telling.release()

    made(2).run(range(5), jobs.slow_at_first, told, stop_nothing)
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert ended != [0, 1, 2, 3, 4], "the first takes longest"


def test_results_are_in_the_order_of_jobs_whatever_the_number_of_workers(made: Made) -> None:
    done: list[int] = []
    for workers in (1, 2, 4):
        done.clear()
        assert collect_results(made(workers), [0, 3, 3, 1], jobs.slow_at_first, on_progress=done.append) == [0, 3, 3, 1]
        assert done == [1, 2, 3, 4]


def test_what_a_job_raises_is_raised_once_every_other_has_ended(made: Made) -> None:
    ended: list[int] = []
    stopped: list[bool] = []
    with pytest.raises(ValueError, match="is odd"):
        made(2).run(range(8), jobs.odd_ones_fail, lambda job, _: ended.append(job), lambda: stopped.append(True))
    assert sorted(ended) == [0, 2, 4, 6]
    assert stopped == [True], "asked once"


def test_what_the_caller_raises_when_it_is_told_is_raised_too(made: Made) -> None:
    told: list[int] = []

    def refuse(job: int, _result: int) -> None:
        told.append(job)
        if job == 1:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        made(1).run(range(3), jobs.doubled, refuse, stop_nothing)
    assert told == [0, 1, 2]


def test_an_interrupt_asks_all_to_stop_and_is_raised_when_nothing_runs(made: Made, tmp_path: Path) -> None:
    ended: list[Any] = []

    def interrupt() -> None:
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    wanted = [(tmp_path, number) for number in range(6)]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        made(2).run(wanted, jobs.written_down_and_waiting, lambda job, _: ended.append(job), (tmp_path / "stop").touch)
    interrupting.join()
    assert time.monotonic() - began < 30
    assert (tmp_path / "stop").exists()
    assert sorted(path.name for path in tmp_path.glob("begun-*")) == ["begun-0", "begun-1"], "nothing more is begun"
    assert len(ended) <= 2


def test_what_stop_raises_is_raised_once_every_other_job_has_ended(made: Made) -> None:
    ended: list[int] = []
    stopped: list[bool] = []

    def refuse() -> None:
        stopped.append(True)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full") as raised:
        made(2).run(range(6), jobs.odd_ones_fail, lambda job, _: ended.append(job), refuse)
    assert sorted(ended) == [0, 2, 4]
    assert stopped == [True], "asked once"
    assert isinstance(raised.value.__context__, ValueError), "what it was called for"


def test_what_stop_raises_after_an_interrupt_is_raised_when_nothing_runs(made: Made, tmp_path: Path) -> None:
    ended: list[Any] = []

    def interrupt() -> None:
        until(lambda: list(tmp_path.glob("begun-*")))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def refuse() -> None:
        (tmp_path / "stop").touch()
        raise OSError("the disk is full")

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(OSError, match="the disk is full") as raised:
        made(1).run([(tmp_path, 0)], jobs.written_down_and_waiting, lambda job, _: ended.append(job), refuse)
    interrupting.join()
    assert isinstance(raised.value.__context__, KeyboardInterrupt)
    assert not [each for each in threading.enumerate() if each.name.startswith("twinbench-job")]


@pytest.mark.parametrize("first", ["a job", "the interrupt"])
def test_stop_raises_for_what_it_was_called_for_whoever_calls_it(first: str) -> None:
    """Killing workers makes their jobs raise in other threads: that hides neither the interrupt nor stop's error."""
    begun, interrupted, failed = threading.Event(), threading.Event(), threading.Event()

    def work(_job: int, _place: None) -> None:
        begun.set()
        assert (interrupted if first == "the interrupt" else begun).wait(60)
        raise ValueError("killed")

    def refuse() -> None:
        if first == "a job":
            failed.set()
            assert interrupted.wait(60)  # the interrupt comes while the job's thread is in here
        raise OSError("the disk is full")

    def interrupt_workers() -> None:
        interrupted.set()
        time.sleep(0.2)  # time enough for the job to raise before the interrupted thread calls stop

    def press() -> None:
        assert (begun if first == "the interrupt" else failed).wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    executor: AnyExecutor = Threads({None: 1}, interrupt=interrupt_workers)
    with pytest.raises(OSError, match="the disk is full") as raised:
        executor.run([1], work, lambda *_: None, refuse)
    pressing.join()
    assert type(raised.value.__context__) is (KeyboardInterrupt if first == "the interrupt" else ValueError)


def test_an_interrupt_that_does_not_wake_the_waiting_thread_is_noticed_soon() -> None:
    """A signal that comes just before a wait begins does not end it; nor does one that another thread receives."""
    interrupted, noticed = threading.Event(), list[bool]()

    def work(_job: int, _place: None) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        time.sleep(0.3)  # by then the thread that runs the test waits
        os.kill(os.getpid(), signal.SIGINT)
        noticed.append(interrupted.wait(10))

    executor: AnyExecutor = Threads({None: 1}, interrupt=interrupted.set)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.run([1], work, lambda *_: None, stop_nothing)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert noticed == [True]


@pytest.mark.parametrize("workers", [0, -1])
def test_without_workers_there_is_no_executor(made: Made, workers: int) -> None:
    with pytest.raises(ValueError, match=f"^the number of workers must be at least 1, not {workers}$"):
        made(workers)
