"""Jobs in the order in which they are to run."""

from heapq import heappop, heappush
from itertools import count

from retrywheel.job import Job


class JobQueue:
    """A queue by due time, then priority, then the order of being pushed."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Job]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, job: Job) -> None:
        """Adds a job at its due time."""
        heappush(self._heap, (job.due_s, -job.priority, next(self._numbers), job))

    def pop_due(self, now_s: float) -> Job | None:
        """Takes out the first job that is due, or None if none is."""
        if not self._heap or self._heap[0][0] > now_s:
            return None
        return heappop(self._heap)[-1]

    def next_due_s(self) -> float | None:
        """When the first job is due; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def discard(self, name: str) -> bool:
        """Takes out the jobs of a name; whether there was one."""
        kept = [entry for entry in self._heap if entry[-1].name != name]
        found = len(kept) < len(self._heap)
        self._heap = sorted(kept, key=lambda entry: entry[:3])
        return found
