#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff a9ea5e000982bd8eea20867f8901c80e406976df
git checkout a9ea5e000982bd8eea20867f8901c80e406976df tests/test_pattern.py tests/test_router.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_pattern.py b/tests/test_pattern.py
--- a/tests/test_pattern.py
+++ b/tests/test_pattern.py
@@ -9,6 +9,29 @@ def test_a_pattern_without_placeholders_is_the_path():
     assert Pattern("/about").match("/en/about") is None
 
 
+@pytest.mark.parametrize("path", ["/feedAxml", "/feed/xml", "/feed%xml"])
+def test_a_dot_is_a_dot(path):
+    assert Pattern("/feed.xml").match("/feed.xml") == {}
+    assert Pattern("/feed.xml").match(path) is None
+
+
+@pytest.mark.parametrize("path", ["/c++", "/what?", "/a*b", "/page(2)", "/[draft]", "/$price", "/a|b", "/^top"])
+def test_every_character_outside_of_braces_is_itself(path):
+    assert Pattern(path).match(path) == {}
+
+
+def test_a_bar_is_no_choice():
+    assert Pattern("/a|/b").match("/a") is None
+
+
+def test_a_star_repeats_nothing():
+    assert Pattern("/ab*").match("/abbb") is None
+
+
+def test_a_round_bracket_shifts_no_value():
+    assert Pattern("/page({number:int})").match("/page(2)") == {"number": 2}
+
+
 def test_values_have_their_kind():
     assert Pattern("/users/{id:int}").match("/users/7") == {"id": 7}
     assert Pattern("/users/{id:int}").match("/users/ann") is None
@@ -28,12 +51,30 @@ def test_two_placeholders_in_one_segment():
     assert Pattern("/{year:int}-{month:int}").match("/2024-05") == {"year": 2024, "month": 5}
 
 
+def test_a_dot_between_two_placeholders_is_a_dot():
+    pattern = Pattern("/v{major:int}.{minor:int}")
+    assert pattern.match("/v1.22") == {"major": 1, "minor": 22}
+    assert pattern.match("/v1x22") is None
+    assert pattern.match("/v1022") is None
+
+
+def test_a_dot_after_a_placeholder_is_a_dot():
+    assert Pattern("/{name}.json").match("/report.json") == {"name": "report"}
+    assert Pattern("/{name}.json").match("/reportxjson") is None
+
+
 def test_build_writes_what_match_reads():
     pattern = Pattern("/users/{id:int}/notes/{title}")
     assert pattern.build(id=7, title="a/b") == "/users/7/notes/a%2Fb"
     assert pattern.match("/users/7/notes/a%2Fb") == {"id": 7, "title": "a/b"}
 
 
+def test_build_writes_other_characters_as_they_are():
+    pattern = Pattern("/c++/{name}.html")
+    assert pattern.build(name="vector") == "/c++/vector.html"
+    assert pattern.match("/c++/vector.html") == {"name": "vector"}
+
+
 def test_build_wants_the_right_values():
     with pytest.raises(PatternError, match="takes"):
         Pattern("/{a}").build(b=1)
diff --git a/tests/test_router.py b/tests/test_router.py
--- a/tests/test_router.py
+++ b/tests/test_router.py
@@ -28,6 +28,12 @@ def test_the_route_with_the_fewest_placeholders_is_taken():
     assert which(made, "/users/ann") == "/users/{name}"
 
 
+def test_a_literal_route_takes_nothing_from_another():
+    made = router(("GET", "/{page}"), ("GET", "/feed.xml"))
+    assert which(made, "/feed.xml") == "/feed.xml"
+    assert which(made, "/feed-xml") == "/{page}"
+
+
 def test_the_first_of_equals_is_taken():
     made = router(("GET", "/{a}"), ("GET", "/{b}"))
     assert which(made, "/x") == "/{a}"
@@ -44,6 +50,11 @@ def test_a_known_path_with_another_method_says_which_it_has():
         made.resolve("DELETE", "/x")
 
 
+def test_the_methods_of_a_similar_path_do_not_count():
+    with pytest.raises(NotFound):
+        router(("POST", "/v1.0/orders")).resolve("GET", "/v1x0/orders")
+
+
 def test_methods_are_read_in_any_case():
     assert which(router(("get", "/x")), "/x", "Get") == "/x"
 
@@ -55,6 +66,14 @@ def test_mount_puts_routes_below_a_prefix():
     assert found.values == {"id": 7}
 
 
+def test_mount_takes_the_prefix_as_it_is():
+    made = Router()
+    made.mount("/v1.0", router(("GET", "/users")))
+    assert which(made, "/v1.0/users") == "/users"
+    with pytest.raises(NotFound):
+        made.resolve("GET", "/v1-0/users")
+
+
 def test_url_for_writes_the_path_of_a_name():
     made = Router()
     made.add("GET", "/users/{id:int}", handler("user"), name="user")

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_pattern.py tests/test_router.py
: '>>>>> End Test Output'
git checkout a9ea5e000982bd8eea20867f8901c80e406976df tests/test_pattern.py tests/test_router.py
