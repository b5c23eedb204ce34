from datetime import date

import pytest

from monthwheel import Rule, Schedule


def written(days):
    return [f"{day:%y-%m-%d}" for day in days]


def schedule(start, rule, *excluded):
    return Schedule(date.fromisoformat(start), rule, map(date.fromisoformat, excluded))


def test_between_includes_both_ends():
    rent = schedule("2024-05-15", Rule("month"))
    assert written(rent.between(date(2025, 1, 15), date(2025, 3, 15))) == ["25-01-15", "25-02-15", "25-03-15"]
    assert rent.between(date(2025, 1, 16), date(2025, 2, 14)) == []
    assert rent.between(date(2020, 1, 1), date(2024, 5, 14)) == []


def test_between_with_a_given_day():
    rent = schedule("2024-01-10", Rule("month", on_day=31))
    assert written(rent.between(date(2024, 2, 1), date(2024, 4, 30))) == ["24-02-29", "24-03-31", "24-04-30"]


def test_between_skips_short_months():
    rent = schedule("2024-01-31", Rule("month", short="skip"))
    assert written(rent.between(date(2024, 6, 1), date(2024, 8, 31))) == ["24-07-31", "24-08-31"]


def test_next_after_is_later():
    rent = schedule("2024-05-15", Rule("month"))
    assert rent.next_after(date(2024, 5, 15)) == date(2024, 6, 15)
    assert schedule("2024-05-15", Rule("month", count=1)).next_after(date(2024, 5, 15)) is None


def test_a_day_is_in_the_schedule_or_not():
    rent = schedule("2024-05-15", Rule("month"))
    assert date(2030, 5, 15) in rent
    assert date(2030, 5, 16) not in rent


def test_excluded_days_do_not_take_place_but_count():
    rent = schedule("2024-05-15", Rule("month", count=3), "2024-06-15")
    assert written(rent) == ["24-05-15", "24-07-15"]
    assert written(rent.exclude(date(2024, 7, 15))) == ["24-05-15"]


def test_split_makes_two_of_the_same_days():
    rent = schedule("2024-05-15", Rule("month", count=5), "2024-06-15")
    earlier, later = rent.split(date(2024, 8, 1))
    assert written(earlier) == ["24-05-15", "24-07-15"]
    assert written(later) == ["24-08-15", "24-09-15"]
    with pytest.raises(ValueError, match="nothing takes place"):
        rent.split(date(2024, 9, 16))


def test_schedules_in_words():
    assert schedule("2024-05-15", Rule("month", 2)).describe() == "every 2 months on day 15"
    assert schedule("2024-05-15", Rule("year", count=3)).describe() == "every year on day 15 of month 5, 3 times"
    assert schedule("2024-01-31", Rule("month", short="skip")).describe() == "every month on day 31, if there is one"
    assert schedule("2024-05-15", Rule("week", until=date(2024, 6, 1))).describe() == "every week, until 2024-06-01"
