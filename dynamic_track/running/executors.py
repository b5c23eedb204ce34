"""Where the trials of a sitting are worked on: machines with a Docker engine each, and how trials are spread over them.

What stays in one place is the run: its journal, its budget, its router, and the agents' loops, which take some tens of
milliseconds a step, where a model takes seconds. What is spread are the containers, for commands and for tests. So
nothing of a run has to be sent anywhere, and a machine that is lost takes nothing with it but containers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from dynamic_track.running.admission import Admission, Images
from dynamic_track.running.trial import Trial
from dynamic_track.tasks.task import Task
from twinbench.causes import CAUSES, Counts
from twinbench.containers.engine import Engine


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


Work = Callable[[Job, Node], Trial | None]
"""Brings a trial to its end on a node; None where the run is to stop. Safe to be called by many threads, again for the
same job once it has returned: that goes on where the trial was ended by infrastructure."""

Ended = Callable[[Job, Trial | None], None]
"""Called with each job and what became of it, by one thread at a time."""


class Executor(Protocol):
    """Has every job of a sitting worked on, on whatever node it chooses.

    An engine for clusters is one of these: it starts a node where it likes, reaches its Docker engine there, and calls
    ``work`` here with both.
    """

    @property
    def workers(self) -> int:
        """How many cases are worked on at once."""
        ...

    def run(self, jobs: Sequence[Job], work: Work, ended: Ended, stop: Callable[[], None]) -> None:
        """Bring each job to its end.

        Args:
            jobs: in the order in which they are best begun, cases of one repository together.
            work: brings one to its end. What it raises is raised once all others are over.
            ended: told of each job as it ends, exactly once, and before the worker that ended it begins another: so
                it can stop the run in time.
            stop: asks all jobs to stop; called where waiting for them is interrupted (Ctrl-C), which is raised once
                they have.
        """
        ...


class Threads:
    """An executor of threads: on each node so many, each of which takes the next job when it is done with one.

    A node whose engine no longer answers takes none any more, and its jobs go on on the other nodes. The last one is
    never given up: its jobs end by infrastructure, as the engine's loss is for a person to mend.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = tuple(nodes)

    @property
    def workers(self) -> int:
        """How many cases are worked on at once."""
        return sum(node.workers for node in self._nodes)

    def run(self, jobs: Sequence[Job], work: Work, ended: Ended, stop: Callable[[], None]) -> None:
        """Bring each job to its end."""
        crew = _Crew(self._nodes, jobs, work, ended)
        with ThreadPoolExecutor(self.workers, "twinbench-case") as pool:
            serving = [pool.submit(crew.serve, node) for node in self._nodes for _ in range(node.workers)]
            try:
                wait(serving)
            except BaseException:
                stop()  # leaving the block waits until all have
                raise
        if crew.failed is not None:
            raise crew.failed


class _Crew:
    """The threads of one call of ``Threads.run``, and the jobs that are left for them."""

    def __init__(self, nodes: Sequence[Node], jobs: Sequence[Job], work: Work, ended: Ended) -> None:
        self.failed: BaseException | None = None
        """What the first job raised that raised something."""
        self._nodes = nodes
        self._work = work
        self._ended = ended
        self._ending = threading.Lock()
        self._waiting = deque(jobs)
        self._running = 0
        self._lost: set[Node] = set()
        self._changed = threading.Condition()

    def serve(self, node: Node) -> None:
        """Work on jobs until none is left that could come back, or the node is lost."""
        while (job := self._next(node)) is not None:
            again = False
            try:
                trial = self._work(job, node)
                again = trial is not None and self._is_lost(node, trial)
                if not again:
                    self._end(job, trial)
            except BaseException as error:  # noqa: BLE001 - raised where all are awaited
                self.failed = self.failed or error
            with self._changed:
                self._running -= 1
                if again:
                    self._waiting.appendleft(job)
                self._changed.notify_all()

    def _end(self, job: Job, trial: Trial | None) -> None:
        with self._ending:
            self._ended(job, trial)
        if trial is not None:
            for each in self._nodes:
                each.images.over(job.task)

    def _next(self, node: Node) -> Job | None:
        with self._changed:
            while node not in self._lost:
                if self._waiting:
                    self._running += 1
                    return self._waiting.popleft()
                if not self._running:
                    return None
                self._changed.wait()  # a job that runs elsewhere may come back
        return None

    def _is_lost(self, node: Node, trial: Trial) -> bool:
        """Whether a trial was ended because its node is lost, and there is another one left."""
        if trial.cause is None or CAUSES[trial.cause].counts is not Counts.infra:
            return False
        if node not in self._lost and node.engine.answers():
            return False
        with self._changed:
            if self._lost | {node} == set(self._nodes):
                return False
            self._lost.add(node)
        return True
