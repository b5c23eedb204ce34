import pytest

from jsonsplice import diff


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1, "b": [1, 2, 3]}, {"b": [1], "c": {"d": None}}),
        ([1, 2], [1, 3, 4, 5]),
        ([{"x/y": 1, "~": 2}], [{"x/y": 2}]),
        ({"a": True}, {"a": 1}),
        ([], {}),
    ],
)
def test_the_difference_makes_new_of_old(old, new):
    assert diff(old, new).apply(old) == new


def test_no_difference_is_an_empty_patch():
    assert diff({"a": [1, {}]}, {"a": [1, {}]}).to_json() == []


def test_a_difference_is_small():
    assert diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}).to_json() == [
        {"op": "replace", "path": "/a/c", "value": 3}
    ]
