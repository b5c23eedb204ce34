"""SQL for DuckDB: texts and names quoted, and statements that stand in files of their own."""

from __future__ import annotations

from importlib import resources


def sql_file(package: str, name: str) -> str:
    """The text of an SQL file that stands beside the modules of a package."""
    return resources.files(package).joinpath(name).read_text("utf-8")


def sql_text(value: object) -> str:
    """``value`` as an SQL literal, for the places that take no parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
