import pytest

from gatelist import Directory


def directory(**groups):
    made = Directory()
    for name, members in groups.items():
        made.add(name, members.split())
    return made


def test_members_are_in_their_groups():
    made = directory(staff="ann bob", board="ann")
    assert made.groups_of("ann") == {"staff", "board"}
    assert made.groups_of("cem") == frozenset()


def test_groups_may_be_members():
    assert directory(staff="writers", writers="ann").groups_of("ann") == {"writers", "staff"}


def test_a_removed_member_is_not_in_the_group():
    made = directory(staff="ann")
    made.remove("staff", "ann")
    made.remove("staff", "bob")
    assert made.groups_of("ann") == frozenset()


def test_groups_are_known():
    made = directory(staff="ann")
    assert made.is_group("staff")
    assert not made.is_group("ann")


def test_a_group_is_no_member_of_itself():
    with pytest.raises(ValueError, match="no member of itself"):
        directory(staff="staff")
