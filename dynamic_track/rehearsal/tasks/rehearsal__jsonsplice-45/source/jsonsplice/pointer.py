"""Where in a document something is (RFC 6901)."""

import re
from dataclasses import dataclass

from jsonsplice.errors import PointerError

_INDEX = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class Pointer:
    """The keys and indexes on the way from the root; none for the root itself."""

    tokens: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Pointer":
        """A pointer as it is written in JSON.

        Raises:
            PointerError: the text is no pointer.
        """
        if text and not text.startswith("/"):
            raise PointerError(f"a pointer starts with a slash: {text!r}")
        if re.search("~(?![01])", text):
            raise PointerError(f"a tilde without 0 or 1: {text!r}")
        return cls(tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]))

    def __str__(self) -> str:
        return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.tokens)

    def __truediv__(self, token: str | int) -> "Pointer":
        """The pointer one step further."""
        return Pointer((*self.tokens, str(token)))

    @property
    def parent(self) -> "Pointer":
        """The pointer one step before."""
        return Pointer(self.tokens[:-1])

    def is_above(self, other: "Pointer") -> bool:
        """Whether the other one leads to something inside of what this one leads to."""
        return len(other.tokens) > len(self.tokens) and other.tokens[: len(self.tokens)] == self.tokens


def index(token: str, length: int) -> int:
    """The index that a token means in an array of that length, whose end may be written ``-``.

    Raises:
        PointerError: it means none, or one beyond the end.
    """
    if token == "-":
        return length
    if not _INDEX.fullmatch(token):
        raise PointerError(f"not an index: {token!r}")
    if int(token) > length:
        raise PointerError(f"the array ends before {token}")
    return int(token)
