"""Format counts, make untrusted text safe to print, suggest corrections of names, and hide local folders in paths."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PREDICTIONS = "predictions:"
"""Prefix of the path of a predictions file that is named in place of a router."""

_FOLDERS = re.compile(r"""(?<=['"])/[^'"\n]*/|(?<![\w/.~…-])/(?:[^\s/'",;:?=&()<>|]+/)+""")
"""Matches the folders of an absolute path: in quotes up to the last part; outside quotes only if the path does not
continue something else, as the path of a URL does."""
_SMALLEST_P = 0.0001


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Format a number with its noun: "1 row", "1,200 rows".

    Args:
        number: how many.
        noun: the singular.
        plural: the plural; default: the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_trajectories(number: int, groups: int | None = None) -> str:
    """Format a number of trajectories, with the number of groups if it differs: "105 trajectories of 21 groups".

    Args:
        number: how many trajectories.
        groups: how many groups of dependent trajectories they form; None to leave the groups out.
    """
    of = "" if groups in (None, number) else f" of {format_count(groups or 0, 'group')}"
    return format_count(number, "trajectory", "trajectories") + of


def format_small(value: float, decimals: int) -> str:
    """Return a number that is not negative in digits, where one that would be shown as zero is told from zero.

    0.25 is 0.2500 and 0.00001 is <0.0001, with four decimals.
    """
    least = 10.0**-decimals
    return f"<{least:.{decimals}f}" if 0 < value < least else f"{value:,.{decimals}f}"


def format_p(value: float) -> str:
    """Return a p-value with its sign, such as ``p = 0.0312``; one that is too small for that is ``p < 0.0001``."""
    return f"p = {value:.4f}" if value >= _SMALLEST_P else f"p < {_SMALLEST_P:.4f}"


def number_duplicates(names: Iterable[str]) -> list[str]:
    """Make names unique by adding a number to every repetition, such as ``…/router.py:Mine#2``."""
    times = Counter[str]()
    found = []
    for name in names:
        times[name] += 1
        found.append(name if times[name] == 1 else f"{name}#{times[name]}")
    return found


def shorten(text: str, max_characters: int) -> str:
    """Cut a text to ``max_characters`` and add "…" if it is longer."""
    return text if len(text) <= max_characters else f"{text[:max_characters]}…"


def closest_words(word: str, known: Iterable[str], max_words: int = 3) -> list[str]:
    """Return the known words whose spelling is closest to ``word``, the closest first; case is ignored."""
    by_lower = {each.lower(): each for each in known}
    return [by_lower[each] for each in difflib.get_close_matches(word.lower(), by_lower, n=max_words)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: "; did you mean 'sticky'?".

    Args:
        word: the unknown name.
        known: the valid names.

    Returns:
        An empty string if no valid name is similar.
    """
    near = closest_words(word, known)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def make_printable(value: object) -> str:
    r"""Return ``value`` as text in which control characters are escaped; only "\n" and "\t" stay."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def display_path(path: str) -> str:
    """Return a path without this machine's folders: relative to the working directory, or ``…/`` and the last part.

    A relative path is returned unchanged.
    """
    if not path.startswith("/"):
        return path
    from_here = path.removeprefix(f"{Path.cwd()}/")
    return from_here if from_here != path else f"…/{path.rstrip('/').rpartition('/')[2]}"


def display_spec(spec: str) -> str:
    """Return a router's spec, or the name of a predictions file, with every path in it as ``display_path`` shows it."""
    if spec.startswith(PREDICTIONS):
        return PREDICTIONS + display_path(spec.removeprefix(PREDICTIONS))
    target, mark, arguments = spec.partition("?")
    return display_path(target) + mark + re.sub(r"(?<==)/[^&]*", lambda found: display_path(found[0]), arguments)


def remove_folders(text: str) -> str:
    """Remove the folders of absolute paths from a text, such as an error message, since they reveal the machine."""
    return _FOLDERS.sub("…/", text.replace(f"{Path.cwd()}/", ""))
