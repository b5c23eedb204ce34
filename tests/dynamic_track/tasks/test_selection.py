"""Which tasks of a set: globs, shuffle, slice, limit."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_track.tasks.selection import select
from dynamic_track.tasks.task import Task, read_task
from tests.dynamic_track.tasks.task_rows import a_row
from twinbench.errors import UsageError


def tasks_called(*ids: str) -> list[Task]:
    tasks = [read_task(a_row(each)) for each in ids]
    return [task for task in tasks if isinstance(task, Task)]


@cache
def forty_tasks() -> list[Task]:
    """Read when the first test needs them: swebench, which knows what is valid, takes seconds to load."""
    return tasks_called(*(f"acme__{name}-{number}" for name in ("rocket", "crane") for number in range(20)))


ends = st.none() | st.integers(-50, 50)
seeds = st.integers(-(2**40), 2**40)
globs = st.lists(st.sampled_from(["*", "*rocket*", "acme__crane-1?", "*-[3-5]", "acme__rocket-7"]), max_size=3)


def ids_of(tasks: tuple[Task, ...]) -> list[str]:
    return [task.id for task in tasks]


def sliced(start: int | None, stop: int | None) -> str:
    return f"{'' if start is None else start}:{'' if stop is None else stop}"


def test_without_any_wish_all_tasks_stay_in_their_order() -> None:
    assert select(forty_tasks()) == tuple(forty_tasks())


@given(seed=seeds)
def test_a_shuffle_is_a_permutation_and_the_same_again(seed: int) -> None:
    shuffled = select(forty_tasks(), shuffle=seed)
    assert sorted(ids_of(shuffled)) == sorted(task.id for task in forty_tasks())
    assert select(forty_tasks(), shuffle=seed) == shuffled


@given(seed=seeds, only=globs, others=globs)
def test_a_widened_selection_keeps_the_shuffled_order_of_what_was_there(
    seed: int, only: list[str], others: list[str]
) -> None:
    narrow = select(forty_tasks(), only=only or ["*"], shuffle=seed)
    wide = select(forty_tasks(), only=[*(only or ["*"]), *others], shuffle=seed)
    assert tuple(task for task in wide if task in narrow) == narrow


@given(seed=seeds, order=st.deferred(lambda: st.permutations(forty_tasks())))
def test_a_shuffle_does_not_depend_on_the_order_of_the_source(seed: int, order: list[Task]) -> None:
    assert select(order, shuffle=seed) == select(forty_tasks(), shuffle=seed)


@given(start=ends, stop=ends, limit=st.integers(1, 50), only=globs, seed=st.none() | seeds)
def test_a_selection_is_its_parts_one_after_the_other(
    start: int | None, stop: int | None, limit: int, only: list[str], seed: int | None
) -> None:
    one_by_one = select(select(forty_tasks(), only=only), shuffle=seed)[start:stop][:limit]
    if one_by_one:
        assert select(forty_tasks(), only=only, shuffle=seed, slice=sliced(start, stop), limit=limit) == one_by_one
    else:
        with pytest.raises(UsageError, match="leaves none of"):
            select(forty_tasks(), only=only, shuffle=seed, slice=sliced(start, stop), limit=limit)


def test_another_seed_is_another_order() -> None:
    assert len({tuple(ids_of(select(forty_tasks(), shuffle=seed))) for seed in range(20)}) == 20


def test_a_shuffle_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert ids_of(select(tasks_called("a", "b", "c", "d", "e"), shuffle=7)) == ["c", "e", "a", "d", "b"]


def test_globs_add_up_and_a_task_counts_once() -> None:
    chosen = select(forty_tasks(), only=["acme__crane-0", "acme__rocket-1?", "*-19"])
    assert ids_of(chosen) == [
        *(f"acme__rocket-{number}" for number in range(10, 20)),
        "acme__crane-0",
        "acme__crane-19",
    ]


def test_a_glob_minds_upper_and_lower_case() -> None:
    with pytest.raises(UsageError, match=r"--only 'ACME\*' matches no task"):
        select(forty_tasks(), only=["ACME*"])


def test_a_glob_without_a_match_names_ids_that_are_near() -> None:
    with pytest.raises(UsageError) as refused:
        select(forty_tasks(), only=["acme__rokcet-1", "acme__crane-*", "zzz"])
    first, second = str(refused.value).splitlines()
    assert first.startswith("--only 'acme__rokcet-1' matches no task; similar ids: acme__rocket-1")
    assert second.startswith("--only 'zzz' matches no task; the ids are acme__rocket-0, ")
    assert second.endswith("(40 in all)")


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:2:3", "1-2", "1.5:", "0x1:", ":" + "9" * 30])
def test_a_slice_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form a:b, such as 0:50, 50: or :-10"):
        select(forty_tasks(), slice=text)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=f"--limit {limit}: must be at least 1"):
        select(forty_tasks(), limit=limit)


def test_a_slice_past_the_end_is_refused() -> None:
    with pytest.raises(UsageError, match="--slice 40: leaves none of 40 tasks"):
        select(forty_tasks(), slice="40:")


def test_nothing_to_select_from_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no task to select"):
        select([], limit=3)
