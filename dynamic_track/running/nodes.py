"""Nodes: the machines, each with a Docker engine, over which a run's trials are spread.

The run itself stays in one process: journal, budget, router, and the agents' loops, which take some tens of
milliseconds per step where a model takes seconds. Only containers, for commands and for tests, are spread over nodes.
So nothing of a run has to be sent anywhere, and the loss of a machine loses only containers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from dynamic_track.running.admission import Admission, CaseImages
from dynamic_track.running.trial import TrialOutcome
from dynamic_track.tasks.task import Task
from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.containers.engine import Engine
from twinbench.containers.labels import Lease
from twinbench.containers.ownership import remove_older_executions
from twinbench.executing.executor import Executor
from twinbench.executing.places import Places
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
    images: CaseImages
    workers: int = 1
    """How many cases run in parallel."""
    admission: Admission = field(default_factory=Admission)
    name: str | None = None
    """The machine's name, for people; None for the only engine of a run."""


CaseExecutor = Executor[Job, Node, TrialOutcome | None]
"""Runs trials, each on some node; the result of a trial is None if a stop was requested. A trial that is run again
continues where infrastructure ended it."""


def fixed_places(nodes: Sequence[Node]) -> Places[Node]:
    """Return nodes as places to which none is added."""
    return Places({node: node.workers for node in nodes})


def node_executor(
    places: Places[Node], *, max_jobs: int | None = None, notify: Callable[[str], None] = lambda _: None
) -> CaseExecutor:
    """Make an executor over nodes, each of which runs several trials in parallel.

    A node whose engine no longer answers, or whose disk is full, is dropped, and its trials continue on the others or
    on the next that joins. On the last of fixed nodes they end because of infrastructure. A case goes where its image
    is, while that node has room.

    Args:
        places: the nodes, which several executors may share.
        max_jobs: how many trials of this executor run in parallel at most; None: as many as the nodes take.
        notify: called with a message about each node that is dropped.
    """

    def is_lost(node: Node, trial: TrialOutcome | None) -> bool:
        return trial is not None and is_node_lost(places, node, trial, notify)

    def clear_up(job: Job, trial: TrialOutcome | None) -> None:
        if trial is not None:
            for node in places.current():
                node.images.release(job.task)

    return Threads(
        places,
        max_jobs=max_jobs,
        is_lost=is_lost,
        prefers=lambda job, node: node.images.has(job.task),
        prepare=lambda job, node: node.images.fetch_ahead(job.task),
        clear_up=clear_up,
    )


def is_node_lost(places: Places[Node], node: Node, trial: TrialOutcome, notify: Callable[[str], None]) -> bool:
    """Return whether a trial ended as it did because its node is lost or has no disk space left.

    Args:
        places: all nodes.
        node: the node where the trial ran.
        trial: its outcome.
        notify: called with the reason, if that is not known yet.
    """
    if trial.cause is None or CAUSES[trial.cause].outcome_class is not OutcomeClass.infra:
        return False
    if node not in places:
        return True
    lost = trial.cause is Cause.disk or not node.engine.answers()
    if lost and node.name is not None:
        notify(f"node {node.name} takes no more cases: {trial.detail}")
    return lost


class LeasedNodes:
    """Nodes as one execution of a run uses them: their containers have its lease.

    Args:
        lease: the lease of the execution; the caller holds the run's lock.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._leased: dict[Node, Node] = {}
        self._lock = threading.Lock()

    def with_lease(self, node: Node) -> Node:
        """Return a node with the lease; when it is first used, what earlier executions of the run left is removed."""
        with self._lock:
            if node not in self._leased:
                with suppress(CausedError):  # an engine that does not answer fails the case too
                    remove_older_executions(node.engine, self._lease)
                self._leased[node] = replace(node, engine=node.engine.with_lease(self._lease))
            return self._leased[node]
