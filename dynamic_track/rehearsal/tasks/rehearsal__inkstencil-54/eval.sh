#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff d68f84e4f3ee595d39af749f878f47620d3342f9
git checkout d68f84e4f3ee595d39af749f878f47620d3342f9 tests/test_control.py tests/test_parser.py tests/test_scopes.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_control.py b/tests/test_control.py
--- a/tests/test_control.py
+++ b/tests/test_control.py
@@ -34,5 +34,15 @@ def test_a_condition_makes_no_scope():
     assert render("{% if a %}{% set b = 'x' %}{% endif %}{{ b }}", a=1) == "x"
 
 
+def test_a_loop_is_known_again_after_an_inner_one():
+    text = "{% for row in rows %}{% for x in row %}{{ x }}{% endfor %}{{ loop.number }}{% endfor %}"
+    assert render(text, rows=["ab", "c"]) == "ab1c2"
+
+
+def test_nested_loops_may_use_the_same_name():
+    text = "{% for x in rows %}{% for x in x %}{{ x }}{% endfor %}-{{ x|length }} {% endfor %}"
+    assert render(text, rows=[["a", "b"], ["c"]]) == "ab-2 c-1 "
+
+
 def test_a_value_that_is_set_is_known_from_there_on():
     assert render("{{ a }}{% set a = 'x' %}{{ a }}{% set a = 'y' %}{{ a }}") == "xy"
diff --git a/tests/test_scopes.py b/tests/test_scopes.py
--- a/tests/test_scopes.py
+++ b/tests/test_scopes.py
@@ -16,6 +16,63 @@ def test_a_loop_sees_the_names_around_it():
     assert render("{% set sep = '/' %}{% for x in xs %}{{ sep }}{{ x }}{% endfor %}", xs=["a", "b"]) == "/a/b"
 
 
+def test_every_pass_of_a_loop_starts_afresh():
+    text = "{% for x in xs %}{% if loop.first %}{% set y = '!' %}{% endif %}{{ x }}{{ y }}{% endfor %}"
+    assert render(text, xs=["a", "b", "c"]) == "a!bc"
+
+
+def test_a_pass_sees_again_what_a_name_means_outside():
+    text = "{% set y = '?' %}{% for x in xs %}{{ y }}{% set y = x %}{{ y }}{% endfor %}{{ y }}"
+    assert render(text, xs=["a", "b"]) == "?a?b?"
+
+
+def test_the_name_of_a_loop_gets_its_meaning_back():
+    assert render("{{ x }}{% for x in xs %}{{ x }}{% endfor %}{{ x }}", x="o", xs=["a", "b"]) == "oabo"
+
+
+def test_the_name_loop_may_be_among_the_data():
+    assert render("{{ loop }}{% for x in xs %}{{ loop.number }}{% endfor %}{{ loop }}", loop="o", xs=["a"]) == "o1o"
+
+
+def test_a_pass_of_an_inner_loop_starts_from_the_outer_pass():
+    text = (
+        "{% for row in rows %}{% set n = row.0 %}{% for x in row %}{{ n }}{% set n = '.' %}{{ n }}{% endfor %}"
+        "{{ n }} {% endfor %}"
+    )
+    assert render(text, rows=[["a", "b"], ["c"]]) == "a.a.a c.c "
+
+
+def test_a_condition_in_a_loop_sets_for_the_pass():
+    text = "{% set y = '-' %}{% for x in xs %}{% if x %}{% set y = x %}{% endif %}{{ y }}{% endfor %}{{ y }}"
+    assert render(text, xs=["a", "", "b"]) == "a-b-"
+
+
+@pytest.mark.parametrize("name", ["title", "item"])
+def test_what_an_include_sets_stays_inside(name):
+    environment = Environment({"part": "{% set " + name + " = 'part' %}<{{ " + name + " }}>"})
+    page = environment.template("{{ title }}{% include part %}{{ title }}{{ item }}")
+    assert page.render({"title": "page"}) == "page<part>page"
+
+
+def test_an_include_in_a_loop_leaves_the_pass_alone():
+    environment = Environment({"part": "{% set x = 'p' %}{% for x in 'ij' %}{{ x }}{% endfor %}{{ x }}"})
+    page = environment.template("{% for x in xs %}{{ x }}{% include part %}{{ x }} {% endfor %}")
+    assert page.render({"xs": ["a", "b"]}) == "aijpa bijpb "
+
+
+def test_rendering_does_not_change_the_data():
+    data = {"title": "page", "xs": ["a"], "x": "o"}
+    text = "{% set title = 'new' %}{% set more = 1 %}{% for x in xs %}{{ x }}{% endfor %}{{ title }}"
+    assert Environment().template(text).render(data) == "anew"
+    assert data == {"title": "page", "xs": ["a"], "x": "o"}
+
+
+def test_a_template_renders_the_same_again():
+    page = Environment().template("{{ n|default }}{% set n = 'x' %}{{ n }}")
+    data = {}
+    assert [page.render(data), page.render(data), page.render()] == ["-x"] * 3
+
+
 def test_an_include_sees_all_names():
     environment = Environment({"row": "{{ loop.number }}. {{ item.name|upper }}\n"})
     page = environment.template("{% for item in items %}{% include row %}{% endfor %}")

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_control.py tests/test_parser.py tests/test_scopes.py
: '>>>>> End Test Output'
git checkout d68f84e4f3ee595d39af749f878f47620d3342f9 tests/test_control.py tests/test_parser.py tests/test_scopes.py
