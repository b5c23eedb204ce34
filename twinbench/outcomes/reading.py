"""Read files of outcomes in their common formats.

| format | how it is recognised |
|---|---|
| rows | ``.csv``, ``.csv.gz``, ``.jsonl``, ``.jsonl.gz``, ``.parquet``, or ``.json`` that begins with ``[`` |
| tasks of one model | ``.json``: an object whose values are objects with ``resolved``, by task |
| a SWE-bench leaderboard | ``.json`` with ``leaderboards``, whose results have ``per_instance_details`` |
| a folder | every ``.json`` file at any depth that has the tasks of one model |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from twinbench.errors import Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.outcomes.collecting import OutcomeCollector, read_name
from twinbench.outcomes.columns import find_columns
from twinbench.reading.csv_rows import SUFFIXES as CSV_SUFFIXES
from twinbench.reading.csv_rows import csv_rows
from twinbench.reading.input_files import InputError, open_input, path_exists, read_document
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import SUFFIXES as ROW_SUFFIXES
from twinbench.reading.rows import file_rows, require_file, row_unit
from twinbench.reading.strict_json import FaultyJsonError, JsonError, parse_json

SUFFIXES = (*CSV_SUFFIXES, *ROW_SUFFIXES)

_DETAILS_FILE = "per_instance_details"
_DETAILS_FOLDER = "instance_results"
"""Public repositories store the tasks of one model in ``MODEL/per_instance_details.json`` or in
``MODEL/instance_results/WORKLOAD.json``."""
_MAX_FILES = 10_000
_ROWS_FOR_COLUMNS = 10_000
"""Number of rows in which columns are searched, since the first rows may lack keys with unknown values."""


@dataclass
class ReadOutcomes:
    """The outcomes that were read so far, and notes for the user."""

    collector: OutcomeCollector = field(default_factory=OutcomeCollector)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """The column from which each field was read, by field."""
    digests: list[tuple[str, str]] = field(default_factory=list)
    """Name and SHA-256 of each file."""


@dataclass(frozen=True)
class ReadOptions:
    """The user's statements about the input files."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """The column that has each field, by field."""
    model: str | None = None
    """The model of all outcomes; None if the files name it."""
    workload: str | None = None
    """The workload of all outcomes; None if the files name it."""

    def __post_init__(self) -> None:
        """Refuse invalid names.

        Raises:
            UsageError: the model or the workload that is given for all outcomes is not a valid name.
        """
        for what, name in (("model", self.model), ("workload", self.workload)):
            try:
                read_name("any" if name is None else name)
            except ValueError as error:
                raise UsageError(f"the {what} of all outcomes {error}") from None

    @property
    def constants(self) -> dict[str, str]:
        """The values of all outcomes that the user gave, by field."""
        given = {"model": self.model, "workload": self.workload}
        return {key: value for key, value in given.items() if value is not None}


def read_path(path: Path, wanted: ReadOptions, into: ReadOutcomes) -> None:
    """Read a file or a folder of outcomes.

    Raises:
        UsageError: the path does not exist, the format is unknown, or a required column is missing.
    """
    if path_exists(path) and path.is_dir():
        _read_folder(path, wanted, into)
        return
    require_file(path, SUFFIXES)
    into.digests.append((path.name, sha256_file(path)))
    if path.name.endswith(CSV_SUFFIXES):
        _read_rows(csv_rows(path, str(path)), str(path), "line", wanted, into)
    elif path.suffix == ".json" and (document := _read_json_object(path, into)) is not None:
        if not _read_document(document, path, wanted, into):
            raise UsageError(
                f"{path} is JSON in an unknown format; known formats are a list of rows, an object of tasks that each "
                "have 'resolved', and 'leaderboards' with 'per_instance_details'"
            )
    elif not into.collector.problems:
        _read_rows(file_rows(path), str(path), row_unit(path), wanted, into)


def read_rows(rows: Sequence[Mapping[str, Any]], source: str, wanted: ReadOptions, into: ReadOutcomes) -> None:
    """Read rows that are in memory.

    Raises:
        UsageError: a required column is missing.
    """
    _read_rows((NumberedRow(number, dict(row)) for number, row in enumerate(rows, 1)), source, "row", wanted, into)


def _read_rows(
    rows: Iterator[NumberedRow | Problem], source: str, unit: str, wanted: ReadOptions, into: ReadOutcomes
) -> None:
    begin = list(islice(rows, _ROWS_FOR_COLUMNS))
    first = [each.row for each in begin if isinstance(each, NumberedRow)]
    if not first:
        into.collector.problems += [each for each in begin if isinstance(each, Problem)] or [
            Problem(source, None, None, "the file contains no outcomes", unit)
        ]
        return
    names = list(dict.fromkeys(name for row in first if isinstance(row, dict) for name in row))
    said = {key: value for key, value in wanted.constants.items() if key not in wanted.columns}
    try:
        columns, notes = find_columns(names, wanted.columns, list(said))
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    into.notes += [note for note in notes if note not in into.notes]
    into.columns |= columns
    with into.collector.add_source(source, unit, columns, said) as add:
        for each in chain(begin, rows):
            if isinstance(each, Problem):
                into.collector.problems.append(each)
            else:
                add(each.number, each.row)
            if into.collector.has_too_many_problems:
                break


