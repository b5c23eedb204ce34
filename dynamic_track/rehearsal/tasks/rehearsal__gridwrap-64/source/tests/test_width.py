import pytest

from gridwrap import char_width, text_width
from gridwrap.width import head


@pytest.mark.parametrize(
    ("char", "width"),
    [("a", 1), ("ß", 1), ("±", 1), ("名", 2), ("Ａ", 2), ("\u0301", 0)],
    ids=["letter", "sharp-s", "sign", "ideograph", "full-width", "accent"],
)
def test_characters_take_columns(char, width):
    assert char_width(char) == width


def test_a_text_takes_the_columns_of_its_characters():
    assert text_width("名前 ok") == 7
    assert text_width("cafe\u0301") == 4


def test_head_is_the_longest_beginning_that_fits():
    assert head("abc", 2) == "ab"
    assert head("名前", 3) == "名"
    assert head("e\u0301a", 1) == "e\u0301"
    assert head("abc", 9) == "abc"
