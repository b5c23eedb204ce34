#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 4a63f8110a6e1e20b0200da4e6e0e200d97e0136
git checkout 4a63f8110a6e1e20b0200da4e6e0e200d97e0136 tests/test_backoff.py tests/test_queue.py tests/test_scheduler.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_scheduler.py b/tests/test_scheduler.py
--- a/tests/test_scheduler.py
+++ b/tests/test_scheduler.py
@@ -54,6 +54,60 @@ def test_a_recurring_job_runs_at_its_beats():
     assert ran(scheduler, "early") == [5, 105, 205]
 
 
+def test_failures_that_are_not_in_a_row_do_not_add_up():
+    scheduler = Scheduler(ManualClock(), QUICK)
+    scheduler.every("job", 60, failing_at(1, 3, 5, 7, 9))
+    scheduler.run_until(310)
+    assert scheduler.given_up == []
+    assert scheduler.history.outcomes("job") == ["failed", "done"] * 5
+
+
+def test_the_delays_begin_anew_after_a_success():
+    scheduler = Scheduler(ManualClock(), QUICK)
+    scheduler.every("job", 60, failing_at(1, 2, 4))
+    scheduler.run_until(130)
+    assert ran(scheduler) == [60, 62, 66, 120, 122]
+
+
+def test_a_retry_does_not_move_the_beats():
+    scheduler = Scheduler(ManualClock(), QUICK)
+    scheduler.every("job", 60, failing_at(1, 2))
+    scheduler.run_until(240)
+    assert ran(scheduler) == [60, 62, 66, 120, 180, 240]
+
+
+def test_a_job_that_takes_its_time_does_not_move_the_beats():
+    clock = ManualClock()
+    scheduler = Scheduler(clock, QUICK)
+    scheduler.every("job", 60, lambda: clock.advance(7), first_s=10)
+    scheduler.run_until(200)
+    assert ran(scheduler) == [10, 70, 130, 190]
+
+
+def test_a_late_run_does_not_move_the_beats():
+    clock = ManualClock()
+    scheduler = Scheduler(clock, QUICK)
+    scheduler.every("job", 60, failing_at())
+    clock.advance(75)
+    scheduler.run_until(200)
+    assert ran(scheduler) == [75, 120, 180]
+
+
+def test_beats_that_have_passed_are_skipped():
+    clock = ManualClock()
+    scheduler = Scheduler(clock, QUICK)
+    scheduler.every("job", 10, lambda: clock.advance(25))
+    scheduler.run_until(80)
+    assert ran(scheduler) == [10, 40, 70]
+
+
+def test_a_beat_that_comes_while_a_retry_waits_is_skipped():
+    scheduler = Scheduler(ManualClock(), Backoff(first_s=15, factor=1, longest_s=15, max_failures=9))
+    scheduler.every("job", 10, failing_at(1, 2))
+    scheduler.run_until(60)
+    assert ran(scheduler) == [10, 25, 40, 50, 60]
+
+
 def test_a_recurring_job_that_always_fails_is_given_up():
     scheduler = Scheduler(ManualClock(), QUICK)
     scheduler.every("job", 60, failing_at(1, 2, 3, 4, 5))
@@ -62,6 +116,14 @@ def test_a_recurring_job_that_always_fails_is_given_up():
     assert scheduler.given_up == ["job"]
 
 
+def test_a_recurring_job_is_given_up_after_failures_in_a_row():
+    scheduler = Scheduler(ManualClock(), QUICK)
+    scheduler.every("job", 60, failing_at(2, 4, 5, 6, 7))
+    scheduler.run_until(600)
+    assert ran(scheduler) == [60, 120, 122, 180, 182, 186]
+    assert scheduler.given_up == ["job"]
+
+
 def test_jobs_of_one_time_run_by_priority():
     scheduler = Scheduler(ManualClock())
     scheduler.at("low", 5, failing_at())

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_backoff.py tests/test_queue.py tests/test_scheduler.py
: '>>>>> End Test Output'
git checkout 4a63f8110a6e1e20b0200da4e6e0e200d97e0136 tests/test_backoff.py tests/test_queue.py tests/test_scheduler.py
