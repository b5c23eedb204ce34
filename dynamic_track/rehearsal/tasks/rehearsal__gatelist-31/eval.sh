#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 0b709e15735df241c53b16fe85fa0299c74920b5
git checkout 0b709e15735df241c53b16fe85fa0299c74920b5 tests/test_directory.py tests/test_pattern.py tests/test_policy.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_directory.py b/tests/test_directory.py
--- a/tests/test_directory.py
+++ b/tests/test_directory.py
@@ -20,6 +20,26 @@ def test_groups_may_be_members():
     assert directory(staff="writers", writers="ann").groups_of("ann") == {"writers", "staff"}
 
 
+def test_groups_are_nested_as_deep_as_you_like():
+    made = directory(a="b", b="c", c="d e", d="ann", e="bob")
+    assert made.groups_of("ann") == {"a", "b", "c", "d"}
+    assert made.groups_of("bob") == {"a", "b", "c", "e"}
+    assert made.groups_of("c") == {"a", "b"}
+
+
+def test_groups_that_contain_each_other_have_the_same_members():
+    made = directory(a="c ann", b="a", c="b")
+    assert made.groups_of("ann") == {"a", "b", "c"}
+    assert made.groups_of("b") == {"a", "c"}
+
+
+def test_a_change_is_seen_through_others():
+    made = directory(a="b", b="c", c="ann")
+    assert "a" in made.groups_of("ann")
+    made.remove("b", "c")
+    assert made.groups_of("ann") == {"c"}
+
+
 def test_a_removed_member_is_not_in_the_group():
     made = directory(staff="ann")
     made.remove("staff", "ann")
diff --git a/tests/test_policy.py b/tests/test_policy.py
--- a/tests/test_policy.py
+++ b/tests/test_policy.py
@@ -41,6 +41,46 @@ def test_the_more_specific_rule_decides():
     assert not policy.may("bob", "read", "/docs/board/minutes")
 
 
+ALLOW_AND_DENY = ["allow staff read /docs/plans/*", "deny bob read /docs/plans/**"]
+
+
+@pytest.mark.parametrize("lines", [ALLOW_AND_DENY, ALLOW_AND_DENY[::-1]], ids=["allow-first", "deny-first"])
+def test_a_deny_wins_among_equally_specific_rules(lines):
+    policy = office("\n".join(lines))
+    assert not policy.may("bob", "read", "/docs/plans/next")
+    assert policy.may("ann", "read", "/docs/plans/next")
+    assert str(policy.explain("bob", "read", "/docs/plans/next").rule) == "deny bob read /docs/plans/**"
+
+
+@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=["first", "second", "third"])
+def test_a_deny_wins_only_among_the_most_specific_rules(order):
+    lines = ["deny staff read /docs/plans/**", "allow ann read /docs/plans/next", "allow bob read /docs/plans/*"]
+    policy = office("\n".join(lines[number] for number in order))
+    assert policy.may("ann", "read", "/docs/plans/next")
+    assert not policy.may("bob", "read", "/docs/plans/next")
+
+
+def test_rules_stay_in_the_order_in_which_they_were_added():
+    policy = office("deny ann read /docs/x\nallow ann read /docs/x\ndeny bob read /docs/x\n")
+    assert list(map(str, policy.rules[-3:])) == [
+        "deny ann read /docs/x",
+        "allow ann read /docs/x",
+        "deny bob read /docs/x",
+    ]
+
+
+def test_a_deny_reaches_the_members_of_nested_groups():
+    policy = office("group temps: agencies\ngroup agencies: north\ngroup north: ann\ndeny temps read /docs/**\n")
+    assert not policy.may("ann", "read", "/docs/plan")
+    assert policy.allowed_users(["ann", "bob", "cem"], "read", "/docs/plan") == ["bob", "cem"]
+
+
+def test_an_allow_reaches_the_members_of_nested_groups():
+    policy = office("group writers: guests\ngroup guests: poets\ngroup poets: dia\n")
+    assert policy.may("dia", "write", "/docs/drafts/one")
+    assert policy.may("dia", "read", "/docs/plan")
+
+
 def test_a_request_that_no_rule_is_about_is_denied():
     decision = office().explain("ann", "delete", "/docs/plan")
     assert (decision.allowed, decision.rule) == (False, None)

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_directory.py tests/test_pattern.py tests/test_policy.py
: '>>>>> End Test Output'
git checkout 0b709e15735df241c53b16fe85fa0299c74920b5 tests/test_directory.py tests/test_pattern.py tests/test_policy.py
