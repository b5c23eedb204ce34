import pytest

from gatelist import Pattern


@pytest.mark.parametrize(
    ("pattern", "resource", "matches"),
    [
        ("/docs/a", "/docs/a", True),
        ("/docs/a", "/docs/a/b", False),
        ("/docs/*", "/docs/a", True),
        ("/docs/*", "/docs/a/b", False),
        ("/docs/*/b", "/docs/a/b", True),
        ("/docs/**", "/docs/a/b", True),
        ("/docs/**", "/docs", True),
        ("/docs/**", "/document", False),
        ("/**", "/", True),
        ("/docs/a", "/docs//a/", True),
    ],
    ids=range(10),
)
def test_a_pattern_means_resources(pattern, resource, matches):
    assert Pattern(pattern).matches(resource) is matches


def test_specificity_counts_what_is_written_out():
    texts = ("/**", "/docs/**", "/docs/*", "/docs/*/b", "/docs/a/b")
    assert [Pattern(text).specificity for text in texts] == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(("text", "message"), [("docs", "begins with /"), ("/**/a", "only at the end")], ids=range(2))
def test_what_is_no_pattern_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Pattern(text)
