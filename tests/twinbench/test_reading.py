"""Files of rows: the same rows in every format, and a refusal that names the place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from twinbench.errors import Problem, UsageError
from twinbench.reading.rows import file_rows, require_file, row_unit
from twinbench.reading.strict_json import NotJsonError, parse_json

ROWS: list[Any] = [{"id": "a", "n": 1, "of": {"x": ["\u2028"]}}, {"id": "b", "n": 2, "of": {"x": []}}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def a_parquet_file(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, n INTEGER, of JSON, absent VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, NULL)", [(r["id"], r["n"], r["of"]) for r in ROWS])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"])
def test_rows_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        a_parquet_file(path)
    else:
        lines = gzip.compress(LINES) if name.endswith(".gz") else LINES
        path.write_bytes(json.dumps(ROWS).encode() if name == "a.json" else lines)
    found = list(file_rows(path))
    assert [(each.number, each.row) for each in found if not isinstance(each, Problem)] == [(1, ROWS[0]), (2, ROWS[1])]
    assert row_unit(path) == ("line" if "jsonl" in name else "row")


def test_texts_of_a_parquet_column_are_json_where_the_reader_says_so(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT '[1, 2]' AS messages, '[3]' AS other) TO '%s' (FORMAT parquet)" % (tmp_path / "a.parquet")
        )
        (plain,) = file_rows(tmp_path / "a.parquet")
        (parsed,) = file_rows(tmp_path / "a.parquet", json_columns=("messages",))
    assert not isinstance(plain, Problem)
    assert not isinstance(parsed, Problem)
    assert plain.row == {"messages": "[1, 2]", "other": "[3]"}
    assert parsed.row == {"messages": [1, 2], "other": "[3]"}


@pytest.mark.parametrize(("text", "cut"), [("", True), ("[1", True), ('"a', True), ("[1]]", False), ("nan", False)])
def test_what_is_no_json_says_whether_it_is_cut_short(text: str, cut: bool) -> None:
    with pytest.raises(NotJsonError) as refused:
        parse_json(text)
    assert refused.value.cut_short is cut


def test_a_file_is_refused_by_its_ending(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=r"a.txt: unknown file format; the name must end in one of .x, .y, or else$"):
        require_file(tmp_path / "a.txt", (".x", ".y"), also="or else")
