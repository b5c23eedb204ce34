"""Turn results into data frames of pandas, polars or Arrow, and into HTML tables for notebooks."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any, ClassVar

from twinbench.display.wording import format_count, make_printable
from twinbench.errors import UsageError

FRAME_KINDS = ("pandas", "polars", "pyarrow")
"""Supported libraries, in the order in which they are tried."""

Rows = Sequence[Mapping[str, Any]]


def make_data_frame(rows: Rows, kind: str | None = None, numbers: Collection[str] = ()) -> Any:
    """Make a data frame of rows; a value that a row lacks is missing in the frame.

    Args:
        rows: flat rows.
        kind: ``pandas``, ``polars`` or ``pyarrow``; None for the first of them that is installed.
        numbers: numeric columns; they get a float type even if no row has a value.

    Raises:
        UsageError: the library ``kind`` is unknown or not installed, or none of the three is installed.
    """
    if kind is not None and kind not in FRAME_KINDS:
        raise UsageError(f"unknown kind of data frame {kind!r}; known: {', '.join(FRAME_KINDS)}")
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)}
    for each in FRAME_KINDS if kind is None else (kind,):
        try:
            library = importlib.import_module(each)
        except ImportError:
            continue
        empty = [name for name, values in columns.items() if name in numbers and all(value is None for value in values)]
        if each == "pandas":
            return library.DataFrame(columns).astype(dict.fromkeys(empty, "float64"))
        if each == "polars":
            floats = dict.fromkeys(empty, library.Float64)
            return library.DataFrame(columns, strict=False, schema_overrides=floats)
        arrays = {name: library.array(values, library.float64()) for name, values in columns.items() if name in empty}
        return library.table(columns | arrays)
    raise UsageError(f"a data frame needs {kind or 'pandas, polars or pyarrow'}: pip install {kind or 'pandas'}")


class Tabular(ABC):
    """Base class of results that can also be shown as a table."""

    number_columns: ClassVar[frozenset[str]] = frozenset()
    """Columns that are numeric even if no row has a value in them."""

    @property
    def caveat(self) -> str | None:
        """A limitation of the data that has to be shown with the table; None if there is none."""
        return None

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the result as the command prints it with ``--json``."""

    def to_dict(self) -> dict[str, Any]:
        """Return the same as ``to_json``."""
        return self.to_json()

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """Return the result as flat rows, with unrounded numbers."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {format_count(len(self.records()), 'record')}; .records(), .df(), .to_dict()>"

    def df(self, kind: str | None = None) -> Any:
        """Return the records as a data frame, with a column ``caveat`` if the result has one.

        Args:
            kind: ``pandas``, ``polars`` or ``pyarrow``; None for the first of them that is installed.

        Raises:
            UsageError: the library ``kind`` is unknown or not installed, or none of the three is installed.
        """
        told = {} if self.caveat is None else {"caveat": self.caveat}
        return make_data_frame([row | told for row in self.records()], kind, self.number_columns)

    def _repr_html_(self) -> str:
        """Return the HTML table that a notebook shows; all text is escaped."""
        rows = self.records()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        head = "".join(f'<th scope="col">{_format_cell(name)}</th>' for name in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{_format_cell(row.get(name))}</td>' for name in columns)}</tr>" for row in rows
        )
        told = "" if self.caveat is None else f"<p>{escape(make_printable(self.caveat))}</p>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{told}"


def _format_cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else make_printable(value)
    return escape(text)
