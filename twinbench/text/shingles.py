"""Compare texts by their five-word sequences, to find texts that are nearly the same."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from fractions import Fraction

SHINGLE_WORDS = 5
JACCARD = Fraction(4, 5)
"""Two texts with at least this Jaccard index are near-duplicates."""


def shingles_of(text: str) -> set[str]:
    """Return all five-word sequences of a text, ignoring case and the kind of white space."""
    words = text.casefold().split()
    return {" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)}


def near(one: AbstractSet[int], other: AbstractSet[int]) -> bool:
    """Return whether two non-empty sets of shingles have a Jaccard index of at least 0.8."""
    wanted, of = JACCARD.as_integer_ratio()
    smaller, larger = sorted((len(one), len(other)))
    if of * smaller < wanted * larger:  # then no overlap is enough
        return False
    shared = len(one & other)
    return of * shared >= wanted * (smaller + larger - shared)
