"""Whether a trained router may be run on some tasks: not on what it was trained on, unless ``--in-sample`` is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dynamic_track.tasks.task import Task
from twinbench.errors import UsageError
from twinbench.plugins.loading import LoadedRouter
from twinbench.plugins.seen import Overlap, Seen, SeenTexts, hash_shingles, mark_in_sample, read_seen


def admit_router(loaded: LoadedRouter, tasks: Iterable[Task], *, in_sample: bool) -> LoadedRouter:
    """Return a router that may be run on some tasks; its name is marked if it was trained on any of them.

    Args:
        loaded: the router; one that was not trained by twinbench is always admitted.
        tasks: the tasks of the run.
        in_sample: whether a router that was trained on them is admitted, with the mark.

    Raises:
        UsageError: the router was trained on some of the tasks, or on near-duplicates, and ``in_sample`` is false; or
            it has to be trained, and was not.
    """
    if loaded.artefact is None:
        return loaded.require_trained()
    overlap = overlap_with_tasks(read_seen(loaded.artefact.seen), tasks)
    if not overlap:
        return loaded
    if not in_sample:
        raise UsageError(
            f"router {loaded.name!r} was trained on what it would be run on ({overlap}): choose other tasks with "
            "--only, or --in-sample, which marks the run"
        )
    return replace(loaded, name=mark_in_sample(loaded.name))


def overlap_with_tasks(seen: Seen, tasks: Iterable[Task]) -> Overlap:
    """Return which tasks a router was trained on, by id and by problem statement."""
    trained = seen.instances()
    texts = SeenTexts(seen)
    same, alike = [], []
    for task in tasks:
        if task.id in trained:
            same.append(task.id)
        elif texts.has_near(hash_shingles(task.problem_statement)):
            alike.append(task.id)
    return Overlap("tasks", tuple(sorted(same)), tuple(sorted(alike)))
