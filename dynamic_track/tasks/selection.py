"""Selects tasks of a set: by name, shuffled, sliced and limited, in this order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from dynamic_track.tasks.sources import REHEARSAL, load_tasks
from dynamic_track.tasks.task import GradingSetting, Task, TaskSet, suggest_ids
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_text

_SLICE = re.compile(r"\s*([+-]?\d{1,18})?\s*:\s*([+-]?\d{1,18})?\s*")


@dataclass(frozen=True, kw_only=True)
class TaskChoice:
    """A set of tasks, and a selection from it; the fields are the arguments of ``load_tasks`` and ``select``."""

    tasks: str = REHEARSAL
    dataset: str | None = None
    only: Sequence[str] = ()
    shuffle: int | None = None
    slice: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.only, str):  # a single glob, not a sequence of letters
            object.__setattr__(self, "only", (self.only,))

    def load(
        self, progress: Progress = no_progress, *, swebench_setting: Sequence[str] = ()
    ) -> tuple[tuple[Task, ...], TaskSet]:
        """Load the chosen tasks, and the set that they come from.

        Args:
            progress: called with the number of tasks that have been read.
            swebench_setting: globs of tasks that are graded in swebench's own setting.

        Raises:
            UsageError: nothing is chosen, or there is no such set.
            ContentError: a task lacks something that grading needs.
            TwinbenchError: the hub cannot be read, or swebench is not installed.
        """
        progress(f"reading tasks {self.tasks}", 0, None)
        found = load_tasks(self.tasks, self.dataset)
        chosen = select(found.tasks, only=self.only, shuffle=self.shuffle, slice=self.slice, limit=self.limit)
        return with_swebench_setting(chosen, swebench_setting), found


def select(
    tasks: Sequence[Task],
    *,
    only: Sequence[str] = (),
    shuffle: int | None = None,
    slice: str | None = None,  # noqa: A002 - the flag's name
    limit: int | None = None,
) -> tuple[Task, ...]:
    """Select the tasks whose id matches a glob of ``only``, shuffle them, take the slice, then the first ``limit``.

    Args:
        tasks: the tasks to select from; without ``shuffle`` their order is kept.
        only: globs for ids, case-sensitive (``*``, ``?``, ``[…]``); no globs select all tasks.
        shuffle: a seed. A task's position depends on the seed and its id alone, so two tasks keep their relative order
            if the selection is extended, and on every machine.
        slice: ``a:b`` as in Python; either end may be left out or negative.
        limit: the largest number of tasks.

    Raises:
        UsageError: a glob matches nothing, a slice is not of the form ``a:b``, a limit is below 1, or nothing is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: must be at least 1")
    window = _parse_slice(slice)
    chosen = _match_globs(tasks, only)
    if shuffle is not None:
        chosen.sort(key=lambda task: (sha256_text(f"{shuffle}:{task.id}"), task.id))
    found = len(chosen)
    chosen = chosen[window][:limit]
    if not chosen:
        raise UsageError(f"--slice {slice} leaves none of {found} tasks" if found else "there is no task to select")
    return tuple(chosen)


def with_swebench_setting(tasks: Sequence[Task], globs: Sequence[str]) -> tuple[Task, ...]:
    """Return the same tasks; those that match a glob are graded in swebench's own setting.

    Raises:
        UsageError: a glob matches nothing.
    """
    if not globs:
        return tuple(tasks)
    opened = {task.id for task in _match_globs(tasks, globs, "--swebench-setting")}
    return tuple(
        replace(task, grading_setting=GradingSetting.swebench) if task.id in opened else task for task in tasks
    )


def _match_globs(tasks: Sequence[Task], only: Sequence[str], flag: str = "--only") -> list[Task]:
    if not only:
        return list(tasks)
    unmatched = [glob for glob in only if not any(fnmatchcase(task.id, glob) for task in tasks)]
    if unmatched:
        ids = [task.id for task in tasks]
        raise UsageError("\n".join(f"{flag} {glob!r} matches no task; {suggest_ids(glob, ids)}" for glob in unmatched))
    return [task for task in tasks if any(fnmatchcase(task.id, glob) for glob in only)]


def _parse_slice(text: str | None) -> slice:
    if text is None:
        return slice(None)
    parts = _SLICE.fullmatch(text)
    if parts is None:
        raise UsageError(f"--slice {text!r} is not of the form a:b, such as 0:50, 50: or :-10")
    start, stop = (None if part is None else int(part) for part in parts.groups())
    return slice(start, stop)
