#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff c542b39c788072de34295a28033174f61b7d7535
git checkout c542b39c788072de34295a28033174f61b7d7535 tests/test_comments.py tests/test_reading.py tests/test_writing.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_comments.py b/tests/test_comments.py
--- a/tests/test_comments.py
+++ b/tests/test_comments.py
@@ -31,6 +31,32 @@ def test_a_literal_string_may_end_in_a_backslash():
     assert loads(r"share = 'C:\share\' # on the server") == {"": {"share": "C:\\share\\"}}
 
 
+@pytest.mark.parametrize(
+    ("text", "expected"),
+    [
+        ('"#ff8800"', "#ff8800"),
+        ("'team #billing'", "team #billing"),
+        ('"a; b"', "a; b"),
+        ("""'say "#1"'""", 'say "#1"'),
+        (r'"say \"#1\" # now"', 'say "#1" # now'),
+        (r'"ends in \\"', "ends in \\"),
+    ],
+    ids=["color", "single", "semicolon", "nested", "escaped", "backslash"],
+)
+def test_a_mark_in_quotes_begins_no_comment(text, expected):
+    assert loads(f"key = {text}") == {"": {"key": expected}}
+    assert loads(f"key = {text} # a comment; and more") == {"": {"key": expected}}
+
+
+def test_a_mark_in_a_quoted_list_item_begins_no_comment():
+    assert loads("""colors = ["#fff", '#000', red] # three""") == {"": {"colors": ["#fff", "#000", "red"]}}
+
+
+def test_a_string_left_open_before_a_mark_is_refused():
+    with pytest.raises(ConfError, match="line 1"):
+        loads('name = "billing # the name')
+
+
 def test_a_setting_without_a_value_is_refused():
     with pytest.raises(ConfError, match="line 1"):
         loads("port = # later")
diff --git a/tests/test_writing.py b/tests/test_writing.py
--- a/tests/test_writing.py
+++ b/tests/test_writing.py
@@ -16,9 +16,11 @@ def test_strings_that_look_like_something_else_are_quoted():
     [
         {"": {"a": 1, "b": 1.5, "c": True, "d": "word"}},
         {"": {"a": 'say "hi"\n', "b": "back\\slash", "c": ""}},
+        {"": {"a": "#ff8800", "b": "a; b", "c": 'we are "#1"; really', "d": "C:\\ # root"}},
+        {"x": {"list": ["#fff", "a;b"]}},
         {"x": {"list": [1, "a, b", False]}, "y": {}},
     ],
-    ids=["scalars", "strings", "sections"],
+    ids=["scalars", "strings", "marks", "marks-in-lists", "sections"],
 )
 def test_what_is_written_reads_back_the_same(data):
     assert loads(dumps(data)) == data

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_comments.py tests/test_reading.py tests/test_writing.py
: '>>>>> End Test Output'
git checkout c542b39c788072de34295a28033174f61b7d7535 tests/test_comments.py tests/test_reading.py tests/test_writing.py
