"""Texts as lines."""

from collections.abc import Iterable


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends; only the last one may have none."""
    return text.splitlines(keepends=True)


def closed(lines: Iterable[str]) -> list[str]:
    """The same lines, each with an end, so that something can follow."""
    return [line if line.endswith("\n") else line + "\n" for line in lines]
