"""Paragraphs cut into lines."""

from collections.abc import Iterator

from gridwrap.width import head, text_width

ELLIPSIS = "…"
NARROWEST = 2
"""The least width that holds every single character."""


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than the width; line ends in the text stay, an empty text is one empty line.

    Raises:
        ValueError: the width does not hold every character.
    """
    if width < NARROWEST:
        raise ValueError(f"a line is at least {NARROWEST} columns wide, got {width}")
    return [line for paragraph in text.split("\n") for line in _fill(paragraph, width)]


def shorten(text: str, width: int) -> str:
    """The text in one line of at most the width, with an ellipsis where its end is missing."""
    line = " ".join(text.split())
    if text_width(line) <= width:
        return line
    return head(line, width - text_width(ELLIPSIS)).rstrip() + ELLIPSIS


def _fill(paragraph: str, width: int) -> Iterator[str]:
    """Lines with as many words as fit."""
    line = ""
    for word in paragraph.split():
        for piece in _pieces(word, width):
            joined = f"{line} {piece}" if line else piece
            if text_width(joined) <= width:
                line = joined
                continue
            yield line
            line = piece
    yield line


def _pieces(word: str, width: int) -> Iterator[str]:
    """The word itself, or if it is too long for a line, the pieces that it is broken into."""
    while len(word) > width:
        yield word[:width]
        word = word[width:]
    yield word
