"""A row with its number, as the readers of all formats yield it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NumberedRow:
    """A parsed row and its number in the file, from 1."""

    number: int
    row: Any
