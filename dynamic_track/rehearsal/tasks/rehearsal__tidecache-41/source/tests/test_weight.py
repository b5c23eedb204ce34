import pytest

from tidecache import Cache, TooHeavyError


def test_the_least_recently_used_goes_first():
    cache = Cache(max_weight=2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert list(cache) == ["a", "c"]


def test_asking_with_in_is_no_use():
    cache = Cache(max_weight=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert "a" in cache
    cache.put("c", 3)
    assert list(cache) == ["b", "c"]


def test_heavy_values_push_out_several():
    cache = Cache(max_weight=10, weigh=len)
    for key in "abc":
        cache.put(key, "xxx")
    cache.put("d", "xxxxxxx")
    assert list(cache) == ["c", "d"]


def test_a_value_heavier_than_the_cache_is_refused_and_changes_nothing():
    cache = Cache(max_weight=3, weigh=len)
    cache.put("a", "xx")
    with pytest.raises(TooHeavyError, match="weighs 4"):
        cache.put("a", "xxxx")
    assert cache.get("a") == "xx"


def test_putting_again_makes_a_key_the_youngest():
    cache = Cache(max_weight=3)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    assert list(cache) == ["b", "a"]
    assert cache.get("a") == 3


def test_what_was_discarded_makes_room():
    cache = Cache(max_weight=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.discard("a")
    assert not cache.discard("a")
    cache.put("c", 3)
    assert list(cache) == ["b", "c"]


def test_resize_lets_go_of_what_no_longer_fits():
    cache = Cache(max_weight=3)
    for key in "abc":
        cache.put(key, key)
    cache.resize(1)
    assert list(cache) == ["c"]
