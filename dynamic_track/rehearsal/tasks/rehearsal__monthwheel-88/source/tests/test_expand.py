from datetime import date
from itertools import islice

import pytest

from monthwheel import Rule, occurrences


def days(start, rule, number=5):
    return [f"{day:%y-%m-%d}" for day in islice(occurrences(date.fromisoformat(start), rule), number)]


def test_days_and_weeks():
    assert days("2024-02-27", Rule("day", 2), 3) == ["24-02-27", "24-02-29", "24-03-02"]
    assert days("2024-12-24", Rule("week", 2), 2) == ["24-12-24", "25-01-07"]


def test_months_keep_their_day():
    assert days("2024-05-15", Rule("month"), 3) == ["24-05-15", "24-06-15", "24-07-15"]
    assert days("2024-01-28", Rule("month"), 3) == ["24-01-28", "24-02-28", "24-03-28"]
    assert days("2024-11-05", Rule("month", 3), 3) == ["24-11-05", "25-02-05", "25-05-05"]


def test_years_keep_their_day():
    assert days("2023-03-31", Rule("year"), 3) == ["23-03-31", "24-03-31", "25-03-31"]


def test_a_given_day_of_the_month():
    rule = Rule("month", on_day=31)
    assert days("2024-01-10", rule, 4) == ["24-01-31", "24-02-29", "24-03-31", "24-04-30"]


def test_a_given_day_that_is_over_comes_with_the_next_turn():
    assert days("2024-01-10", Rule("month", 2, on_day=5), 2) == ["24-03-05", "24-05-05"]


def test_short_months_may_be_skipped():
    assert days("2024-01-31", Rule("month", short="skip"), 4) == ["24-01-31", "24-03-31", "24-05-31", "24-07-31"]
    assert days("2024-02-29", Rule("year", short="skip"), 2) == ["24-02-29", "28-02-29"]


def test_a_rule_ends_by_count_or_day():
    assert days("2024-05-15", Rule("month", count=2)) == ["24-05-15", "24-06-15"]
    assert days("2024-05-15", Rule("month", until=date(2024, 7, 15))) == ["24-05-15", "24-06-15", "24-07-15"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": "hour"},
        {"interval": 0},
        {"count": 0},
        {"on_day": 32},
        {"short": "next"},
        {"every": "week", "on_day": 3},
    ],
)
def test_wrong_rules_are_refused(wrong):
    with pytest.raises(ValueError, match="is one of|at least|day of the month"):
        Rule(**{"every": "month", **wrong})
