"""Files of outcomes in the forms in which people have them.

| form | how it is known |
|---|---|
| rows | ``.csv``, ``.csv.gz``, ``.jsonl``, ``.jsonl.gz``, ``.parquet``, or ``.json`` that begins with ``[`` |
| tasks of one model | ``.json``: an object of tasks, each with an object that has ``resolved`` |
| a leaderboard of SWE-bench | ``.json`` with ``leaderboards``, whose results have ``per_instance_details`` |
| a folder | every ``.json`` in it that has the tasks of one model, at whatever depth |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from twinbench.errors import Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.outcomes.collecting import Collected
from twinbench.outcomes.columns import find_columns
from twinbench.reading.csv_rows import SUFFIXES as CSV_SUFFIXES
from twinbench.reading.csv_rows import csv_rows
from twinbench.reading.input_files import InputError, is_there, open_input, read_document
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import SUFFIXES as ROW_SUFFIXES
from twinbench.reading.rows import file_rows, require_file, unit_of
from twinbench.reading.strict_json import FaultyJsonError, JsonError, parse_json

SUFFIXES = (*CSV_SUFFIXES, *ROW_SUFFIXES)

_DETAILS_FILE = "per_instance_details"
_DETAILS_FOLDER = "instance_results"
"""Where public repositories keep the tasks of one model: ``MODEL/per_instance_details.json``, or
``MODEL/instance_results/WORKLOAD.json``."""
_MOST_FILES = 10_000
_LOOKED_AT = 10_000
"""Rows in which columns are looked for: what is not known may be missing in the first."""


@dataclass
class Read:
    """What was read, and what a person has to be told of it."""

    collected: Collected = field(default_factory=Collected)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """By field, the column that it was taken from."""
    digests: list[tuple[str, str]] = field(default_factory=list)
    """Name and SHA-256 of each file."""


@dataclass(frozen=True)
class Wanted:
    """What a person says of the files."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """By field, the column that holds it."""
    model: str | None = None
    """Of all outcomes."""
    workload: str | None = None

    @property
    def said(self) -> dict[str, str]:
        """By field, what all outcomes have."""
        given = {"model": self.model, "workload": self.workload}
        return {key: value for key, value in given.items() if value is not None}


def read_path(path: Path, wanted: Wanted, into: Read) -> None:
    """Read a file or a folder of outcomes.

    Raises:
        UsageError: no such file, no known form, or no column for what is needed.
    """
    if is_there(path) and path.is_dir():
        _read_folder(path, wanted, into)
        return
    require_file(path, SUFFIXES)
    into.digests.append((path.name, sha256_file(path)))
    if path.name.endswith(CSV_SUFFIXES):
        _read_rows(csv_rows(path, str(path)), str(path), "line", wanted, into)
    elif path.suffix == ".json" and (document := _document(path, into)) is not None:
        if not _read_document(document, path, wanted, into):
            raise UsageError(
                f"{path} is JSON of no form that is known: a list of rows, an object of tasks that each have "
                "'resolved', or 'leaderboards' with 'per_instance_details'"
            )
    elif not into.collected.problems:
        _read_rows(file_rows(path), str(path), unit_of(path), wanted, into)


def read_rows(rows: Sequence[Mapping[str, Any]], source: str, wanted: Wanted, into: Read) -> None:
    """Read rows that are in memory.

    Raises:
        UsageError: they have no column for what is needed.
    """
    _read_rows((NumberedRow(number, dict(row)) for number, row in enumerate(rows, 1)), source, "row", wanted, into)


def _read_rows(rows: Iterator[NumberedRow | Problem], source: str, unit: str, wanted: Wanted, into: Read) -> None:
    begin = list(islice(rows, _LOOKED_AT))
    first = [each.row for each in begin if isinstance(each, NumberedRow)]
    if not first:
        into.collected.problems += [each for each in begin if isinstance(each, Problem)] or [
            Problem(source, None, None, "the file holds no outcomes", unit)
        ]
        return
    names = list(dict.fromkeys(name for row in first if isinstance(row, dict) for name in row))
    said = {key: value for key, value in wanted.said.items() if key not in wanted.columns}
    try:
        columns, notes = find_columns(names, wanted.columns, list(said))
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    into.notes += [note for note in notes if note not in into.notes]
    into.columns |= columns
    with into.collected.source(source, unit, columns, said) as add:
        for each in chain(begin, rows):
            if isinstance(each, Problem):
                into.collected.problems.append(each)
            else:
                add(each.number, each.row)
            if into.collected.full:
                break


def _document(path: Path, into: Read) -> dict[str, Any] | None:
    """The content of a JSON file that is an object; None where it is a list of rows, or is refused."""
    with open_input(path) as file:
        begin = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not begin.startswith(b"{"):
            return None
        file.seek(0)
        try:
            content = parse_json(read_document(file).decode("utf-8-sig"))
        except FaultyJsonError as error:
            into.collected.problems += error.problems(str(path))
        except (JsonError, InputError, UnicodeDecodeError) as error:
            into.collected.problems.append(Problem(str(path), None, None, str(error)))
        else:
            return content if isinstance(content, dict) else {}
    return None


def _read_document(content: dict[str, Any], path: Path, wanted: Wanted, into: Read) -> bool:
    """Read an object of a known form; False where it has none."""
    if _is_details(content):
        model, workload = wanted.model, wanted.workload
        if model is None:
            model = _model_of(path)
            into.notes.append(f"{path.name} is taken for the tasks of model {model!r}: if it is not, --model NAME")
        if workload is None and path.parent.name == _DETAILS_FOLDER:
            workload = path.stem
        _read_details(content, str(path), wanted, model, workload, into)
        return True
    boards = content.get("leaderboards")
    if not isinstance(boards, list):
        return False
    found = False
    for board in boards:
        for result in board.get("results") or [] if isinstance(board, dict) else []:
            details = result.get(_DETAILS_FILE) if isinstance(result, dict) else None
            if isinstance(details, dict) and _is_details(details):
                model, workload = str(result.get("name")), wanted.workload or str(board.get("name"))
                _read_details(details, f"{path}, {workload}, {model}", wanted, model, workload, into)
                found = True
    return found


def _is_details(content: Mapping[str, Any]) -> bool:
    values = list(content.values())
    return bool(values) and all(isinstance(each, dict) and "resolved" in each for each in values)


def _read_details(
    content: Mapping[str, dict[str, Any]],
    source: str,
    wanted: Wanted,
    model: str,
    workload: str | None,
    into: Read,
) -> None:
    task = wanted.columns.get("task", "task")
    keys = ("task", "resolved", "cost_usd", "steps", "trial")
    narrowed = Wanted({key: name for key, name in wanted.columns.items() if key in keys}, model, workload)
    names = dict.fromkeys(key for details in content.values() for key in details)
    rows = (
        NumberedRow(number, dict.fromkeys(names) | {task: name} | details)
        for number, (name, details) in enumerate(content.items(), 1)
    )
    _read_rows(rows, source, "task", narrowed, into)


def _model_of(path: Path) -> str:
    """The model whose tasks a file has, by where it lies."""
    folder = path.resolve().parent
    if folder.name == _DETAILS_FOLDER:
        folder = folder.parent
    elif path.stem != _DETAILS_FILE:
        return path.stem
    return folder.name


def _read_folder(folder: Path, wanted: Wanted, into: Read) -> None:
    if wanted.model is not None:
        raise UsageError(f"{folder} is a folder, whose files are of several models: --model is of one")
    files = sorted(islice((path for path in folder.rglob("*.json") if path.is_file()), _MOST_FILES + 1))
    if len(files) > _MOST_FILES:
        raise UsageError(f"{folder} holds more than {_MOST_FILES:,} .json files: name the folders of the models")
    found = 0
    for path in files:
        document = _document(path, into)
        if document is not None and _is_details(document):
            into.digests.append((str(path.relative_to(folder)), sha256_file(path)))
            _read_document(document, path, wanted, into)
            found += 1
    if not found and not into.collected.problems:
        raise UsageError(
            f"{folder} is no run directory, and no .json in it has the tasks of a model (an object of tasks that each "
            "have 'resolved')"
        )
    into.notes = [note for note in into.notes if "is taken for the tasks of model" not in note]
    into.notes.append(
        f"{found} files of {folder} have the tasks of a model each, called as the folder that they are in"
    )
