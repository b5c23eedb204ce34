"""Numbers of things, as people write them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``number`` of a thing: "1 row", "1,200 rows".

    Args:
        number: how many.
        noun: for one.
        plural: for any other number; default: the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def trajectories(number: int) -> str:
    """``number`` of trajectories."""
    return counted(number, "trajectory", "trajectories")
