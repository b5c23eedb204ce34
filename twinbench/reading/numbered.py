"""A row with its number: what every format of rows gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NumberedRow:
    """A parsed row and where it stands, counted from 1."""

    number: int
    row: Any
