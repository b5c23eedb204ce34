"""Days that come back: every second week, every month, every year."""

from monthwheel.expand import occurrences
from monthwheel.rule import Rule
from monthwheel.schedule import Schedule
from monthwheel.words import describe

__all__ = ["Rule", "Schedule", "describe", "occurrences"]
