import pytest

from retrywheel import Backoff


def test_delays_grow_up_to_the_longest():
    backoff = Backoff(first_s=2, factor=3, longest_s=40)
    assert [backoff.delay_s(failures) for failures in (1, 2, 3, 4, 9)] == [2, 6, 18, 40, 40]


def test_it_is_over_after_the_last_failure():
    backoff = Backoff(max_failures=3)
    assert [backoff.is_over(failures) for failures in (1, 2, 3, 4)] == [False, False, True, True]


@pytest.mark.parametrize(
    "options", [{"first_s": 0}, {"factor": 0.5}, {"first_s": 9, "longest_s": 5}, {"max_failures": 0}], ids=range(4)
)
def test_a_senseless_backoff_is_refused(options):
    with pytest.raises(ValueError, match="not a backoff"):
        Backoff(**options)
