"""From the pieces of a template to its parts."""

import re
from collections.abc import Iterator

from inkstencil.errors import TemplateError
from inkstencil.expressions import Condition, Expression
from inkstencil.nodes import Assign, For, If, Include, Node, Output, Plain
from inkstencil.tokens import Piece, pieces

_FOR = re.compile(r"for\s+([A-Za-z_]\w*)\s+in\s+(.+)", re.DOTALL)
_SET = re.compile(r"set\s+([A-Za-z_]\w*)\s*=\s*(.+)", re.DOTALL)
_INCLUDE = re.compile(r"include\s+([A-Za-z_][\w.-]*)")


def parse(text: str) -> list[Node]:
    """The parts of a template.

    Raises:
        TemplateError: the text is no template.
    """
    stream = pieces(text)
    nodes, end = _body(stream, ())
    assert end is None
    return nodes


def _body(stream: Iterator[Piece], ends: tuple[str, ...]) -> tuple[list[Node], Piece | None]:
    """The parts up to one of the tags that end them, and this tag; None for the end of the text."""
    nodes: list[Node] = []
    for piece in stream:
        if piece.kind == "text":
            nodes.append(Plain(piece.content))
        elif piece.kind == "value":
            nodes.append(Output(Expression.parse(piece.content, piece.line)))
        elif piece.content in ends:
            return nodes, piece
        else:
            nodes.append(_tag(stream, piece))
    if ends:
        raise TemplateError(f"there is no {ends[-1]}")
    return nodes, None


def _tag(stream: Iterator[Piece], piece: Piece) -> Node:
    if piece.content.startswith("if "):
        condition = Condition.parse(piece.content[3:].strip(), piece.line)
        body, otherwise = _two_bodies(stream, "endif")
        return If(condition, body, otherwise)
    if match := _FOR.fullmatch(piece.content):
        expression = Expression.parse(match[2].strip(), piece.line)
        body, otherwise = _two_bodies(stream, "endfor")
        return For(match[1], expression, body, otherwise)
    if match := _SET.fullmatch(piece.content):
        return Assign(match[1], Expression.parse(match[2].strip(), piece.line))
    if match := _INCLUDE.fullmatch(piece.content):
        return Include(match[1])
    raise TemplateError(f"unknown tag: {piece.content!r}", piece.line)


def _two_bodies(stream: Iterator[Piece], end: str) -> tuple[list[Node], list[Node]]:
    body, tag = _body(stream, ("else", end))
    if tag is None or tag.content == end:
        return body, []
    otherwise, _ = _body(stream, (end,))
    return body, otherwise
