import pytest

from flagstone import CommandLineError, Option, Parser

OPTIONS = [
    Option("retries", read=int, default=3, variable="RETRIES"),
    Option("prefix", default="out-", variable="PREFIX"),
    Option("colour", kind="flag", default=True, variable="COLOUR"),
    Option("verbose", kind="count", default=1, variable="VERBOSE"),
    Option("tag", kind="list", default=["new"], variable="TAGS"),
]


def parsed(*line, **environment):
    return Parser("fetch", OPTIONS).parse(line, environment)


def test_the_variable_goes_before_the_default():
    options = parsed(RETRIES="5", PREFIX="x", VERBOSE="2", TAGS="a,b")
    assert [options[name] for name in ("retries", "prefix", "verbose", "tag")] == [5, "x", 2, ["a", "b"]]


def test_the_command_line_goes_before_the_variable():
    assert parsed("--retries=6", RETRIES="5")["retries"] == 6


def test_a_variable_that_means_nothing_is_told():
    with pytest.raises(CommandLineError, match="RETRIES cannot be 'many'"):
        parsed(RETRIES="many")
    with pytest.raises(CommandLineError, match="COLOUR cannot be 'blue'"):
        parsed(COLOUR="blue")


def test_the_environment_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setenv("RETRIES", "7")
    assert Parser("fetch", OPTIONS).parse([])["retries"] == 7
