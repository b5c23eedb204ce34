import pytest

from retrywheel import Backoff, ManualClock, Scheduler

QUICK = Backoff(first_s=2, factor=2, longest_s=10, max_failures=3)


def failing_at(*numbers):
    """An action that fails in the runs of these numbers, counted from 1."""
    runs = []

    def action():
        runs.append(None)
        if len(runs) in numbers:
            raise RuntimeError(f"run {len(runs)} failed")

    return action


def ran(scheduler, name="job"):
    """When a job ran."""
    return scheduler.history.starts_s(name)


def test_a_job_runs_once_at_its_time():
    scheduler = Scheduler(ManualClock())
    scheduler.at("job", 30, failing_at())
    assert scheduler.run_until(100) == 1
    assert ran(scheduler) == [30]


def test_a_job_that_fails_is_tried_again_later_and_later():
    scheduler = Scheduler(ManualClock(), QUICK)
    scheduler.at("job", 10, failing_at(1, 2))
    scheduler.run_until(100)
    assert ran(scheduler) == [10, 12, 16]
    assert scheduler.history.outcomes("job") == ["failed", "failed", "done"]


def test_a_job_that_fails_too_often_is_given_up():
    scheduler = Scheduler(ManualClock(), QUICK)
    scheduler.at("job", 10, failing_at(1, 2, 3))
    scheduler.run_until(100)
    assert scheduler.history.outcomes("job") == ["failed", "failed", "given up"]
    assert scheduler.given_up == ["job"]


def test_a_recurring_job_runs_at_its_beats():
    scheduler = Scheduler(ManualClock())
    scheduler.every("job", 60, failing_at())
    scheduler.every("early", 100, failing_at(), first_s=5)
    scheduler.run_until(250)
    assert ran(scheduler) == [60, 120, 180, 240]
    assert ran(scheduler, "early") == [5, 105, 205]


def test_a_recurring_job_that_always_fails_is_given_up():
    scheduler = Scheduler(ManualClock(), QUICK)
    scheduler.every("job", 60, failing_at(1, 2, 3, 4, 5))
    scheduler.run_until(600)
    assert ran(scheduler) == [60, 62, 66]
    assert scheduler.given_up == ["job"]


def test_jobs_of_one_time_run_by_priority():
    scheduler = Scheduler(ManualClock())
    scheduler.at("low", 5, failing_at())
    scheduler.at("high", 5, failing_at(), priority=1)
    scheduler.run_until(5)
    assert [run.name for run in scheduler.history] == ["high", "low"]


def test_a_cancelled_job_does_not_run():
    scheduler = Scheduler(ManualClock())
    scheduler.every("job", 60, failing_at())
    scheduler.run_until(60)
    assert scheduler.cancel("job")
    assert scheduler.run_until(600) == 0


def test_errors_are_recorded():
    scheduler = Scheduler(ManualClock(), QUICK)
    scheduler.at("job", 10, failing_at(1))
    scheduler.run_until(11)
    assert [run.error for run in scheduler.history] == ["run 1 failed"]


def test_a_period_of_nothing_is_refused():
    with pytest.raises(ValueError, match="longer than nothing"):
        Scheduler(ManualClock()).every("job", 0, failing_at())
