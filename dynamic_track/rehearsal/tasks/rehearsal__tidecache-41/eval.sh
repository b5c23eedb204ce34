#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 1abe54d791f8138cf6e570e4afecded331f44f87
git checkout 1abe54d791f8138cf6e570e4afecded331f44f87 tests/test_age.py tests/test_memo.py tests/test_removals.py tests/test_weight.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_age.py b/tests/test_age.py
--- a/tests/test_age.py
+++ b/tests/test_age.py
@@ -30,6 +30,31 @@ def test_putting_again_starts_a_new_life():
     assert cache.get("a") == 2
 
 
+def test_a_dead_value_that_was_noticed_makes_room():
+    clock = ManualClock()
+    cache = Cache(max_weight=2, ttl_s=10, clock=clock)
+    for _ in range(5):
+        cache.put("a", 1)
+        cache.put("b", 2)
+        clock.advance(10)
+        assert cache.get("a") is None
+        assert cache.get("b") is None
+    cache.put("c", 3)
+    cache.put("d", 4)
+    assert list(cache) == ["c", "d"]
+
+
+def test_a_dead_value_that_is_put_again_counts_once():
+    clock = ManualClock()
+    cache = Cache(max_weight=2, ttl_s=10, clock=clock)
+    cache.put("a", 1)
+    cache.put("b", 2)
+    clock.advance(10)
+    cache.put("a", 3)
+    cache.put("b", 4)
+    assert (cache.get("a"), cache.get("b")) == (3, 4)
+
+
 def test_purge_lets_go_of_the_dead():
     clock = ManualClock()
     cache = Cache(max_weight=2, ttl_s=10, clock=clock)
diff --git a/tests/test_memo.py b/tests/test_memo.py
--- a/tests/test_memo.py
+++ b/tests/test_memo.py
@@ -14,6 +14,22 @@ def test_a_result_is_computed_once_even_if_it_is_none():
     assert calls == [("x", False), ("x", True)]
 
 
+def test_results_that_expire_again_and_again_do_not_fill_the_cache():
+    calls = []
+    clock = ManualClock()
+
+    @memoize(Cache(max_weight=3, ttl_s=10, clock=clock))
+    def square(number):
+        calls.append(number)
+        return number * number
+
+    for _ in range(5):
+        for _ in range(2):
+            assert [square(number) for number in (1, 2, 3)] == [1, 4, 9]
+        clock.advance(10)
+    assert len(calls) == 15
+
+
 def test_a_result_is_computed_again_after_its_time():
     calls = []
     clock = ManualClock()
diff --git a/tests/test_removals.py b/tests/test_removals.py
--- a/tests/test_removals.py
+++ b/tests/test_removals.py
@@ -1,4 +1,6 @@
-from tidecache import Cache, Cause, ManualClock
+import pytest
+
+from tidecache import Cache, Cause, ManualClock, TooHeavyError
 
 
 def watched(**options):
@@ -22,6 +24,23 @@ def test_replacement_is_reported_once_with_the_earlier_value():
     assert gone == [("a", 1, Cause.REPLACED)]
 
 
+def test_replacement_in_a_full_cache_evicts_nothing():
+    cache, _, gone = watched(max_weight=2)
+    cache.put("a", 1)
+    cache.put("b", 2)
+    cache.put("a", 3)
+    assert gone == [("a", 1, Cause.REPLACED)]
+
+
+def test_a_refused_value_is_no_replacement():
+    cache, _, gone = watched(max_weight=3, weigh=len)
+    cache.put("a", "xx")
+    with pytest.raises(TooHeavyError):
+        cache.put("a", "xxxx")
+    assert gone == []
+    assert cache.get("a") == "xx"
+
+
 def test_expiry_on_read_is_reported_once():
     cache, clock, gone = watched(max_weight=5, ttl_s=10)
     cache.put("a", 1)
diff --git a/tests/test_weight.py b/tests/test_weight.py
--- a/tests/test_weight.py
+++ b/tests/test_weight.py
@@ -46,6 +46,39 @@ def test_putting_again_makes_a_key_the_youngest():
     assert cache.get("a") == 3
 
 
+def test_putting_the_same_keys_again_and_again_pushes_nothing_out():
+    cache = Cache(max_weight=4)
+    for _ in range(10):
+        for key in "abcd":
+            cache.put(key, key)
+    assert list(cache) == list("abcd")
+
+
+def test_only_the_weight_of_the_newest_value_counts():
+    cache = Cache(max_weight=10, weigh=len)
+    cache.put("a", "xxxx")
+    cache.put("b", "xxxx")
+    cache.put("b", "xx")
+    cache.put("c", "xxxx")
+    assert list(cache) == ["a", "b", "c"]
+
+
+def test_a_heavier_value_of_a_key_pushes_out_others():
+    cache = Cache(max_weight=10, weigh=len)
+    cache.put("a", "xxxx")
+    cache.put("b", "xxxx")
+    cache.put("b", "xxxxxxx")
+    assert list(cache) == ["b"]
+
+
+def test_a_full_cache_takes_a_new_value_of_its_oldest_key():
+    cache = Cache(max_weight=2)
+    cache.put("a", 1)
+    cache.put("b", 2)
+    cache.put("a", 3)
+    assert (cache.get("a"), cache.get("b")) == (3, 2)
+
+
 def test_what_was_discarded_makes_room():
     cache = Cache(max_weight=2)
     cache.put("a", 1)

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_age.py tests/test_memo.py tests/test_removals.py tests/test_weight.py
: '>>>>> End Test Output'
git checkout 1abe54d791f8138cf6e570e4afecded331f44f87 tests/test_age.py tests/test_memo.py tests/test_removals.py tests/test_weight.py
