"""Patches to grade, from files in SWE-bench's prediction format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading import STDIN, NumberedRow, file_rows, require_file, whole_json

SUFFIXES = (".jsonl", ".json")

_ENTRY = "entry"


def read_patch(path: Path) -> str:
    """A patch file; ``-`` is standard input.

    Raises:
        UsageError: no such file.
        ContentError: it is no text.
    """
    from_stdin = str(path) == STDIN
    if not from_stdin and (path.is_dir() or not path.exists()):
        raise UsageError(f"{path} is a folder" if path.exists() else f"no file {path}")
    try:
        # As bytes, since the line ends of a patch are content.
        return (sys.stdin.buffer.read() if from_stdin else path.read_bytes()).decode()
    except UnicodeDecodeError as error:
        raise ContentError([Problem(str(path), None, None, f"not UTF-8: byte {error.start + 1}")]) from None


def read_predictions(path: Path) -> dict[str, str]:
    """The patches of a prediction file by instance id: JSON lines, or a JSON list or object as mini-swe-agent writes.

    Each prediction has ``instance_id`` and ``model_patch``; null, as a run that submitted nothing has it, is an empty
    patch.

    Raises:
        UsageError: no such file, or an ending that says no known format.
        ContentError: a prediction is malformed, or an instance stands twice; every problem is named.
    """
    require_file(path, SUFFIXES)
    unit = "line" if path.suffix == ".jsonl" else _ENTRY
    patches: dict[str, str] = {}
    problems: list[Problem] = []
    for found in file_rows(path) if path.suffix == ".jsonl" else _entries(path):
        if isinstance(found, Problem):
            problems.append(found)
        elif (complaint := _complaint(found.row, patches)) is None:
            patches[found.row["instance_id"]] = found.row["model_patch"] or ""
        else:
            problems.append(Problem(str(path), found.number, *complaint, unit))
    if not patches and not problems:
        problems.append(Problem(str(path), None, None, "it holds no prediction"))
    if problems:
        raise ContentError(problems, hint='a prediction is {"instance_id": "…", "model_patch": "diff --git …"}')
    return patches


def _complaint(content: Any, known: Mapping[str, str]) -> tuple[str | None, str] | None:
    """The field that is wrong, and what is."""
    if not isinstance(content, dict):
        return None, "a prediction is a JSON object"
    instance = content.get("instance_id")
    if not isinstance(instance, str) or not instance:
        return "instance_id", "the id of a task is needed"
    if instance in known:
        return "instance_id", f"{instance} stands twice"
    if "model_patch" not in content:
        return "model_patch", "is missing"
    if not isinstance(content["model_patch"], str | None):
        return "model_patch", "a patch is a text, or null"
    try:
        (content["model_patch"] or "").encode()
    except UnicodeEncodeError:
        return "model_patch", "holds a lone surrogate, which is no text"
    return None


def _entries(path: Path) -> Iterator[NumberedRow | Problem]:
    try:
        content = whole_json(path.read_bytes(), str(path), _ENTRY)
    except ContentError as error:
        yield from error.problems
        return
    if isinstance(content, dict):
        content = [
            {"instance_id": key, **value} if isinstance(value, dict) else value for key, value in content.items()
        ]
    if not isinstance(content, list):
        yield Problem(str(path), None, None, "a list of predictions, or an object by instance id, is needed")
        return
    for number, each in enumerate(content, 1):
        yield NumberedRow(number, each)
