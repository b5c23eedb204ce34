import pytest

from gatelist import PolicyError, read_policy

OFFICE = """
group staff: ann bob writers
group writers: cem
group interns: bob
allow staff read /docs/**
deny interns read /docs/board/**
allow writers write /docs/drafts/*
allow * read /public/**
"""


def office(more=""):
    return read_policy(OFFICE + more)


@pytest.mark.parametrize(
    ("user", "action", "resource", "allowed"),
    [
        ("ann", "read", "/docs/board/minutes", True),
        ("bob", "read", "/docs/board/minutes", False),
        ("bob", "read", "/docs/plan", True),
        ("cem", "read", "/docs/plan", True),
        ("cem", "write", "/docs/drafts/one", True),
        ("cem", "write", "/docs/drafts/one/two", False),
        ("dia", "read", "/public/news", True),
        ("dia", "read", "/docs/plan", False),
    ],
    ids=range(8),
)
def test_requests_are_decided(user, action, resource, allowed):
    assert office().may(user, action, resource) is allowed


def test_the_more_specific_rule_decides():
    policy = office("deny * * /docs/**\nallow bob read /docs/board/agenda\n")
    assert policy.may("bob", "read", "/docs/board/agenda")
    assert not policy.may("bob", "read", "/docs/board/minutes")


def test_a_request_that_no_rule_is_about_is_denied():
    decision = office().explain("ann", "delete", "/docs/plan")
    assert (decision.allowed, decision.rule) == (False, None)


def test_explain_gives_the_rule_that_decided():
    assert str(office().explain("bob", "read", "/docs/board/minutes").rule) == "deny interns read /docs/board/**"


def test_allowed_users_are_filtered():
    assert office().allowed_users(["dia", "cem", "bob", "ann"], "read", "/docs/board/x") == ["cem", "ann"]


def test_members_may_be_added_later():
    policy = office()
    policy.group("staff", "dia")
    assert policy.may("dia", "read", "/docs/plan")


def test_the_same_rule_twice_counts_once():
    assert len(office("allow staff read /docs/**\n").rules) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [("grant ann all /", "line 1: neither"), ("\nallow ann read docs", "line 2: a pattern begins with /")],
    ids=range(2),
)
def test_what_is_no_policy_is_refused(text, message):
    with pytest.raises(PolicyError, match=message):
        read_policy(text)
