from tidecache import Cache, ManualClock


def test_a_value_lives_for_its_time():
    clock = ManualClock()
    cache = Cache(max_weight=5, ttl_s=10, clock=clock)
    cache.put("a", 1)
    clock.advance(9.9)
    assert cache.get("a") == 1
    clock.advance(0.1)
    assert "a" not in cache
    assert cache.get("a", "gone") == "gone"


def test_a_value_may_have_a_time_of_its_own():
    clock = ManualClock()
    cache = Cache(max_weight=5, ttl_s=10, clock=clock)
    cache.put("a", 1, ttl_s=60)
    clock.advance(30)
    assert cache.get("a") == 1


def test_putting_again_starts_a_new_life():
    clock = ManualClock()
    cache = Cache(max_weight=5, ttl_s=10, clock=clock)
    cache.put("a", 1)
    clock.advance(8)
    cache.put("a", 2)
    clock.advance(8)
    assert cache.get("a") == 2


def test_purge_lets_go_of_the_dead():
    clock = ManualClock()
    cache = Cache(max_weight=2, ttl_s=10, clock=clock)
    cache.put("a", 1)
    clock.advance(5)
    cache.put("b", 2)
    clock.advance(5)
    assert cache.purge() == 1
    assert list(cache) == ["b"]
    cache.put("c", 3)
    assert list(cache) == ["b", "c"]
