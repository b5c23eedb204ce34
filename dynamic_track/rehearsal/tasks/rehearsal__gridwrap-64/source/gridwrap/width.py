"""How many terminal columns a text takes."""

import unicodedata

_WIDE = ("W", "F")


def char_width(char: str) -> int:
    """The columns of one character: 2 for a wide one, 0 for a combining mark, else 1."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def text_width(text: str) -> int:
    """The columns of a text without line ends."""
    return sum(map(char_width, text))


def head(text: str, width: int) -> str:
    """The longest beginning of a text that fits into the width, with the marks of its last character."""
    used = 0
    for position, char in enumerate(text):
        used += char_width(char)
        if used > width:
            return text[:position]
    return text
