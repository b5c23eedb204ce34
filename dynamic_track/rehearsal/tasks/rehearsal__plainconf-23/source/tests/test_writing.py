import pytest

from plainconf import dumps, loads


def test_the_unnamed_section_comes_first():
    assert dumps({"tls": {"port": 1}, "": {"name": "x"}}) == "name = x\n\n[tls]\nport = 1\n"


def test_strings_that_look_like_something_else_are_quoted():
    assert dumps({"": {"a": "yes", "b": "1", "c": "two words"}}) == 'a = "yes"\nb = "1"\nc = "two words"\n'


@pytest.mark.parametrize(
    "data",
    [
        {"": {"a": 1, "b": 1.5, "c": True, "d": "word"}},
        {"": {"a": 'say "hi"\n', "b": "back\\slash", "c": ""}},
        {"x": {"list": [1, "a, b", False]}, "y": {}},
    ],
    ids=["scalars", "strings", "sections"],
)
def test_what_is_written_reads_back_the_same(data):
    assert loads(dumps(data)) == data
