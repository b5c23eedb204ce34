"""Where the trials of a sitting are worked on: machines with a Docker engine each, over which trials are spread.

What stays in one place is the run: its journal, its budget, its router, and the agents' loops, which take some tens of
milliseconds a step, where a model takes seconds. What is spread are the containers, for commands and for tests. So
nothing of a run has to be sent anywhere, and a machine that is lost takes nothing with it but containers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dynamic_track.running.admission import Admission, Images
from dynamic_track.running.trial import Trial
from dynamic_track.tasks.task import Task
from twinbench.causes import CAUSES, Counts
from twinbench.containers.engine import Engine
from twinbench.executing.executor import Executor
from twinbench.executing.threads import Threads


@dataclass(frozen=True)
class Job:
    """One trial to be worked on."""

    task: Task
    trial: int


@dataclass(frozen=True, eq=False)
class Node:
    """A machine that takes cases: its Docker engine, their images on it, and how many there is room for."""

    engine: Engine
    images: Images
    workers: int = 1
    """Cases at once."""
    admission: Admission = field(default_factory=Admission)


CaseExecutor = Executor[Job, Node, Trial | None]
"""Has trials worked on, each on some node; what comes of one is None where the run is to stop. A trial that is worked
on once more goes on where infrastructure ended it."""


def on_nodes(nodes: Sequence[Node]) -> CaseExecutor:
    """An executor over nodes, on each of which so many trials run at once.

    A node whose engine no longer answers is given up, and its trials go on on the others. On the last one they end by
    infrastructure.
    """
    gone: set[Node] = set()

    def is_lost(node: Node, trial: Trial | None) -> bool:
        if trial is None or trial.cause is None or CAUSES[trial.cause].counts is not Counts.infra:
            return False
        if node not in gone and node.engine.answers():
            return False
        gone.add(node)
        return True

    def clear_up(job: Job, trial: Trial | None) -> None:
        if trial is not None:
            for node in nodes:
                node.images.over(job.task)

    return Threads({node: node.workers for node in nodes}, is_lost=is_lost, clear_up=clear_up)
