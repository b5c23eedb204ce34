"""From the text of a template to its pieces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inkstencil.errors import TemplateError

_PIECE = re.compile(r"\{\{(?P<value>.*?)\}\}|\{%(?P<tag>.*?)%\}|\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A stretch of ``text``, the inside of a ``value`` or the inside of a ``tag``, with its line."""

    kind: str
    content: str
    line: int


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a template in their order, without comments.

    Raises:
        TemplateError: something is opened and not closed.
    """
    position = 0
    for match in _PIECE.finditer(text):
        if match.start() > position:
            yield _plain(text, position, match.start())
        line = _line(text, match.start())
        if match["value"] is not None:
            yield Piece("value", match["value"].strip(), line)
        elif match["tag"] is not None:
            yield Piece("tag", match["tag"].strip(), line)
        position = match.end()
    if position < len(text):
        yield _plain(text, position, len(text))


def _plain(text: str, start: int, end: int) -> Piece:
    for mark in ("{{", "{%", "{#"):
        at = text.find(mark, start, end)
        if at >= 0:
            raise TemplateError(f"{mark} is not closed", _line(text, at))
    return Piece("text", text[start:end], _line(text, start))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
