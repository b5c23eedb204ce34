"""Files of every kind with something changed in them: read, or refused in words; never a bug, never invalid JSON."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dynamic_track.grading.submissions import read_predictions
from dynamic_track.tasks.sources import load_tasks
from static_track.banks.importing import read_bank
from tests.banks import a_trajectory
from tests.dynamic_track.tasks.task_rows import a_row as a_task
from tests.examples import number_of, thinned
from tests.runs import v1, v2
from twinbench.calls.mini_swe_agent import read_trajectory
from twinbench.errors import Problem, TwinbenchError

MUTANTS = number_of(40, 500)
ODD = (
    *(b"null", b"NaN", b"[]", b"{}", b"5", b'"x"', b"true", b"-Infinity", b'"\\ud800"', b"[[[[", b"1e999"),
    *(b"\x00", b"\xff", b'{"type": "tool_use", "input": [1]}', b'[{"type": "tool_result", "content": 5}]'),
)
VALUES = re.compile(rb'"(?:[^"\\]|\\.)*"|\d+|null|\[|\{')


def rows() -> list[dict[str, object]]:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "x", "name": "bash", "input": {"command": "ls"}},
    ]
    answer = [{"type": "tool_result", "tool_use_id": "x", "content": [{"type": "text", "text": "a.py"}]}]
    messages = [{"role": "assistant", "content": blocks}, {"role": "user", "content": answer}]
    return [*a_trajectory([0, 1]), *(row | {"messages": messages} for row in a_trajectory([2], instance="i-2"))]


LINES = b"".join(json.dumps(row).encode() + b"\n" for row in rows())


def of_parquet(folder: Path) -> bytes:
    (folder / "rows.json").write_text(json.dumps(rows()), "utf-8")
    odd = "now() AS at, 1.5::DOUBLE AS x, [{'d': DATE '2026-01-01'}] AS y"
    relation = duckdb.read_json(str(folder / "rows.json"))
    relation.project(f"* REPLACE (to_json(messages)::VARCHAR AS messages), {odd}").write_parquet(
        str(folder / "rows.parquet")
    )
    return (folder / "rows.parquet").read_bytes()


def change_text(data: bytes, draw: random.Random) -> bytes:
    """JSON with other values, missing pieces and odd bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        places = list(VALUES.finditer(bytes(changed)))
        kind = draw.random()
        if kind < 0.5 and places:
            place = draw.choice(places)
            changed[place.start() : place.end()] = draw.choice(ODD)
        elif kind < 0.7 and changed:
            del changed[draw.randrange(len(changed)) : draw.randrange(len(changed) + 1)]
        else:
            at = draw.randrange(len(changed) + 1)
            changed[at:at] = draw.choice(ODD)
    return bytes(changed)


def change_bytes(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 2, 8))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def check_bank(path: Path) -> None:
    _, parsed = read_bank(str(path))
    check_problems(parsed.problems)
    for text in parsed.messages.json:
        json.loads(text, parse_constant=refuse_constant)
    parsed.canonical_sha256()


def check_problems(problems: list[Problem]) -> None:
    for problem in problems:
        json.dumps(problem.to_json(), allow_nan=False)
        assert len(str(problem)) < 1000 + len(problem.source)


def refuse_constant(name: str) -> float:
    raise AssertionError(f"{name} stands in a stored message")


KINDS: dict[str, tuple[bytes | None, Callable[[bytes, random.Random], bytes], Callable[[Path], object]]] = {
    "a.jsonl": (LINES, change_text, check_bank),
    "a.json": (json.dumps(rows(), indent=1).encode(), change_text, check_bank),
    "a.jsonl.gz": (gzip.compress(LINES), change_bytes, check_bank),
    "a.parquet": (None, change_bytes, check_bank),
    "1.traj.json": (json.dumps(v1()).encode(), change_text, read_trajectory),
    "2.traj.json": (json.dumps(v2()).encode(), change_text, read_trajectory),
    "2.traj.json.gz": (gzip.compress(json.dumps(v2()).encode()), change_bytes, read_trajectory),
    "patches.jsonl": (b'{"instance_id": "a", "model_patch": "x"}\n' * 2, change_text, read_predictions),
    "patches.json": (b'{"a": {"model_patch": "x"}, "b": {"model_patch": null}}', change_text, read_predictions),
    "tasks.jsonl": (json.dumps(a_task()).encode(), change_text, lambda path: load_tasks(str(path))),
}


@pytest.mark.slow
@pytest.mark.drawn
@pytest.mark.parametrize("name", thinned(KINDS, 3))
def test_a_changed_file_is_read_or_refused_in_words(tmp_path: Path, name: str) -> None:
    content, change, read = KINDS[name]
    whole = of_parquet(tmp_path) if content is None else content
    draw = random.Random(name)  # noqa: S311 - not for secrets
    path = tmp_path / name
    refusals: list[str] = []
    for _ in range(MUTANTS):
        path.write_bytes(change(whole, draw))
        try:
            read(path)
        except TwinbenchError as error:
            refusals.append(str(error))
    assert all(name in refusal for refusal in refusals)
