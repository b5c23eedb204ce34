import pytest

from slotbook import Agenda, Booking, Interval, common_free

HOURS = Interval.parse("08:00-18:00")


def agenda(*texts):
    day = Agenda(HOURS)
    for number, text in enumerate(texts):
        day.book(f"booking {number}", Interval.parse(text))
    return day


def written(intervals):
    return [str(interval) for interval in intervals]


def test_free_lists_the_time_between_bookings():
    assert written(agenda("09:00-09:15", "11:00-12:00").free(at_least=90)) == ["09:15-11:00", "12:00-18:00"]


def test_an_empty_day_is_free():
    assert written(agenda().free()) == ["08:00-18:00"]


def test_is_free_wants_working_hours():
    day = agenda("09:00-10:00")
    assert day.is_free(Interval.parse("10:00-11:00"))
    assert not day.is_free(Interval.parse("09:30-10:30"))
    assert not day.is_free(Interval.parse("17:30-18:30"))


def test_cancel_frees_the_time():
    day = agenda("09:00-10:00")
    day.cancel(day.bookings[0])
    assert day.is_free(Interval.parse("09:00-10:00"))


def test_cancel_refuses_an_unknown_booking():
    with pytest.raises(ValueError, match="not in list"):
        agenda().cancel(Booking("nothing", HOURS))


def test_conflicts_lists_overlapping_pairs():
    pairs = agenda("09:00-10:00", "09:30-11:00", "11:00-12:00").conflicts()
    assert [(first.title, second.title) for first, second in pairs] == [("booking 0", "booking 1")]


def test_common_free_is_free_for_everyone():
    people = [agenda("09:00-12:00"), agenda("11:00-13:00", "15:00-18:00")]
    assert written(common_free(people, at_least=30)) == ["08:00-09:00", "13:00-15:00"]


def test_common_free_of_nobody_is_nothing():
    assert common_free([]) == []
