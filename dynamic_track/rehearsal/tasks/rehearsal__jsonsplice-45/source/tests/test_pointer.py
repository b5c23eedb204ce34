import pytest

from jsonsplice import Pointer, PointerError
from jsonsplice.tree import get, same

DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "~1": 9}


@pytest.mark.parametrize(
    ("text", "expected"), [("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/m~0n", 8), ("/~01", 9), ("", DOCUMENT)]
)
def test_a_pointer_leads_to_its_value(text, expected):
    assert get(DOCUMENT, Pointer.parse(text)) == expected
    assert str(Pointer.parse(text)) == text


@pytest.mark.parametrize("text", ["foo", "/a~2", "/~"])
def test_what_is_no_pointer_is_refused(text):
    with pytest.raises(PointerError):
        Pointer.parse(text)


@pytest.mark.parametrize("text", ["/foo/2", "/foo/-", "/foo/01", "/foo/x", "/bar", "/foo/0/x"])
def test_a_pointer_to_nothing_is_refused(text):
    with pytest.raises(PointerError):
        get(DOCUMENT, Pointer.parse(text))


def test_true_is_not_one():
    assert not same([True], [1])
    assert same({"a": [1, None]}, {"a": [1.0, None]})
