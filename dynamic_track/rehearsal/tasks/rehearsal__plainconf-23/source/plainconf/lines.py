"""From the text to its meaningful lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plainconf.errors import ConfError

COMMENT_MARKS = "#;"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SECTION = re.compile(r"\[\s*([A-Za-z0-9_.-]+)\s*\]")


@dataclass(frozen=True)
class Section:
    """A ``[name]`` line."""

    name: str
    line: int


@dataclass(frozen=True)
class Setting:
    """A ``key = value`` line, with its value as it was written."""

    key: str
    value: str
    line: int


def strip_comment(text: str) -> str:
    """The line without its comment and without white space at its ends."""
    for mark in COMMENT_MARKS:
        text, _, _ = text.partition(mark)
    return text.strip()


def read_lines(text: str) -> Iterator[Section | Setting]:
    """The sections and settings of a text in their order.

    Raises:
        ConfError: a line is neither of both.
    """
    for number, raw in enumerate(text.splitlines(), start=1):
        content = strip_comment(raw)
        if not content:
            continue
        if section := _SECTION.fullmatch(content):
            yield Section(section[1], number)
            continue
        key, equals, value = content.partition("=")
        if not equals:
            raise ConfError(f"neither a setting nor a section: {content}", number)
        if not _KEY.fullmatch(key.strip()):
            raise ConfError(f"not a key: {key.strip()!r}", number)
        yield Setting(key.strip(), value.strip(), number)
