"""From the text of an expression to its tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>-?\d+(?:\.\d+)?)
  | (?P<text>'(?:[^']|'')*')
  | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
  | (?P<operator><=|>=|!=|=|<|>)
  | (?P<paren>[()])
    """,
    re.VERBOSE,
)


class QueryError(ValueError):
    """An expression that cannot be understood; the message tells where."""


@dataclass(frozen=True)
class Token:
    """A piece of the text, with its kind and where it begins; kind ``end`` closes the text."""

    kind: str
    text: str
    position: int


def tokenize(text: str) -> Iterator[Token]:
    """The tokens of an expression, the last one of kind ``end``.

    Raises:
        QueryError: some character belongs to no token.
    """
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"unexpected {text[position]!r} at {position}")
        if match.lastgroup and match.lastgroup != "space":
            yield Token(match.lastgroup, match[0], position)
        position = match.end()
    yield Token("end", "", position)
