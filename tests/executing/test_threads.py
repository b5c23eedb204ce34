"""Threads at several places, of which some are lost."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from twinbench.executing.executor import stop_nothing
from twinbench.executing.places import NoPlaceError, Places
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


def test_jobs_wait_for_the_first_place_and_for_the_next_when_it_is_lost() -> None:
    places: Places[str] = Places(wait_s=60, expected_capacity=4)
    executor: Threads[int, str, str] = Threads(places, is_lost=lambda _, result: result == LOST)
    worked: list[tuple[int, str]] = []

    def work(job: int, place: str) -> str:
        worked.append((job, place))
        if place == "first" and job == 1:
            threading.Timer(0.1, places.add, ["second", 2]).start()
            return LOST
        return place

    assert executor.workers == 4
    threading.Timer(0.1, places.add, ["first", 1]).start()
    ended: list[tuple[int, str]] = []
    executor.run(range(4), work, lambda job, result: ended.append((job, result)), stop_nothing)
    assert sorted(ended) == [(0, "first"), (1, "second"), (2, "second"), (3, "second")]
    assert [place for _, place in worked] == ["first", "first", "second", "second", "second"]


@pytest.mark.parametrize("lost", [False, True])
def test_without_a_place_in_time_the_run_ends_with_the_reason(lost: bool) -> None:
    places: Places[str] = Places({"only": 1} if lost else None, wait_s=0.2, explain=lambda: "there is no power")
    executor: Threads[int, str, str] = Threads(places, is_lost=lambda *_: True)
    stopped: list[bool] = []
    with pytest.raises(NoPlaceError, match=r"^no place for cases in 0\.2 s: there is no power$"):
        executor.run(range(3), lambda *_: LOST, lambda *_: pytest.fail("it ends"), lambda: stopped.append(True))
    assert stopped == [True]


def test_a_place_takes_first_what_it_prefers_and_leaves_to_others_what_they_prefer() -> None:
    """Whoever is free takes the rest."""
    both = threading.Barrier(2, timeout=60)

    def work(_job: str, place: str) -> str:
        both.wait()
        return place

    executor: Threads[str, str, str] = Threads({"a": 1, "b": 1}, prefers=lambda job, place: job.startswith(place))
    ended: dict[str, str] = {}
    jobs = ["b1", "c1", "a1", "b2", "a2", "c2"]
    executor.run(jobs, work, lambda job, place: ended.update({job: place}), stop_nothing)
    assert {job: place for job, place in ended.items() if job[0] in "ab"} == {
        "b1": "b",
        "b2": "b",
        "a1": "a",
        "a2": "a",
    }


def test_executors_that_share_places_do_not_take_more_than_there_is_room() -> None:
    places: Places[str] = Places({"one": 2, "other": 1})
    at_work: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()

    def work(_job: int, place: str) -> str:
        with lock:
            at_work[place] += 1
            most[place] = max(most[place], at_work[place])
        time.sleep(0.01)
        with lock:
            at_work[place] -= 1
        return place

    def run() -> None:
        executor: Threads[int, str, str] = Threads(places, max_jobs=2)
        assert executor.workers == 2
        executor.run(range(10), work, lambda *_: None, stop_nothing)

    running = [threading.Thread(target=run) for _ in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert most["one"] <= 2
    assert most["other"] <= 1
    with places.reserve_any() as place:
        assert place in ("one", "other")
