import pytest

from verspan import Range, RangeError


def allowed(text, *versions):
    wanted = Range.parse(text)
    return [version for version in versions if wanted.allows(version)]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", "1.2.3", "1.2.4"),
        (">=1.2.0 <1.5.0", "1.4.9", "1.5.0"),
        (">1.2.3", "1.2.4", "1.2.3"),
        ("<= 2.0.0", "2.0.0", "2.0.1"),
        ("1.2.x", "1.2.9", "1.3.0"),
        ("1", "1.9.9", "2.0.0"),
        ("*", "0.0.1", "1.0.0-rc.1"),
        ("~1.2.3", "1.2.9", "1.3.0"),
        ("~1.2", "1.2.0", "1.3.0"),
        ("~1", "1.9.0", "2.0.0"),
        ("^1.2.3", "1.9.0", "2.0.0"),
        ("^1.2.3", "1.2.3", "1.2.2"),
        ("^1", "1.0.0", "2.0.0"),
        ("^0.2.3", "0.2.9", "0.3.0"),
        ("^0.2", "0.2.0", "0.3.0"),
    ],
    ids=range(15),
)
def test_a_range_has_an_inside_and_an_outside(text, inside, outside):
    assert allowed(text, inside, outside) == [inside]


def test_alternatives_are_enough_one_by_one():
    assert allowed("^1.4 || 2.0.x", "1.3.0", "1.4.0", "2.0.7", "2.1.0") == ["1.4.0", "2.0.7"]


def test_a_prerelease_has_to_be_named():
    asked = ["1.2.3-beta.1", "1.2.3-beta.4", "1.2.3", "1.3.0-beta.4"]
    assert allowed("^1.2.3-beta.2", *asked) == ["1.2.3-beta.4", "1.2.3"]


@pytest.mark.parametrize("text", ["", "1.2.3 ||", ">=", "1.2-beta", "^*", "1.2.3.4", "1.a"], ids=range(7))
def test_what_is_no_range_is_refused(text):
    with pytest.raises(RangeError):
        Range.parse(text)
