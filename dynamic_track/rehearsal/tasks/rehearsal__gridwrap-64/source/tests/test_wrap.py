import pytest

from gridwrap import shorten, wrap


def test_a_line_holds_as_many_words_as_fit():
    assert wrap("the quick brown fox", 9) == ["the quick", "brown fox"]


def test_a_long_word_is_broken():
    assert wrap("a abcdefgh b", 3) == ["a", "abc", "def", "gh", "b"]
    assert wrap("abcdef", 3) == ["abc", "def"]


def test_wide_words_count_by_their_columns():
    assert wrap("名前 住所 電話", 9) == ["名前 住所", "電話"]


def test_line_ends_stay():
    assert wrap("one\n\ntwo three", 5) == ["one", "", "two", "three"]


def test_an_empty_text_is_an_empty_line():
    assert wrap("", 5) == [""]


def test_a_width_that_does_not_hold_every_character_is_refused():
    with pytest.raises(ValueError, match="at least 2 columns"):
        wrap("a", 1)


def test_shorten_marks_what_is_missing():
    assert shorten("the quick  brown fox", 10) == "the quick…"
    assert shorten("東京都新宿区", 6) == "東京…"
    assert shorten("short", 10) == "short"
