"""Running jobs at their time."""

from collections.abc import Callable

from retrywheel.backoff import Backoff
from retrywheel.clock import Clock
from retrywheel.history import History, Outcome, Run
from retrywheel.job import Job
from retrywheel.queue import JobQueue


class Scheduler:
    """Runs jobs one after the other in the calling thread."""

    def __init__(self, clock: Clock, backoff: Backoff | None = None) -> None:
        self.history = History()
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._queue = JobQueue()
        self._given_up: list[str] = []

    @property
    def given_up(self) -> list[str]:
        """The jobs that failed too often, in the order in which they were given up."""
        return list(self._given_up)

    def at(self, name: str, time_s: float, action: Callable[[], object], priority: int = 0) -> None:
        """Adds a job that runs once, at a time or as soon as possible after it."""
        self._queue.push(Job(name, action, time_s, None, priority))

    def every(
        self,
        name: str,
        every_s: float,
        action: Callable[[], object],
        *,
        first_s: float | None = None,
        priority: int = 0,
    ) -> None:
        """Adds a job that runs again and again, first after one period or at ``first_s``."""
        if every_s <= 0:
            raise ValueError(f"a period is longer than nothing, got {every_s}")
        due_s = self._clock.now() + every_s if first_s is None else first_s
        self._queue.push(Job(name, action, due_s, every_s, priority))

    def cancel(self, name: str) -> bool:
        """Takes a job out; whether it was waiting."""
        return self._queue.discard(name)

    def run_due(self) -> int:
        """Runs every job that is due by now; the number of runs."""
        runs = 0
        while (job := self._queue.pop_due(self._clock.now())) is not None:
            self._run(job)
            runs += 1
        return runs

    def run_until(self, end_s: float) -> int:
        """Waits for jobs and runs them until a time, which is included; the number of runs."""
        runs = self.run_due()
        while (due_s := self._queue.next_due_s()) is not None and due_s <= end_s:
            self._clock.wait_until(due_s)
            runs += self.run_due()
        self._clock.wait_until(end_s)
        return runs

    def _run(self, job: Job) -> None:
        started_s = self._clock.now()
        try:
            job.action()
        except Exception as error:
            job.failures += 1
            over = self._backoff.is_over(job.failures)
            outcome = Outcome.GIVEN_UP if over else Outcome.FAILED
            self.history.add(Run(job.name, started_s, outcome, str(error)))
            if over:
                self._given_up.append(job.name)
            else:
                self._again(job, self._clock.now() + self._backoff.delay_s(job.failures))
            return
        self.history.add(Run(job.name, started_s, Outcome.DONE))
        if job.recurs:
            self._again(job, job.next_beat_s(self._clock.now()))

    def _again(self, job: Job, due_s: float) -> None:
        job.due_s = due_s
        self._queue.push(job)
