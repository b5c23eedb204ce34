#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff d6077cc0f4317b9c139c85d25f366e2036bbc325
git checkout d6077cc0f4317b9c139c85d25f366e2036bbc325 tests/test_expand.py tests/test_schedule.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_expand.py b/tests/test_expand.py
--- a/tests/test_expand.py
+++ b/tests/test_expand.py
@@ -25,6 +25,19 @@ def test_years_keep_their_day():
     assert days("2023-03-31", Rule("year"), 3) == ["23-03-31", "24-03-31", "25-03-31"]
 
 
+def test_the_last_day_takes_the_place_and_is_forgotten_again():
+    assert days("2024-01-31", Rule("month")) == ["24-01-31", "24-02-29", "24-03-31", "24-04-30", "24-05-31"]
+    assert days("2023-01-30", Rule("month"), 4) == ["23-01-30", "23-02-28", "23-03-30", "23-04-30"]
+
+
+def test_several_months_at_once():
+    assert days("2023-08-31", Rule("month", 3)) == ["23-08-31", "23-11-30", "24-02-29", "24-05-31", "24-08-31"]
+
+
+def test_leap_days_come_back_in_leap_years():
+    assert days("2024-02-29", Rule("year")) == ["24-02-29", "25-02-28", "26-02-28", "27-02-28", "28-02-29"]
+
+
 def test_a_given_day_of_the_month():
     rule = Rule("month", on_day=31)
     assert days("2024-01-10", rule, 4) == ["24-01-31", "24-02-29", "24-03-31", "24-04-30"]
@@ -44,6 +57,11 @@ def test_a_rule_ends_by_count_or_day():
     assert days("2024-05-15", Rule("month", until=date(2024, 7, 15))) == ["24-05-15", "24-06-15", "24-07-15"]
 
 
+def test_a_rule_ends_on_a_day_that_is_the_last_of_its_month():
+    rule = Rule("month", until=date(2024, 3, 30))
+    assert days("2024-01-31", rule) == ["24-01-31", "24-02-29"]
+
+
 @pytest.mark.parametrize(
     "wrong",
     [
diff --git a/tests/test_schedule.py b/tests/test_schedule.py
--- a/tests/test_schedule.py
+++ b/tests/test_schedule.py
@@ -20,6 +20,23 @@ def test_between_includes_both_ends():
     assert rent.between(date(2020, 1, 1), date(2024, 5, 14)) == []
 
 
+def test_between_starts_anywhere():
+    rent = schedule("2024-01-31", Rule("month"))
+    assert written(rent.between(date(2024, 2, 1), date(2024, 4, 30))) == ["24-02-29", "24-03-31", "24-04-30"]
+    assert written(rent.between(date(2024, 3, 1), date(2024, 5, 31))) == ["24-03-31", "24-04-30", "24-05-31"]
+
+
+@pytest.mark.parametrize("start", ["2023-10-29", "2023-10-30", "2023-10-31"])
+@pytest.mark.parametrize("interval", [1, 2, 4, 5])
+def test_between_finds_what_a_walk_from_the_start_finds(start, interval):
+    walk = schedule(start, Rule("month", interval)).first(40)
+    for first, last in zip(walk, walk[5:], strict=False):
+        assert schedule(start, Rule("month", interval)).between(first, last) == [
+            day for day in walk if first <= day <= last
+        ]
+    assert max(day.day for day in walk[1:]) == int(start[-2:])
+
+
 def test_between_with_a_given_day():
     rent = schedule("2024-01-10", Rule("month", on_day=31))
     assert written(rent.between(date(2024, 2, 1), date(2024, 4, 30))) == ["24-02-29", "24-03-31", "24-04-30"]
@@ -36,12 +53,35 @@ def test_next_after_is_later():
     assert schedule("2024-05-15", Rule("month", count=1)).next_after(date(2024, 5, 15)) is None
 
 
+def test_next_after_from_day_to_day():
+    rent = schedule("2024-01-31", Rule("month"))
+    day, seen = date(2024, 1, 1), []
+    for _ in range(5):
+        day = rent.next_after(day)
+        seen.append(day)
+    assert written(seen) == ["24-01-31", "24-02-29", "24-03-31", "24-04-30", "24-05-31"]
+
+
+def test_next_after_a_birthday_on_a_leap_day():
+    birthday = schedule("2000-02-29", Rule("year"))
+    assert birthday.next_after(date(2022, 12, 31)) == date(2023, 2, 28)
+    assert birthday.next_after(date(2023, 12, 31)) == date(2024, 2, 29)
+    assert birthday.next_after(date(2023, 2, 28)) == date(2024, 2, 29)
+
+
 def test_a_day_is_in_the_schedule_or_not():
     rent = schedule("2024-05-15", Rule("month"))
     assert date(2030, 5, 15) in rent
     assert date(2030, 5, 16) not in rent
 
 
+def test_a_last_day_is_in_the_schedule():
+    rent = schedule("2024-01-31", Rule("month"))
+    assert date(2025, 3, 31) in rent
+    assert date(2025, 2, 28) in rent
+    assert date(2025, 3, 28) not in rent
+
+
 def test_excluded_days_do_not_take_place_but_count():
     rent = schedule("2024-05-15", Rule("month", count=3), "2024-06-15")
     assert written(rent) == ["24-05-15", "24-07-15"]
@@ -57,8 +97,32 @@ def test_split_makes_two_of_the_same_days():
         rent.split(date(2024, 9, 16))
 
 
+@pytest.mark.parametrize("at", [date(2024, 2, 1), date(2024, 2, 29), date(2024, 4, 1), date(2024, 5, 2)])
+def test_split_in_a_short_month_makes_two_of_the_same_days(at):
+    rent = schedule("2024-01-31", Rule("month", count=8))
+    earlier, later = rent.split(at)
+    assert [*earlier, *later] == list(rent)
+    assert written(rent)[-2:] == ["24-07-31", "24-08-31"]
+
+
+def test_split_keeps_the_day_of_a_leap_year():
+    _, later = schedule("2024-02-29", Rule("year")).split(date(2025, 1, 1))
+    assert written(later.first(4)) == ["25-02-28", "26-02-28", "27-02-28", "28-02-29"]
+
+
+def test_a_split_schedule_can_be_split_again():
+    _, later = schedule("2024-01-31", Rule("month")).split(date(2024, 2, 1))
+    _, latest = later.split(date(2024, 4, 1))
+    assert written(latest.first(2)) == ["24-04-30", "24-05-31"]
+
+
 def test_schedules_in_words():
     assert schedule("2024-05-15", Rule("month", 2)).describe() == "every 2 months on day 15"
     assert schedule("2024-05-15", Rule("year", count=3)).describe() == "every year on day 15 of month 5, 3 times"
     assert schedule("2024-01-31", Rule("month", short="skip")).describe() == "every month on day 31, if there is one"
     assert schedule("2024-05-15", Rule("week", until=date(2024, 6, 1))).describe() == "every week, until 2024-06-01"
+
+
+def test_the_rest_of_a_split_schedule_is_described_by_the_same_day():
+    _, later = schedule("2024-01-31", Rule("month")).split(date(2024, 2, 1))
+    assert later.describe() == "every month on day 31"

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_expand.py tests/test_schedule.py
: '>>>>> End Test Output'
git checkout d6077cc0f4317b9c139c85d25f366e2036bbc325 tests/test_expand.py tests/test_schedule.py
