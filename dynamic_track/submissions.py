"""Patches to grade, from files in SWE-bench's prediction format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twinbench.errors import ContentError, Problem, UsageError

SUFFIXES = (".jsonl", ".json")
STDIN = "-"


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
    if not path.is_file():
        raise UsageError(f"{path} is no file" if path.exists() else f"no file {path}")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: the ending says no format; known are {', '.join(SUFFIXES)}")
    patches: dict[str, str] = {}
    problems: list[Problem] = []
    for number, unit, content in _parsed(path, problems):
        complaint = _complaint(content, patches)
        if complaint is None:
            patches[content["instance_id"]] = content["model_patch"] or ""
        else:
            problems.append(Problem(str(path), number, *complaint, unit))
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


def _parsed(path: Path, problems: list[Problem]) -> Iterator[tuple[int, str, Any]]:
    lines = path.suffix == ".jsonl"
    unit = "line" if lines else "entry"
    try:
        text = path.read_text("utf-8")
        content = [line for line in text.split("\n") if line.strip()] if lines else json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(Problem(str(path), None, None, f"not JSON: {error}"))
        return
    if isinstance(content, dict):
        content = [
            {"instance_id": key, **value} if isinstance(value, dict) else value for key, value in content.items()
        ]
    if not isinstance(content, list):
        problems.append(Problem(str(path), None, None, "a list of predictions, or an object by instance id, is needed"))
        return
    for number, each in enumerate(content, 1):
        try:
            yield number, unit, json.loads(each) if lines else each
        except (ValueError, RecursionError) as error:
            problems.append(Problem(str(path), number, None, f"not JSON: {error}"))
