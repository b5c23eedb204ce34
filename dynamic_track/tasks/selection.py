"""Which tasks of a set: by name, shuffled, sliced, limited, in this order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from dynamic_track.tasks.sources import REHEARSAL, load_tasks
from dynamic_track.tasks.task import GradingSetting, Task, TaskSet, near_ids
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_text

_SLICE = re.compile(r"\s*([+-]?\d{1,18})?\s*:\s*([+-]?\d{1,18})?\s*")


@dataclass(frozen=True, kw_only=True)
class TaskChoice:
    """A set of tasks, and which of them; as of ``load_tasks`` and ``select``."""

    tasks: str = REHEARSAL
    dataset: str | None = None
    only: Sequence[str] = ()
    shuffle: int | None = None
    slice: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.only, str):  # one glob, not its letters
            object.__setattr__(self, "only", (self.only,))

    def load(
        self, progress: Progress = no_progress, *, swebench_setting: Sequence[str] = ()
    ) -> tuple[tuple[Task, ...], TaskSet]:
        """The tasks that are chosen, and the set that they are from.

        Args:
            progress: told that tasks are read.
            swebench_setting: globs of tasks that are graded in swebench's own setting.

        Raises:
            UsageError: nothing is chosen, or there is no such set.
            ContentError: a task lacks what grading needs.
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
    """The tasks whose id matches a glob of ``only``, then shuffled, then the slice, then the first ``limit``.

    Args:
        tasks: what to select from; without ``shuffle`` their order is kept.
        only: globs over ids, case and all (``*``, ``?``, ``[…]``); none is all tasks.
        shuffle: a seed. A task's place depends on seed and id alone, so two tasks keep their relative order however the
            selection is widened, and on every machine.
        slice: ``a:b`` as in Python, either end may be left out or negative.
        limit: at most so many.

    Raises:
        UsageError: a glob matches nothing, a slice is no ``a:b``, a limit is below 1, or nothing is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least 1")
    window = _window(slice)
    chosen = _matching(tasks, only)
    if shuffle is not None:
        chosen.sort(key=lambda task: (sha256_text(f"{shuffle}:{task.id}"), task.id))
    found = len(chosen)
    chosen = chosen[window][:limit]
    if not chosen:
        raise UsageError(f"--slice {slice} leaves none of {found} tasks" if found else "there is no task to select")
    return tuple(chosen)


def with_swebench_setting(tasks: Sequence[Task], globs: Sequence[str]) -> tuple[Task, ...]:
    """The same tasks, those that match a glob graded with swebench's own setting.

    Raises:
        UsageError: a glob matches nothing.
    """
    if not globs:
        return tuple(tasks)
    opened = {task.id for task in _matching(tasks, globs, "--swebench-setting")}
    return tuple(
        replace(task, grading_setting=GradingSetting.swebench) if task.id in opened else task for task in tasks
    )


def _matching(tasks: Sequence[Task], only: Sequence[str], flag: str = "--only") -> list[Task]:
    if not only:
        return list(tasks)
    unmatched = [glob for glob in only if not any(fnmatchcase(task.id, glob) for task in tasks)]
    if unmatched:
        ids = [task.id for task in tasks]
        raise UsageError("\n".join(f"{flag} {glob!r} matches no task; {near_ids(glob, ids)}" for glob in unmatched))
    return [task for task in tasks if any(fnmatchcase(task.id, glob) for glob in only)]


def _window(text: str | None) -> slice:
    if text is None:
        return slice(None)
    parts = _SLICE.fullmatch(text)
    if parts is None:
        raise UsageError(f"--slice {text!r} is not of the form a:b, such as 0:50, 50: or :-10")
    start, stop = (None if part is None else int(part) for part in parts.groups())
    return slice(start, stop)
