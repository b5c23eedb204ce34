#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 563c5b3449929981b020be1fda0e47e2805b48da
git checkout 563c5b3449929981b020be1fda0e47e2805b48da tests/test_parser.py tests/test_usage.py tests/test_variables.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_parser.py b/tests/test_parser.py
--- a/tests/test_parser.py
+++ b/tests/test_parser.py
@@ -26,6 +26,16 @@ def test_values_may_be_written_in_four_ways(line):
     assert parsed(*line)["retries"] == 5
 
 
+@pytest.mark.parametrize("line", [["--retries", "0"], ["--retries=0"], ["-r", "0"], ["-r0"]])
+def test_zero_is_a_value(line):
+    assert parsed(*line)["retries"] == 0
+
+
+@pytest.mark.parametrize("line", [["--prefix", ""], ["--prefix="], ["-p", ""]])
+def test_an_empty_text_is_a_value(line):
+    assert parsed(*line)["prefix"] == ""
+
+
 def test_a_value_may_contain_an_equals_sign():
     assert parsed("--prefix=a=b")["prefix"] == "a=b"
 
@@ -34,11 +44,22 @@ def test_the_last_value_counts():
     assert parsed("-r", "5", "--retries=6")["retries"] == 6
 
 
+def test_the_last_value_counts_if_it_is_zero():
+    assert parsed("-r", "5", "--retries=0")["retries"] == 0
+
+
 def test_flags_are_switched_on():
     assert parsed("--quick")["quick"] is True
     assert parsed("-q")["quick"] is True
 
 
+def test_flags_are_switched_off():
+    assert parsed("--no-colour")["colour"] is False
+    assert parsed("--colour", "--no-colour")["colour"] is False
+    assert parsed("--no-colour", "--colour")["colour"] is True
+    assert parsed("--no-quick")["quick"] is False
+
+
 def test_counts_and_clusters():
     options = parsed("-vvqr5", "--verbose")
     assert (options["verbose"], options["quick"], options["retries"]) == (3, True, 5)
@@ -48,6 +69,10 @@ def test_lists_collect():
     assert parsed("-t", "a", "--tag=b", "-tc")["tag"] == ["a", "b", "c"]
 
 
+def test_lists_collect_empty_texts():
+    assert parsed("--tag=", "-t", "")["tag"] == ["", ""]
+
+
 def test_arguments_stand_anywhere():
     assert parsed("a", "-q", "b", "--", "-q", "--c").arguments == ["a", "b", "-q", "--c"]
     assert parsed("-").arguments == ["-"]
diff --git a/tests/test_variables.py b/tests/test_variables.py
--- a/tests/test_variables.py
+++ b/tests/test_variables.py
@@ -24,6 +24,27 @@ def test_the_command_line_goes_before_the_variable():
     assert parsed("--retries=6", RETRIES="5")["retries"] == 6
 
 
+def test_a_variable_may_say_zero():
+    assert parsed(RETRIES="0")["retries"] == 0
+    assert parsed(VERBOSE="0")["verbose"] == 0
+
+
+@pytest.mark.parametrize("text", ["0", "false", "No", "OFF"])
+def test_a_variable_may_switch_off(text):
+    assert parsed(COLOUR=text)["colour"] is False
+
+
+def test_a_variable_may_be_empty():
+    assert parsed(PREFIX="")["prefix"] == ""
+    assert parsed(TAGS="")["tag"] == []
+
+
+def test_zero_on_the_command_line_goes_before_the_variable():
+    assert parsed("--retries=0", RETRIES="5")["retries"] == 0
+    assert parsed("--no-colour", COLOUR="on")["colour"] is False
+    assert parsed("--prefix=", PREFIX="x")["prefix"] == ""
+
+
 def test_a_variable_that_means_nothing_is_told():
     with pytest.raises(CommandLineError, match="RETRIES cannot be 'many'"):
         parsed(RETRIES="many")
@@ -31,6 +52,10 @@ def test_a_variable_that_means_nothing_is_told():
         parsed(COLOUR="blue")
 
 
+def test_a_variable_is_not_read_where_the_command_line_speaks():
+    assert parsed("--retries=0", RETRIES="many")["retries"] == 0
+
+
 def test_the_environment_of_the_process_is_the_default(monkeypatch):
     monkeypatch.setenv("RETRIES", "7")
     assert Parser("fetch", OPTIONS).parse([])["retries"] == 7

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_parser.py tests/test_usage.py tests/test_variables.py
: '>>>>> End Test Output'
git checkout 563c5b3449929981b020be1fda0e47e2805b48da tests/test_parser.py tests/test_usage.py tests/test_variables.py
