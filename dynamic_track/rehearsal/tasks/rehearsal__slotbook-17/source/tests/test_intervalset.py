from slotbook import Interval, IntervalSet


def stretches(*texts):
    return [Interval.parse(text) for text in texts]


def test_overlapping_intervals_become_one():
    assert list(IntervalSet(stretches("10:00-11:00", "09:00-10:30"))) == stretches("09:00-11:00")


def test_touching_intervals_become_one():
    assert list(IntervalSet(stretches("09:00-10:00", "10:00-11:00"))) == stretches("09:00-11:00")


def test_intervals_apart_stay_apart():
    assert list(IntervalSet(stretches("13:00-14:00", "09:00-10:00"))) == stretches("09:00-10:00", "13:00-14:00")


def test_add_bridges_two_stretches():
    grown = IntervalSet(stretches("09:00-10:00", "11:00-12:00")).add(Interval.parse("10:00-11:00"))
    assert list(grown) == stretches("09:00-12:00")


def test_add_leaves_the_original_alone():
    original = IntervalSet(stretches("09:00-10:00"))
    original.add(Interval.parse("12:00-13:00"))
    assert list(original) == stretches("09:00-10:00")


def test_total_counts_minutes():
    assert IntervalSet(stretches("09:00-10:00", "09:30-11:00", "12:00-12:15")).total == 135


def test_gaps_lie_inside_the_bounds():
    busy = IntervalSet(stretches("07:00-09:00", "10:00-11:00"))
    assert busy.gaps(Interval.parse("08:00-12:00")) == stretches("09:00-10:00", "11:00-12:00")


def test_no_gap_where_all_is_busy():
    assert IntervalSet(stretches("08:00-12:00")).gaps(Interval.parse("09:00-10:00")) == []
