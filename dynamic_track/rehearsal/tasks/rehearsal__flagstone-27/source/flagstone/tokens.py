"""Taking a command line apart, before anybody knows what its options mean."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """An option as it was written, with the value that was written to it, or an argument, which has no name."""

    name: str | None
    value: str | None = None


def tokens(line: Sequence[str], short_takes_value: Callable[[str], bool]) -> Iterator[Token]:
    """The options and arguments of a command line, from left to right.

    Args:
        line: the words after the command.
        short_takes_value: whether the letter is an option to which the rest of its word belongs.
    """
    for at, word in enumerate(line):
        if word == "--":
            yield from (Token(None, argument) for argument in line[at + 1 :])
            return
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            yield Token(name, value if equals else None)
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word[1:], short_takes_value)
        else:
            yield Token(None, word)


def _short(letters: str, takes_value: Callable[[str], bool]) -> Iterator[Token]:
    for at, letter in enumerate(letters):
        rest = letters[at + 1 :]
        if takes_value(letter) and rest:
            yield Token(f"-{letter}", rest)
            return
        yield Token(f"-{letter}")
