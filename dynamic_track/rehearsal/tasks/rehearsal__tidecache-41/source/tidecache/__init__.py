"""An in-memory cache bounded by weight and age."""

from tidecache.cache import Cache, TooHeavyError
from tidecache.clock import Clock, ManualClock, MonotonicClock
from tidecache.entry import Cause, Entry
from tidecache.memo import memoize
from tidecache.stats import Stats

__all__ = [
    "Cache",
    "Cause",
    "Clock",
    "Entry",
    "ManualClock",
    "MonotonicClock",
    "Stats",
    "TooHeavyError",
    "memoize",
]
