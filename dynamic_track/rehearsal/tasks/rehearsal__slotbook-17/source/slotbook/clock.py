"""Times of a day as minutes since midnight."""

import re

MINUTES_PER_DAY = 24 * 60
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def parse_clock(text: str) -> int:
    """Minutes since midnight for ``HH:MM``; ``24:00`` is the end of the day.

    Raises:
        ValueError: the text is not a time of day.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time of day: {text!r}")
    hours, minutes = int(match[1]), int(match[2])
    total = hours * 60 + minutes
    if minutes > 59 or total > MINUTES_PER_DAY:
        raise ValueError(f"not a time of day: {text!r}")
    return total


def format_clock(minutes: int) -> str:
    """``HH:MM`` for minutes since midnight."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
