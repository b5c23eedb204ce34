from tidecache import Cache, Cause, ManualClock


def watched(**options):
    gone = []
    clock = ManualClock()
    cache = Cache(clock=clock, on_remove=lambda *removal: gone.append(removal), **options)
    return cache, clock, gone


def test_eviction_is_reported():
    cache, _, gone = watched(max_weight=1)
    cache.put("a", 1)
    cache.put("b", 2)
    assert gone == [("a", 1, Cause.EVICTED)]


def test_replacement_is_reported_once_with_the_earlier_value():
    cache, _, gone = watched(max_weight=5)
    cache.put("a", 1)
    cache.put("a", 2)
    assert gone == [("a", 1, Cause.REPLACED)]


def test_expiry_on_read_is_reported_once():
    cache, clock, gone = watched(max_weight=5, ttl_s=10)
    cache.put("a", 1)
    clock.advance(10)
    cache.get("a")
    cache.get("a")
    assert gone == [("a", 1, Cause.EXPIRED)]


def test_discard_is_reported():
    cache, _, gone = watched(max_weight=5)
    cache.put("a", 1)
    cache.discard("a")
    assert gone == [("a", 1, Cause.DISCARDED)]


def test_stats_count_hits_misses_and_removals():
    cache, clock, _ = watched(max_weight=5, ttl_s=10)
    assert cache.stats.hit_rate == 0.0
    cache.put("a", 1)
    cache.get("a")
    clock.advance(10)
    cache.get("a")
    assert cache.stats.hit_rate == 0.5
    assert cache.stats.removals[Cause.EXPIRED] == 1
