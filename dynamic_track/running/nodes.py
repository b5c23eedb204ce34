"""Nodes: the machines, each with a Docker engine, over which a run's trials are spread.

The run itself stays in one process: journal, budget, router, and the agents' loops, which take some tens of
milliseconds per step where a model takes seconds. Only containers, for commands and for tests, are spread over nodes.
So nothing of a run has to be sent anywhere, and the loss of a machine loses only containers.
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
    """A trial to be run."""

    task: Task
    trial: int


@dataclass(frozen=True, eq=False)
class Node:
    """A machine that runs cases: its Docker engine, the images on it, and how many cases it takes."""

    engine: Engine
    images: Images
    workers: int = 1
    """How many cases run in parallel."""
    admission: Admission = field(default_factory=Admission)


CaseExecutor = Executor[Job, Node, Trial | None]
"""Runs trials, each on some node; the result of a trial is None if a stop was requested. A trial that is run again
continues where infrastructure ended it."""


def on_nodes(nodes: Sequence[Node]) -> CaseExecutor:
    """Make an executor over nodes, each of which runs several trials in parallel.

    A node whose engine no longer answers is dropped, and its trials continue on the others. On the last node they end
    because of infrastructure.
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
