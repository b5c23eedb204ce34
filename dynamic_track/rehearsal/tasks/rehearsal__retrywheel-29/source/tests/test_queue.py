from retrywheel import Job
from retrywheel.queue import JobQueue


def names(queue, now_s):
    found = []
    while (job := queue.pop_due(now_s)) is not None:
        found.append(job.name)
    return found


def filled(*jobs):
    queue = JobQueue()
    for name, due_s, priority in jobs:
        queue.push(Job(name, print, due_s, None, priority))
    return queue


def test_jobs_come_by_time_then_priority_then_order():
    queue = filled(("d", 5, 0), ("b", 1, 0), ("c", 1, 0), ("a", 1, 7))
    assert names(queue, 9) == ["a", "b", "c", "d"]


def test_jobs_that_are_not_due_stay():
    queue = filled(("a", 1, 0), ("b", 5, 0))
    assert names(queue, 4) == ["a"]
    assert queue.next_due_s() == 5
    assert len(queue) == 1


def test_discard_takes_a_job_out():
    queue = filled(("a", 1, 0), ("b", 5, 0), ("c", 3, 0))
    assert queue.discard("a")
    assert not queue.discard("a")
    assert names(queue, 9) == ["c", "b"]
