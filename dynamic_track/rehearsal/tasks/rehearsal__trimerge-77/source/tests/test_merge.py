import pytest

from trimerge import merge


def text(letters):
    """A line for each letter."""
    return "".join(f"{letter}\n" for letter in letters)


def merged(base, ours, theirs):
    """The letters of the merged text; a conflict as (ours|theirs)."""
    written = merge(text(base), text(ours), text(theirs)).text()
    for marker, sign in (("<<<<<<< ours", "("), ("=======", "|"), (">>>>>>> theirs", ")")):
        written = written.replace(marker, sign)
    return written.replace("\n", "")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("abcd", "abxd", "abxd"),
        ("xbcd", "abcy", "xbcy"),
        ("abcd", "ad", "ad"),
        ("axbcd", "abcyd", "axbcyd"),
        ("xbcd", "aycd", "xycd"),
        ("acd", "abc", "ac"),
        ("xbcd", "xbcd", "xbcd"),
        ("ad", "ad", "ad"),
    ],
    ids=range(8),
)
def test_edits_that_do_not_differ_are_merged(ours, theirs, expected):
    assert merged("abcd", ours, theirs) == expected
    assert merged("abcd", theirs, ours) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [("axcd", "aycd", "a(x|y)cd"), ("acd", "aycd", "a(|y)cd"), ("axxd", "abyy", "a(xxd|byy)")],
    ids=range(3),
)
def test_edits_of_the_same_lines_are_a_conflict(ours, theirs, expected):
    assert merged("abcd", ours, theirs) == expected


def test_the_base_may_be_empty():
    assert merged("", "a", "") == "a"
    assert merged("", "", "a") == "a"


def test_conflicts_are_listed():
    result = merge(text("abc"), text("axc"), text("ayc"))
    assert not result.clean
    assert [(each.base, each.ours, each.theirs) for each in result.conflicts] == [(("b\n",), ("x\n",), ("y\n",))]


def test_a_conflict_is_written_with_its_names_and_its_base():
    written = merge("a\nb", "a\nx", "a\ny").text(("mine", "yours"), base=True)
    assert written == "a\n<<<<<<< mine\nx\n||||||| base\nb\n=======\ny\n>>>>>>> yours\n"
