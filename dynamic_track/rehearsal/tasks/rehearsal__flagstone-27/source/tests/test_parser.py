import pytest

from flagstone import CommandLineError, Option, Parser

RETRIES = Option("retries", short="r", read=int, default=3, variable="RETRIES")
PREFIX = Option("prefix", short="p", default="out-", variable="PREFIX")
COLOUR = Option("colour", kind="flag", default=True, variable="COLOUR")
VERBOSE = Option("verbose", short="v", kind="count", default=0, variable="VERBOSE")
TAGS = Option("tag", short="t", kind="list", variable="TAGS")
QUICK = Option("quick", short="q", kind="flag")


def parsed(*line, **environment):
    return Parser("fetch", [RETRIES, PREFIX, COLOUR, VERBOSE, TAGS, QUICK]).parse(line, environment)


def test_nothing_said_is_the_default():
    options = parsed()
    assert [options[name] for name in ("retries", "prefix", "colour", "verbose", "tag", "quick")] == [
        3, "out-", True, 0, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("line", [["--retries", "5"], ["--retries=5"], ["-r", "5"], ["-r5"]])
def test_values_may_be_written_in_four_ways(line):
    assert parsed(*line)["retries"] == 5


def test_a_value_may_contain_an_equals_sign():
    assert parsed("--prefix=a=b")["prefix"] == "a=b"


def test_the_last_value_counts():
    assert parsed("-r", "5", "--retries=6")["retries"] == 6


def test_flags_are_switched_on():
    assert parsed("--quick")["quick"] is True
    assert parsed("-q")["quick"] is True


def test_counts_and_clusters():
    options = parsed("-vvqr5", "--verbose")
    assert (options["verbose"], options["quick"], options["retries"]) == (3, True, 5)


def test_lists_collect():
    assert parsed("-t", "a", "--tag=b", "-tc")["tag"] == ["a", "b", "c"]


def test_arguments_stand_anywhere():
    assert parsed("a", "-q", "b", "--", "-q", "--c").arguments == ["a", "b", "-q", "--c"]
    assert parsed("-").arguments == ["-"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--nothing"], "there is no option --nothing"),
        (["-x"], "there is no option -x"),
        (["--retries"], "--retries wants a value"),
        (["--retries", "-q"], "--retries wants a value"),
        (["--retries=many"], "--retries cannot be 'many'"),
        (["--quick=yes"], "--quick takes no value"),
    ],
)
def test_what_means_nothing_is_told(line, told):
    with pytest.raises(CommandLineError, match=told):
        parsed(*line)


def test_two_options_of_one_name_are_refused():
    with pytest.raises(ValueError, match="called -r"):
        Parser("x", [RETRIES, Option("rest", short="r")])
