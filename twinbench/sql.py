"""SQL for DuckDB: quote literals and names, and read statements from SQL files."""

from __future__ import annotations

from importlib import resources


def sql_file(package: str, name: str) -> str:
    """Return the text of an SQL file in a package."""
    return resources.files(package).joinpath(name).read_text("utf-8")


def sql_text(value: object) -> str:
    """Return ``value`` as a quoted SQL literal, where parameters are not allowed."""
    return "'" + str(value).replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
