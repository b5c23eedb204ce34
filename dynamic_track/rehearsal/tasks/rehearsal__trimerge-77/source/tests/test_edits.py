import pytest

from trimerge import Edit, apply_edits, edits_between

VERSIONS = ["", "a", "abc", "abcd", "xbc", "acb", "aabbcc", "cab", "axbxc", "bcbc"]


def test_edits_replace_insert_and_delete():
    assert edits_between("abcd", "axcd") == [Edit(1, 2, ("x",))]
    assert edits_between("abcd", "abxcd") == [Edit(2, 2, ("x",))]
    assert edits_between("abcd", "ad") == [Edit(1, 3, ())]
    assert edits_between("abcd", "xbcyd") == [Edit(0, 1, ("x",)), Edit(3, 3, ("y",))]


def test_the_same_needs_no_edits():
    assert edits_between("abc", "abc") == []


@pytest.mark.parametrize("old", VERSIONS, ids=range(10))
def test_edits_turn_one_version_into_the_other(old):
    for new in VERSIONS:
        assert "".join(apply_edits(old, edits_between(old, new))) == new


def test_edits_of_a_part_are_done_within_it():
    assert "".join(apply_edits("abcdef", [Edit(2, 3, ("x", "y"))], 1, 4)) == "bxyd"
