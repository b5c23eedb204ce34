"""Jobs that run at their time, and again after they failed."""

from retrywheel.backoff import Backoff
from retrywheel.clock import Clock, ManualClock, SystemClock
from retrywheel.history import History, Outcome, Run
from retrywheel.job import Job
from retrywheel.scheduler import Scheduler

__all__ = ["Backoff", "Clock", "History", "Job", "ManualClock", "Outcome", "Run", "Scheduler", "SystemClock"]
