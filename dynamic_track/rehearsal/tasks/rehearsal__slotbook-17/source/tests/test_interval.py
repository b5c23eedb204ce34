import pytest

from slotbook import Interval
from slotbook.clock import format_clock, parse_clock


def test_clock_reads_and_writes_times_of_day():
    assert parse_clock("09:30") == 570
    assert parse_clock("24:00") == 1440
    assert format_clock(570) == "09:30"


@pytest.mark.parametrize("text", ["9", "09:75", "24:01", "nine"])
def test_clock_refuses_what_is_no_time_of_day(text):
    with pytest.raises(ValueError, match="not a time of day"):
        parse_clock(text)


def test_an_interval_reads_as_it_is_written():
    assert str(Interval.parse("09:00-10:30")) == "09:00-10:30"


def test_an_interval_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="ends after it starts"):
        Interval(60, 60)


def test_intervals_that_touch_meet_but_do_not_overlap():
    first, second = Interval.parse("09:00-10:00"), Interval.parse("10:00-11:00")
    assert first.meets(second)
    assert not first.overlaps(second)


def test_clip_keeps_the_part_inside():
    hours = Interval.parse("08:00-12:00")
    assert Interval.parse("11:00-14:00").clip(hours) == Interval.parse("11:00-12:00")
    assert Interval.parse("12:00-14:00").clip(hours) is None
