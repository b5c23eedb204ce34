"""From a rule to its days."""

from collections.abc import Iterator
from datetime import date, timedelta

from monthwheel.months import months_between, place, shift_month
from monthwheel.rule import Rule


def occurrences(start: date, rule: Rule) -> Iterator[date]:
    """The days of a rule from the first one at or after ``start`` on, endless where the rule is."""
    day = first_day(start, rule)
    made = 0
    while (rule.count is None or made < rule.count) and (rule.until is None or day <= rule.until):
        yield day
        made += 1
        day = following(day, rule)


def first_day(start: date, rule: Rule) -> date:
    """The first day of a rule at or after ``start``."""
    if rule.on_day is None:
        return start
    day = place(start.year, start.month, rule.on_day, rule.short)
    return day if day is not None and day >= start else following(start, rule)


def following(day: date, rule: Rule) -> date:
    """The day of a rule that comes after one of its days."""
    if not rule.goes_by_months:
        return day + timedelta(days=rule.days)
    year, month = day.year, day.month
    while True:
        year, month = shift_month(year, month, rule.months)
        found = place(year, month, rule.on_day or day.day, rule.short)
        if found is not None:
            return found


def jump(start: date, rule: Rule, not_before: date) -> date:
    """A day of the rule from which on no day at or after ``not_before`` is missed, without walking there.

    Rules with a count are not to be jumped in, since the days before would have to be counted.
    """
    first = first_day(start, rule)
    if not_before <= first:
        return first
    if not rule.goes_by_months:
        turns = (not_before - first).days // rule.days
        return first + timedelta(days=turns * rule.days)
    for turns in range(months_between(first, not_before) // rule.months, 0, -1):
        year, month = shift_month(first.year, first.month, turns * rule.months)
        found = place(year, month, rule.on_day or first.day, rule.short)
        if found is not None and found <= not_before:
            return found
    return first
