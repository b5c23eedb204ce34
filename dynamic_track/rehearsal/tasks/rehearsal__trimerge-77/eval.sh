#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff e266fba1e455b10c5ddf3e07684b4a42fe259b70
git checkout e266fba1e455b10c5ddf3e07684b4a42fe259b70 tests/test_edits.py tests/test_merge.py tests/test_unified.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_merge.py b/tests/test_merge.py
--- a/tests/test_merge.py
+++ b/tests/test_merge.py
@@ -44,6 +44,85 @@ def test_edits_of_the_same_lines_are_a_conflict(ours, theirs, expected):
     assert merged("abcd", ours, theirs) == expected
 
 
+@pytest.mark.parametrize(
+    ("ours", "theirs", "expected"),
+    [
+        ("abxcd", "abxcd", "abxcd"),
+        ("xabcd", "xabcd", "xabcd"),
+        ("abcdx", "abcdx", "abcdx"),
+        ("abxcd", "abxcy", "abxcy"),
+        ("abxycd", "abxycd", "abxycd"),
+    ],
+    ids=range(5),
+)
+def test_what_both_insert_is_inserted_once(ours, theirs, expected):
+    assert merged("abcd", ours, theirs) == expected
+    assert merged("abcd", theirs, ours) == expected
+
+
+@pytest.mark.parametrize(
+    ("ours", "theirs", "expected"),
+    [
+        ("abxcd", "abycd", "ab(x|y)cd"),
+        ("xabcd", "yabcd", "(x|y)abcd"),
+        ("abcdx", "abcdy", "abcd(x|y)"),
+        ("abxcd", "abxycd", "ab(x|xy)cd"),
+        ("abxcdz", "abycd", "ab(x|y)cdz"),
+    ],
+    ids=range(5),
+)
+def test_different_insertions_at_one_place_are_a_conflict(ours, theirs, expected):
+    assert merged("abcd", ours, theirs) == expected
+
+
+@pytest.mark.parametrize(
+    ("ours", "theirs", "expected"),
+    [
+        ("axcd", "abycd", "axycd"),
+        ("axcd", "aybcd", "ayxcd"),
+        ("acd", "abycd", "aycd"),
+        ("acd", "aybcd", "aycd"),
+        ("abxcd", "ab", "abx"),
+        ("abcx", "abcdy", "abcxy"),
+    ],
+    ids=range(6),
+)
+def test_an_insertion_next_to_a_change_is_merged(ours, theirs, expected):
+    assert merged("abcd", ours, theirs) == expected
+    assert merged("abcd", theirs, ours) == expected
+
+
+@pytest.mark.parametrize(
+    ("ours", "theirs", "expected"),
+    [
+        ("aXYZf", "abxcdef", "a(XYZ|bxcde)f"),
+        ("af", "abxdef", "a(|bxde)f"),
+        ("a", "abxdyf", "a(|bxdyf)"),
+        ("aXf", "abcdxef", "a(X|bcdxe)f"),
+        ("aXf", "aYcdxf", "a(X|Ycdx)f"),
+        ("abXYZ", "abxdyz", "ab(XYZ|xdyz)"),
+    ],
+    ids=range(6),
+)
+def test_a_region_reaches_as_far_as_its_longest_edit(ours, theirs, expected):
+    assert merged("abcdef", ours, theirs) == expected
+    [conflict] = merge(text("abcdef"), text(ours), text(theirs)).conflicts
+    [exchanged] = merge(text("abcdef"), text(theirs), text(ours)).conflicts
+    assert (exchanged.ours, exchanged.theirs) == (conflict.theirs, conflict.ours)
+
+
+def test_edits_that_meet_in_a_chain_are_one_region():
+    assert merged("abcdefgh", "aXXdefYh", "abPPPPPh") == "a(XXdefY|bPPPPP)h"
+    assert merged("abcdefgh", "abPPPPPh", "aXXdefYh") == "a(bPPPPP|XXdefY)h"
+
+
+@pytest.mark.parametrize("version", ["", "a", "abcd", "xabcd", "abxcd", "abcdx", "xaybzcd", "ad", "dcba", "aabbccdd"])
+def test_a_version_merged_with_itself_or_with_the_base_is_itself(version):
+    assert merged("abcd", version, version) == version
+    assert merged("abcd", version, "abcd") == version
+    assert merged("abcd", "abcd", version) == version
+
+
 def test_the_base_may_be_empty():
     assert merged("", "a", "") == "a"
     assert merged("", "", "a") == "a"

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_edits.py tests/test_merge.py tests/test_unified.py
: '>>>>> End Test Output'
git checkout e266fba1e455b10c5ddf3e07684b4a42fe259b70 tests/test_edits.py tests/test_merge.py tests/test_unified.py
