import pytest

from jsonsplice import Patch, PatchError


def patch(*operations):
    """A patch of operations as tuples: kind, path, then value or source."""
    third = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from"}
    return Patch.from_json(
        {"op": kind, "path": path, **({third[kind]: rest[0]} if rest else {})} for kind, path, *rest in operations
    )


def test_add_inserts_and_sets():
    assert patch(("add", "/a/1", 9), ("add", "/b", 8)).apply({"a": [1, 2]}) == {"a": [1, 9, 2], "b": 8}
    assert patch(("add", "/a/-", 9)).apply({"a": []}) == {"a": [9]}
    assert patch(("add", "", 9)).apply({"a": []}) == 9


def test_replace_and_remove_want_something_there():
    assert patch(("replace", "/a/0", 9), ("remove", "/b")).apply({"a": [1], "b": 2}) == {"a": [9]}
    for operation in (("replace", "/c", 1), ("remove", "/c"), ("replace", "/a/-", 1)):
        with pytest.raises(PatchError, match=operation[1]):
            patch(operation).apply({"a": [1]})


def test_move_takes_away_first():
    assert patch(("move", "/a/2", "/a/0")).apply({"a": [1, 2, 3]}) == {"a": [2, 3, 1]}
    with pytest.raises(PatchError, match="into itself"):
        patch(("move", "/a/b", "/a")).apply({"a": {"b": 1}})


def test_copy_leaves_the_source():
    assert patch(("copy", "/b", "/a/0")).apply({"a": [1]}) == {"a": [1], "b": 1}


def test_what_a_patch_writes_is_independent_of_it():
    made = patch(("add", "/a", {"list": [1]}))
    made.to_json()[0]["value"]["list"].append("changed")
    assert made.apply({}) == {"a": {"list": [1]}}


def test_test_compares():
    assert patch(("test", "/a", [1]), ("remove", "/a")).apply({"a": [1]}) == {}
    with pytest.raises(PatchError, match="is not"):
        patch(("test", "/a", 1)).apply({"a": True})


def test_the_document_stays_as_it_is():
    document = {"a": {"list": [1]}}
    assert patch(("add", "/a/list/-", 2), ("remove", "/a/list/0")).apply(document) == {"a": {"list": [2]}}
    assert document == {"a": {"list": [1]}}


def test_wrong_operations_are_refused():
    with pytest.raises(PatchError, match="no operation"):
        Patch.from_json([{"op": "swap", "path": ""}])
    with pytest.raises(PatchError, match="without value"):
        Patch.from_json([{"op": "add", "path": ""}])


@pytest.mark.parametrize(
    "operations",
    [
        [("add", "/a/1", 9), ("add", "/a/-", 8), ("add", "/new", 7), ("add", "/b", 6)],
        [("replace", "/a", 1), ("remove", "/b")],
        [("move", "/c", "/a/0"), ("move", "/a/0", "/b")],
        [("copy", "/a/-", "/b"), ("replace", "", None)],
    ],
)
def test_the_inverse_takes_back(operations):
    document = {"a": [1, {"x": 2}], "b": {"y": 3}}
    made = patch(*operations)
    assert made.inverse(document).apply(made.apply(document)) == document