def _read_json_object(path: Path, into: ReadOutcomes) -> dict[str, Any] | None:
    """Return the content of a JSON file if it is an object; None if it is a list of rows, or invalid (a problem)."""
    with open_input(path) as file:
        begin = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not begin.startswith(b"{"):
            return None
        file.seek(0)
        try:
            content = parse_json(read_document(file).decode("utf-8-sig"))
        except FaultyJsonError as error:
            into.collector.problems += error.to_problems(str(path))
        except (JsonError, InputError, UnicodeDecodeError) as error:
            into.collector.problems.append(Problem(str(path), None, None, str(error)))
        else:
            return content if isinstance(content, dict) else {}
    return None


def _read_document(content: dict[str, Any], path: Path, wanted: ReadOptions, into: ReadOutcomes) -> bool:
    """Read a JSON object; return False if its format is unknown."""
    if _is_model_tasks(content):
        model, workload = wanted.model, wanted.workload
        if model is None:
            model = _model_from_path(path)
            into.notes.append(
                f"{path.name} is read as the tasks of model {model!r}; if that is wrong, use --model NAME"
            )
        if workload is None and path.parent.name == _DETAILS_FOLDER:
            workload = path.stem
        _read_model_tasks(content, str(path), wanted, model, workload, into)
        return True
    boards = content.get("leaderboards")
    if not isinstance(boards, list):
        return False
    found = False
    for board in boards:
        met: set[str] = set()
        for result in board.get("results") or [] if isinstance(board, dict) else []:
            details = result.get(_DETAILS_FILE) if isinstance(result, dict) else None
            if isinstance(details, dict) and _is_model_tasks(details):
                model, workload = _name_result(result, met), wanted.workload or str(board.get("name"))
                _read_model_tasks(details, f"{path}, {workload}, {model}", wanted, model, workload, into)
                found = True
    return found


def _name_result(result: Mapping[str, Any], met: set[str]) -> str:
    """The model of a leaderboard's result; one that occurs there again is called by its folder or date too.

    Args:
        result: a result of a leaderboard.
        met: names of that board so far, to which this one is added.
    """
    name = str(result.get("name"))
    beside = [str(result[key]) for key in ("folder", "date") if result.get(key)]
    found = next((each for each in (name, *(f"{name} ({each})" for each in beside)) if each not in met), name)
    met.add(found)
    return found


def _is_model_tasks(content: Mapping[str, Any]) -> bool:
    values = list(content.values())
    return bool(values) and all(isinstance(each, dict) and "resolved" in each for each in values)


def _read_model_tasks(
    content: Mapping[str, dict[str, Any]],
    source: str,
    wanted: ReadOptions,
    model: str,
    workload: str | None,
    into: ReadOutcomes,
) -> None:
    task = wanted.columns.get("task", "task")
    keys = ("task", "resolved", "cost_usd", "steps", "trial")
    narrowed = ReadOptions({key: name for key, name in wanted.columns.items() if key in keys}, model, workload)
    names = dict.fromkeys(key for details in content.values() for key in details)
    rows = (
        NumberedRow(number, dict.fromkeys(names) | {task: name} | details)
        for number, (name, details) in enumerate(content.items(), 1)
    )
    _read_rows(rows, source, "task", narrowed, into)


def _model_from_path(path: Path) -> str:
    """Derive the name of a file's model from its path."""
    folder = path.resolve().parent
    if folder.name == _DETAILS_FOLDER:
        folder = folder.parent
    elif path.stem != _DETAILS_FILE:
        return path.stem
    return folder.name


def _read_folder(folder: Path, wanted: ReadOptions, into: ReadOutcomes) -> None:
    if wanted.model is not None:
        raise UsageError(f"{folder} is a folder with files of several models, so --model cannot be used with it")
    files = sorted(islice((path for path in folder.rglob("*.json") if path.is_file()), _MAX_FILES + 1))
    if len(files) > _MAX_FILES:
        raise UsageError(f"{folder} contains more than {_MAX_FILES:,} .json files: name the folders of the models")
    found = 0
    for path in files:
        document = _read_json_object(path, into)
        if document is not None and _is_model_tasks(document):
            into.digests.append((str(path.relative_to(folder)), sha256_file(path)))
            _read_document(document, path, wanted, into)
            found += 1
    if not found and not into.collector.problems:
        raise UsageError(
            f"{folder} is not a run directory and contains no .json file with the tasks of a model (an object of tasks "
            "that each have 'resolved')"
        )
    into.notes = [note for note in into.notes if "is read as the tasks of model" not in note]
    into.notes.append(f"{found} files in {folder} have the tasks of one model each, named after the file's folder")
