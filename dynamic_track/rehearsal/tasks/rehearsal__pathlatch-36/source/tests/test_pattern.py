import pytest

from pathlatch import Pattern, PatternError


def test_a_pattern_without_placeholders_is_the_path():
    assert Pattern("/about").match("/about") == {}
    assert Pattern("/about").match("/about/us") is None
    assert Pattern("/about").match("/en/about") is None


def test_values_have_their_kind():
    assert Pattern("/users/{id:int}").match("/users/7") == {"id": 7}
    assert Pattern("/users/{id:int}").match("/users/ann") is None
    assert Pattern("/tags/{tag:slug}").match("/tags/two-words") == {"tag": "two-words"}


def test_a_string_is_one_segment_and_a_path_several():
    assert Pattern("/{name}").match("/a/b") is None
    assert Pattern("/files/{where:path}").match("/files/a/b.txt") == {"where": "a/b.txt"}


def test_strings_are_unquoted():
    assert Pattern("/{name}").match("/a%2Fb%20c") == {"name": "a/b c"}


def test_two_placeholders_in_one_segment():
    assert Pattern("/{year:int}-{month:int}").match("/2024-05") == {"year": 2024, "month": 5}


def test_build_writes_what_match_reads():
    pattern = Pattern("/users/{id:int}/notes/{title}")
    assert pattern.build(id=7, title="a/b") == "/users/7/notes/a%2Fb"
    assert pattern.match("/users/7/notes/a%2Fb") == {"id": 7, "title": "a/b"}


def test_build_wants_the_right_values():
    with pytest.raises(PatternError, match="takes"):
        Pattern("/{a}").build(b=1)
    with pytest.raises(PatternError, match="is no tag"):
        Pattern("/{tag:slug}").build(tag="Two Words")


@pytest.mark.parametrize("text", ["about", "/{a", "/a}", "/{1a}", "/{a:float}", "/{a}/{a}"])
def test_wrong_patterns_are_refused(text):
    with pytest.raises(PatternError):
        Pattern(text)
