import pytest

from pathlatch import MethodNotAllowed, NotFound, PatternError, Router


def handler(name):
    def handle():
        return name

    handle.__name__ = name
    return handle


def router(*routes):
    made = Router()
    for method, pattern in routes:
        made.add(method, pattern, handler(pattern))
    return made


def which(made, path, method="GET"):
    return made.resolve(method, path).handler()


def test_the_route_with_the_fewest_placeholders_is_taken():
    made = router(("GET", "/users/{name}"), ("GET", "/users/me"))
    assert which(made, "/users/me") == "/users/me"
    assert which(made, "/users/ann") == "/users/{name}"


def test_the_first_of_equals_is_taken():
    made = router(("GET", "/{a}"), ("GET", "/{b}"))
    assert which(made, "/x") == "/{a}"


def test_an_unknown_path_is_not_found():
    with pytest.raises(NotFound, match="no route for /x"):
        router(("GET", "/y")).resolve("GET", "/x")


def test_a_known_path_with_another_method_says_which_it_has():
    made = router(("GET", "/x"), ("PUT", "/x"))
    with pytest.raises(MethodNotAllowed, match="/x allows GET, PUT"):
        made.resolve("DELETE", "/x")


def test_methods_are_read_in_any_case():
    assert which(router(("get", "/x")), "/x", "Get") == "/x"


def test_mount_puts_routes_below_a_prefix():
    made = Router()
    made.mount("/api/", router(("GET", "/users/{id:int}")))
    found = made.resolve("GET", "/api/users/7")
    assert found.values == {"id": 7}


def test_url_for_writes_the_path_of_a_name():
    made = Router()
    made.add("GET", "/users/{id:int}", handler("user"), name="user")
    assert made.url_for("user", id=7) == "/users/7"
    with pytest.raises(NotFound):
        made.url_for("group")


def test_a_name_is_taken_once():
    made = Router()
    made.add("GET", "/a", handler("a"), name="x")
    with pytest.raises(PatternError, match="already"):
        made.add("GET", "/b", handler("b"), name="x")
