"""Every table in every format, to a file and to standard output."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli.commands import commands, spawned, twinbench
from twinbench.storage.store import Store

TABLES = {
    "bank check": ("mine",),
    "bank list": (),
    "bank show": ("mine",),
    "bank split": ("mine",),
    "outcomes list": (),
    "outcomes show": ("openhands-verified",),
    "outcomes headroom": ("openhands-verified", "--tiers", "low=GLM-5,high=GPT-5.5", "--resamples", "100"),
    "outcomes power": ("openhands-verified", "--models", "GLM-5,GPT-5.5", "--resamples", "100"),
    "static score": ("sticky", "--bank", "mine"),
    "static compare": ("sticky", "always-high", "--bank", "mine"),
    "static crossval": ("sticky", "--bank", "mine", "--folds", "2", "--resamples", "0"),
    "static curve": ("depth-rule", "--bank", "mine"),
    "static diff": ("sticky", "always-high", "--bank", "mine"),
    "static explain": ("sticky", "--bank", "mine"),
    "static published": (),
    "pool list": (),
    "pool show": ("live-2026-04",),
    "router list": (),
    "router tune": ("depth-rule", "--bank", "mine", "--set", "mid=2,3", "--folds", "2"),
    "router check": ("always-low", "--bank", "mine", "--rows", "3"),
    "dynamic tasks": (),
    "rehearse skills": (),
}
"""The commands that print a table and need no Docker engine, with the arguments they need."""

TABLES_WITH_DOCKER = {
    "dynamic audit",
    "dynamic compare",
    "dynamic doctor",
    "dynamic gc",
    "dynamic grade",
    "dynamic replay",
    "dynamic run",
    "dynamic list",
    "dynamic score",
    "dynamic status",
    "rehearse run",
}
WITH_DOCKER = TABLES_WITH_DOCKER | {
    "dynamic export",
    "dynamic merge",
    "dynamic rm",
    "dynamic stop",
    "rehearse build",
    "rehearse serve",
}
"""These need an engine, or a run, or go on until interrupted: tried in tests/dynamic_track."""

TABLES_WITH_BUILD = {"bank build", "bank review status"}
WITH_BUILD = TABLES_WITH_BUILD | {"bank review apply", "bank review export"}
"""These need a bank that is built: tried in tests/static_track/construction."""

TABLES_OF_SUBMISSIONS = {"leaderboard check", "submit verify"}
OF_SUBMISSIONS = TABLES_OF_SUBMISSIONS | {
    "leaderboard add",
    "leaderboard build",
    "leaderboard withdraw",
    "submit pack",
}
"""These need what was handed in: tried in tests/leaderboard and tests/submissions."""

ONCE = {"dynamic import"}
"""Begins a directory, and does so once: tried in tests/dynamic_track/importing/test_imported.py."""

OTHER_FORMATS = {"bank import", "dynamic export"}
"""These print no table; their ``--format`` is of what they read or export."""

QUICK = sorted(TABLES.keys() - {"router check", "bank split"})  # one starts processes, one writes the shared store
FORMATS = ("csv", "jsonl", "parquet")
FOR_PEOPLE = ("table", "markdown", "latex")

ALL_FORMATS = (*FORMATS, *FOR_PEOPLE)

Record = dict[str, Any]


@pytest.fixture(params=QUICK)
def table(request: pytest.FixtureRequest, kept_store: Store) -> tuple[str, ...]:
    """A command that prints a table."""
    command: str = request.param
    return (*command.split(), *TABLES[command])


def read(form: str, content: bytes, folder: Path) -> list[Record]:
    """The records of a table; CSV knows texts only."""
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if form == "jsonl":
        return [json.loads(line) for line in content.decode().split("\n")[:-1]]
    path = folder / "read.parquet"
    path.write_bytes(content)
    with duckdb.connect() as connection:
        result = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def as_csv(record: Record) -> Record:
    def cell(value: object) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    return {name: cell(value) for name, value in record.items()}


def test_programs_get_names_and_numbers_without_marks(kept_store: Store, tmp_path: Path) -> None:
    ran = twinbench("static", "score", "sticky", "--resamples", "200", "--format", "csv").succeeded()
    rows = read("csv", ran.out, tmp_path)
    references = {row["router"] for row in rows if row["reference"] == "true"}
    assert {"always-low", "always-high", "labels"} <= references
    assert "sticky" not in references
    for row in rows:
        assert not row.keys() & {"rank"}
        if row["rank_best"]:
            assert 1 <= int(row["rank_best"]) <= int(row["rank_worst"])


def test_every_command_with_a_table_is_tried_here() -> None:
    tabular = {command for command, options in commands() if "--format" in options} - OTHER_FORMATS
    assert tabular == TABLES.keys() | TABLES_WITH_DOCKER | TABLES_WITH_BUILD | TABLES_OF_SUBMISSIONS | ONCE


def test_every_table_can_be_written_to_a_file() -> None:
    assert all("--output" in options for command, options in commands() if command in TABLES)


def test_the_formats_hold_the_same_records(table: tuple[str, ...], tmp_path: Path) -> None:
    lines, parquet, texts = (
        read(form, twinbench(*table, "--format", form).succeeded().out, tmp_path)
        for form in ("jsonl", "parquet", "csv")
    )

    assert lines
    assert parquet == lines
    assert texts == [as_csv(record) for record in lines]


@pytest.mark.parametrize(
    ("table", "form"),
    [
        pytest.param(command, form, marks=() if place == number % len(ALL_FORMATS) else pytest.mark.acceptance)
        for number, command in enumerate(QUICK)
        for place, form in enumerate(ALL_FORMATS)
    ],
    indirect=["table"],
)
def test_a_file_holds_what_standard_output_would(table: tuple[str, ...], form: str, tmp_path: Path) -> None:
    target = tmp_path / "out"

    printed = twinbench(*table, "--format", form).succeeded()
    written = twinbench(*table, "--format", form, "-o", target).succeeded()

    assert written.out == b""
    assert read_or_text(form, target.read_bytes(), tmp_path) == read_or_text(form, printed.out, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


def test_json_goes_to_the_file_that_is_named(table: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "out.json"

    printed = twinbench(*table, "--json").succeeded()
    written = twinbench(*table, "--json", "-o", target).succeeded()

    assert written.out == b""
    assert json.loads(target.read_text("utf-8")) == printed.json


def read_or_text(form: str, content: bytes, folder: Path) -> list[Record] | str:
    return content.decode() if form in FOR_PEOPLE else read(form, content, folder)


def test_programs_get_all_digits_of_a_score(kept_store: Store, tmp_path: Path) -> None:
    command = ("static", "score", "sticky", "--bank", "mine")
    exact = {entry["router"]: entry["scores"] for entry in twinbench(*command, "--json").succeeded().json["routers"]}
    assert any(round(score, 2) != score for score in exact["sticky"].values())

    for form in FORMATS:
        for record in read(form, twinbench(*command, "--format", form).succeeded().out, tmp_path):
            scores = exact[record["router"].removesuffix(" *")]
            assert {name: float(record[name]) for name in scores} == scores


def test_programs_get_a_fingerprint_whole_where_people_see_its_start(kept_store: Store, tmp_path: Path) -> None:
    whole = {bank["sha256"] for bank in twinbench("bank", "list", "--json").json["banks"]}

    (shown,) = {record["sha256"] for record in _records(tmp_path, "bank", "list") if record["name"] == "mine"}

    assert shown in whole
    people = twinbench("bank", "list").text
    assert shown[:12] in people
    assert shown not in people


def test_a_null_stays_a_null_in_every_format(kept_store: Store, tmp_path: Path) -> None:
    command = ("static", "score", "--bank", "mine", "--format")

    for form, null in (("csv", ""), ("jsonl", None), ("parquet", None)):
        records = read(form, twinbench(*command, form).succeeded().out, tmp_path)
        (labels,) = [record for record in records if record["router"].startswith("labels")]
        assert labels["latency_p50_ms"] == null
    (line,) = [line for line in twinbench(*command, "table").text.splitlines() if "labels *" in line]
    assert "–" in line


def test_parquet_columns_have_the_types_of_their_values(kept_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "score.parquet"
    twinbench("static", "score", "sticky", "--bank", "mine", "--format", "parquet", "-o", target).succeeded()

    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(target)]).fetchall()

    types = {name: kind for name, kind, *_ in described}
    assert types["router"] == "VARCHAR"
    assert types["combined"] == types["latency_p50_ms"] == "DOUBLE"
    assert types["errors"] == "BIGINT"


def test_an_old_file_is_replaced(kept_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("something old and longer than the table\n" * 1000)

    twinbench("pool", "list", "--format", "csv", "-o", target).succeeded()

    assert target.read_text().startswith("name,kind,version")
    assert "something old" not in target.read_text()


@pytest.mark.parametrize("form", FORMATS)
def test_an_old_file_stays_where_the_new_one_cannot_be_written(form: str, kept_store: Store, tmp_path: Path) -> None:
    below_a_file = tmp_path / "file" / "out"
    below_a_file.parent.write_text("kept")

    ran = twinbench("pool", "list", "--format", form, "-o", below_a_file)

    assert ran.code == 1
    assert str(below_a_file) in ran.err
    assert below_a_file.parent.read_text() == "kept"


def test_a_folder_as_the_output_is_refused(kept_store: Store, tmp_path: Path) -> None:
    ran = twinbench("pool", "list", "-o", tmp_path)

    assert ran.code == 1
    assert ran.err == f"error: cannot write {tmp_path}: it is a folder\n"


def test_an_unknown_format_is_wrong_usage(kept_store: Store) -> None:
    ran = twinbench("bank", "list", "--format", "xml")

    assert ran.code == 2
    assert "xml" in ran.err
    assert "csv" in ran.err


def test_a_pipe_gets_no_terminal_codes_and_whole_lines(kept_store: Store) -> None:
    ran = spawned("static", "score", "sticky", "--bank", "mine", environment={"COLUMNS": "20"}).succeeded()

    assert b"\x1b" not in ran.out
    assert any("sticky" in line and line.count("│") == 12 for line in ran.text.splitlines())


def test_a_pipe_is_utf8_whatever_the_locale_says(kept_store: Store) -> None:
    ran = spawned("pool", "list", environment={"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}).succeeded()

    assert "┃ Name" in ran.text


def _records(folder: Path, *command: str) -> Iterator[Record]:
    yield from read("jsonl", twinbench(*command, "--format", "jsonl").succeeded().out, folder)
