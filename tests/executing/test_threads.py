"""Threads at several places, of which some are lost."""

from __future__ import annotations

import threading

import pytest

from twinbench.executing.executor import stop_nothing
from twinbench.executing.threads import Threads

LOST = "lost"


def test_jobs_of_a_lost_place_go_on_elsewhere() -> None:
    both = threading.Barrier(2, timeout=60)
    worked: list[tuple[int, str]] = []
    ended: list[tuple[int, str]] = []
    cleared: list[int] = []

    def work(job: int, place: str) -> str:
        worked.append((job, place))
        if len(worked) <= 2:
            both.wait()
        return LOST if place == "there" else place

    executor: Threads[int, str, str] = Threads(
        {"here": 1, "there": 1},
        is_lost=lambda _, result: result == LOST,
        clear_up=lambda job, _: cleared.append(job),
    )
    executor.run(range(4), work, lambda job, result: ended.append((job, result)), stop_nothing)

    assert sorted(ended) == [(job, "here") for job in range(4)]
    assert sorted(cleared) == [0, 1, 2, 3]
    assert [place for _, place in worked].count("there") == 1
    assert len(worked) == 5


def test_the_last_place_is_never_given_up() -> None:
    executor: Threads[int, str, str] = Threads({"one": 2, "other": 1}, is_lost=lambda *_: True)
    ended: list[int] = []
    executor.run(range(6), lambda *_: LOST, lambda job, _: ended.append(job), stop_nothing)
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]


def test_a_place_takes_as_many_jobs_at_once_as_it_has_room_for() -> None:
    three = threading.Barrier(3, timeout=60)
    executor: Threads[int, str, str] = Threads({"one": 2, "other": 1})
    seen: list[str] = []

    def work(_job: int, place: str) -> str:
        seen.append(place)
        three.wait()
        return place

    assert executor.workers == 3
    executor.run(range(3), work, lambda *_: None, stop_nothing)
    assert sorted(seen) == ["one", "one", "other"]


def test_ended_jobs_are_cleared_up_side_by_side() -> None:
    both = threading.Barrier(2, timeout=60)

    def clear_up(_job: int, _result: int) -> None:
        both.wait()

    executor: Threads[int, str, int] = Threads({"one": 2}, clear_up=clear_up)
    executor.run(range(2), lambda job, _: job, lambda *_: None, stop_nothing)


def test_a_place_that_takes_no_job_is_refused() -> None:
    """As the last place, it would never be given up, and no job would be worked on."""
    with pytest.raises(ValueError, match=r"^the number of workers must be at least 1, not 0$"):
        Threads({"one": 2, "other": 0})
    with pytest.raises(ValueError, match="at least one place"):
        Threads({})
