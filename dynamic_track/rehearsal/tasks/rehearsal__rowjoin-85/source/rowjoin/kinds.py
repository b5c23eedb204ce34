"""The kinds of columns, and what their cells mean."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import Enum

Value = bool | int | Decimal | date | str | None

TRUTH_VALUES = {"true": True, "false": False}
_WHOLE = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Kind(Enum):
    """The kind of a column, from the narrowest to the widest."""

    TRUTH = "truth"
    WHOLE = "whole"
    DECIMAL = "decimal"
    DATE = "date"
    TEXT = "text"


def kind_of(cells: Iterable[str]) -> Kind:
    """The first kind that fits all cells; text where all are empty."""
    written = [cell for cell in cells if cell]
    if not written:
        return Kind.TEXT
    return next(kind for kind in Kind if all(fits(cell, kind) for cell in written))


def fits(cell: str, kind: Kind) -> bool:
    """Whether a cell can be of the kind."""
    match kind:
        case Kind.TRUTH:
            return cell in TRUTH_VALUES
        case Kind.WHOLE:
            return _WHOLE.fullmatch(cell) is not None
        case Kind.DECIMAL:
            return (_WHOLE.fullmatch(cell) or _DECIMAL.fullmatch(cell)) is not None
        case Kind.DATE:
            return _is_date(cell)
        case Kind.TEXT:
            return True


def value_of(cell: str, kind: Kind) -> Value:
    """What a cell means in a column of the kind; None if it is empty."""
    if not cell:
        return None
    match kind:
        case Kind.TRUTH:
            return TRUTH_VALUES[cell]
        case Kind.WHOLE:
            return int(cell)
        case Kind.DECIMAL:
            return Decimal(cell)
        case Kind.DATE:
            return date.fromisoformat(cell)
        case Kind.TEXT:
            return cell


def text_of(value: Value) -> str:
    """The cell that a value is written as."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_date(cell: str) -> bool:
    if not _DATE.fullmatch(cell):
        return False
    try:
        date.fromisoformat(cell)
    except ValueError:
        return False
    return True
