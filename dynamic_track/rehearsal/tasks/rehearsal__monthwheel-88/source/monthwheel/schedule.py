"""A rule with a start and with exceptions."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice, takewhile

from monthwheel.expand import jump, occurrences
from monthwheel.rule import Rule
from monthwheel.words import describe


class Schedule:
    """The days of a rule from a start on, without those that are excluded."""

    def __init__(self, start: date, rule: Rule, excluded: Iterable[date] = ()) -> None:
        self.start = start
        self.rule = rule
        self.excluded = frozenset(excluded)

    def __iter__(self) -> Iterator[date]:
        return (day for day in occurrences(self.start, self.rule) if day not in self.excluded)

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.between(day, day) == [day]

    def first(self, number: int) -> list[date]:
        """The first days, at most so many."""
        return list(islice(self, number))

    def between(self, first: date, last: date) -> list[date]:
        """The days from ``first`` to ``last``, both included."""
        found = takewhile(lambda day: day <= last, self._from(first))
        return [day for day in found if day not in self.excluded]

    def next_after(self, day: date) -> date | None:
        """The first day after the given one, or None if there is none."""
        later = self._from(day + timedelta(days=1))
        return next((found for found in later if found not in self.excluded), None)

    def exclude(self, *days: date) -> "Schedule":
        """The same schedule with more days excluded."""
        return Schedule(self.start, self.rule, self.excluded.union(days))

    def split(self, day: date) -> "tuple[Schedule, Schedule]":
        """The schedule before a day, and the rest of it from that day on.

        Raises:
            ValueError: nothing is left from that day on.
        """
        first = next(self._from(day), None)
        if first is None:
            raise ValueError(f"nothing takes place from {day} on")
        earlier = Schedule(self.start, replace(self.rule, until=day - timedelta(days=1)), self.excluded)
        count = self.rule.count
        if count is not None:
            count -= sum(1 for _ in occurrences(earlier.start, earlier.rule))
        return earlier, Schedule(first, replace(self.rule, count=count), self.excluded)

    def describe(self) -> str:
        """The rule in words."""
        return describe(self.rule, self.start)

    def _from(self, first: date) -> Iterator[date]:
        """The days from ``first`` on, the excluded ones too."""
        start = self.start if self.rule.count is not None else jump(self.start, self.rule, first)
        return (day for day in occurrences(start, self.rule) if day >= first)
