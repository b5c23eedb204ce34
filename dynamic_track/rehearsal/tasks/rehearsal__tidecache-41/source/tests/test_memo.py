from tidecache import Cache, ManualClock, memoize


def test_a_result_is_computed_once_even_if_it_is_none():
    calls = []

    @memoize(Cache(max_weight=5))
    def lookup(name, *, strict=False):
        calls.append((name, strict))

    for _ in range(3):
        assert lookup("x") is None
        assert lookup("x", strict=True) is None
    assert calls == [("x", False), ("x", True)]


def test_a_result_is_computed_again_after_its_time():
    calls = []
    clock = ManualClock()

    @memoize(Cache(max_weight=5, ttl_s=10, clock=clock))
    def square(number):
        calls.append(number)
        return number * number

    assert square(3) == 9
    clock.advance(10)
    assert square(3) == 9
    assert calls == [3, 3]
