"""Read patches to grade, from patch files or files in SWE-bench's prediction format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import (
    MAX_ROW_BYTES,
    InputError,
    open_input,
    read_document,
    read_up_to,
    standard_input,
)
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import MAX_PROBLEMS, STDIN, file_rows, open_source, require_file
from twinbench.reading.strict_json import parse_document

SUFFIXES = (".jsonl", ".json")

_ENTRY = "entry"
_MOST_PATCH_BYTES = MAX_ROW_BYTES


def read_patch(path: Path) -> str:
    """Read a patch from a file, a pipe, or standard input (``-``).

    Raises:
        UsageError: the file does not exist or cannot be opened.
        ContentError: it is not UTF-8 text, or larger than the limit.
    """
    source = "standard input" if str(path) == STDIN else str(path)
    try:
        # Read as bytes, since line endings are part of a patch's content.
        return _patch_bytes(path).decode()
    except UnicodeDecodeError as error:
        what = f"not UTF-8: byte {error.start + 1}"
    except InputError as error:
        what = str(error)
    raise ContentError([Problem(source, None, None, what)])


def _patch_bytes(path: Path) -> bytes:
    if str(path) == STDIN:
        return read_up_to(standard_input(), _MOST_PATCH_BYTES)
    try:
        with path.open("rb") as file:  # may be a pipe, as in <(command)
            return read_up_to(file, _MOST_PATCH_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"file {path} does not exist") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder") from None
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})") from None


def read_predictions(path: Path) -> dict[str, str]:
    """Read a prediction file; return patches by instance id.

    The file has JSON lines, or a JSON list or object as mini-swe-agent writes it; ``-`` reads JSON lines from standard
    input. Each prediction has ``instance_id`` and ``model_patch``; null, which means that a run submitted nothing, is
    an empty patch.

    Raises:
        UsageError: the file does not exist, or has an unknown suffix.
        ContentError: a prediction is malformed, or an instance appears twice; every problem is named.
    """
    if str(path) == STDIN:
        with open_source(STDIN) as source:
            return _patches(source.rows, source.name, source.unit)
    require_file(path, SUFFIXES, also="or be - for standard input")
    if path.suffix == ".jsonl":
        return _patches(file_rows(path), str(path), "line")
    return _patches(_entries(path), str(path), _ENTRY)


def _patches(rows: Iterator[NumberedRow | Problem], name: str, unit: str) -> dict[str, str]:
    patches: dict[str, str] = {}
    problems: list[Problem] = []
    for found in rows:
        if len(problems) > MAX_PROBLEMS:
            break
        if isinstance(found, Problem):
            problems.append(found)
        elif (complaint := _prediction_problem(found.row, patches)) is None:
            patches[found.row["instance_id"]] = found.row["model_patch"] or ""
        else:
            problems.append(Problem(name, found.number, *complaint, unit))
    if not patches and not problems:
        problems.append(Problem(name, None, None, "it contains no prediction"))
    if problems:
        raise ContentError(problems, hint='a prediction is {"instance_id": "…", "model_patch": "diff --git …"}')
    return patches


def _prediction_problem(content: Any, known: Mapping[str, str]) -> tuple[str | None, str] | None:
    """Return the invalid field and what is wrong with it; None if the prediction is valid."""
    if not isinstance(content, dict):
        return None, "must be a JSON object"
    instance = content.get("instance_id")
    if not isinstance(instance, str) or not instance:
        return "instance_id", "must be a task's id"
    if instance in known:
        return "instance_id", f"{instance} appears twice"
    if "model_patch" not in content:
        return "model_patch", "is missing"
    if not isinstance(content["model_patch"], str | None):
        return "model_patch", "must be a string or null"
    try:
        (content["model_patch"] or "").encode()
    except UnicodeEncodeError:
        return "model_patch", "contains a lone surrogate, which UTF-8 cannot encode"
    return None


def _entries(path: Path) -> Iterator[NumberedRow | Problem]:
    try:
        with open_input(path) as file:
            content = parse_document(read_document(file), str(path), _ENTRY)
    except ContentError as error:
        yield from error.problems
        return
    except InputError as error:
        yield Problem(str(path), None, None, str(error))
        return
    if isinstance(content, dict):
        content = [
            {"instance_id": key, **value} if isinstance(value, dict) else value for key, value in content.items()
        ]
    if not isinstance(content, list):
        yield Problem(str(path), None, None, "must be a list of predictions, or an object by instance id")
        return
    for number, each in enumerate(content, 1):
        yield NumberedRow(number, each)
