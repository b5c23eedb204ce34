"""Numbers of things as people write them, text that others wrote as it may be shown, names that were misspelt."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PREDICTIONS = "predictions:"
"""What stands before the path of a file of predictions, where it stands for a router."""

_FOLDERS = re.compile(r"""(?<=['"])/[^'"\n]*/|(?<![\w/.~…-])/(?:[^\s/'",;:?=&()<>|]+/)+""")
"""The folders of an absolute path: in quotes up to its last part, elsewhere where it does not go on from something, as
that of an address does."""


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """``number`` of a thing: "1 row", "1,200 rows".

    Args:
        number: how many.
        noun: for one.
        plural: for any other number; default: the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_trajectories(number: int, groups: int | None = None) -> str:
    """``number`` of trajectories, and their groups where these are fewer: "105 trajectories of 21 groups".

    Args:
        number: how many.
        groups: how many of them are independent of each other; None: nobody asked.
    """
    of = "" if groups in (None, number) else f" of {format_count(groups or 0, 'group')}"
    return format_count(number, "trajectory", "trajectories") + of


def number_duplicates(names: Iterable[str]) -> list[str]:
    """Names, of those that are alike each but the first with its number: ``…/router.py:Mine#2``."""
    times = Counter[str]()
    found = []
    for name in names:
        times[name] += 1
        found.append(name if times[name] == 1 else f"{name}#{times[name]}")
    return found


def shorten(text: str, max_characters: int) -> str:
    """The first ``most`` characters of a text, and … where there are more."""
    return text if len(text) <= max_characters else f"{text[:max_characters]}…"


def closest_words(word: str, known: Iterable[str], max_words: int = 3) -> list[str]:
    """Those of ``known`` that are spelt most like a word, the nearest first; case does not count."""
    by_lower = {each.lower(): each for each in known}
    return [by_lower[each] for each in difflib.get_close_matches(word.lower(), by_lower, n=max_words)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question that an error about an unknown name asks, as its end: "; did you mean 'sticky'?".

    Args:
        word: what somebody wrote.
        known: the names that there are.

    Returns:
        Empty where none of them is near.
    """
    near = closest_words(word, known)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def make_printable(value: object) -> str:
    """``value`` as text in which control characters are visible instead of acting."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def display_path(path: str) -> str:
    """A path that tells nothing of the machine: as seen from the working directory, of one elsewhere its last part.

    That part stands behind an ellipsis (``…/mine.jsonl``). A relative path stays as it is.
    """
    if not path.startswith("/"):
        return path
    from_here = path.removeprefix(f"{Path.cwd()}/")
    return from_here if from_here != path else f"…/{path.rstrip('/').rpartition('/')[2]}"


def display_spec(spec: str) -> str:
    """A router's spec that tells nothing of the machine: its file and its arguments as of ``shown_path``.

    The same goes for the name of a file of predictions.
    """
    if spec.startswith(PREDICTIONS):
        return PREDICTIONS + display_path(spec.removeprefix(PREDICTIONS))
    target, mark, arguments = spec.partition("?")
    return display_path(target) + mark + re.sub(r"(?<==)/[^&]*", lambda found: display_path(found[0]), arguments)


def remove_folders(text: str) -> str:
    """Text without the folders of absolute paths in it, which are of the machine that it was written on."""
    return _FOLDERS.sub("…/", text.replace(f"{Path.cwd()}/", ""))
