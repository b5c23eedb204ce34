"""Rows of two tables that belong together."""

from collections.abc import Callable
from typing import Literal

from rowjoin.kinds import Value, text_of
from rowjoin.table import Table


def join(left: Table, right: Table, on: str, how: Literal["inner", "left"] = "inner") -> Table:
    """The rows of both tables with the same key, in the order of the left one.

    The key column stands once, with the values of the left table. A column of the right table that the left one has too
    is called ``…_2``.

    Raises:
        KeyError: one of the tables has no such column.
        ValueError: another kind of join.
    """
    if how not in ("inner", "left"):
        raise ValueError(f"how is inner or left, got {how!r}")
    key_left, key_right = left.position(on), right.position(on)
    comparable: Callable[[Value], Value] = _itself if left.columns[on] == right.columns[on] else text_of
    partners: dict[Value, list[tuple[Value, ...]]] = {}
    for row in right.rows:
        if row[key_right] is not None:
            partners.setdefault(comparable(row[key_right]), []).append(_without(row, key_right))
    nobody = (None,) * (len(right.columns) - 1)
    joined = []
    for row in left.rows:
        found = [] if row[key_left] is None else partners.get(comparable(row[key_left]), [])
        if not found and how == "left":
            found = [nobody]
        joined += [(*row, *partner) for partner in found]
    columns = dict(left.columns)
    for name, kind in right.columns.items():
        if name != on:
            columns[f"{name}_2" if name in left.columns else name] = kind
    return Table(columns, joined)


def _itself(value: Value) -> Value:
    return value


def _without(row: tuple[Value, ...], position: int) -> tuple[Value, ...]:
    return row[:position] + row[position + 1 :]
