import pytest

from gridwrap import pad


@pytest.mark.parametrize(
    ("align", "expected"), [("left", "ab   "), ("right", "   ab"), ("center", " ab  ")], ids=["left", "right", "center"]
)
def test_a_text_is_filled_up(align, expected):
    assert pad("ab", 5, align) == expected


def test_a_longer_text_stays_as_it_is():
    assert [pad("abc", 2, align) for align in ("left", "right", "center")] == ["abc"] * 3


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="align is one of left, right, center"):
        pad("a", 2, "middle")
