"""Rows of Parquet files: every type of column becomes JSON or is refused by row and field."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinbench.errors import Problem
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import file_rows

KEPT: dict[str, tuple[str, Any]] = {
    "a date": ("DATE '2026-01-31'", "2026-01-31"),
    "a date before our era": ("'0044-03-15 (BC)'::DATE", "0044-03-15 (BC)"),
    "a date that Python does not have": ("'99999-01-01'::DATE", "99999-01-01"),
    "no end of dates": ("'infinity'::DATE", "infinity"),
    "a time": ("TIME '23:59:59.5'", "23:59:59.5"),
    "midnight at the end of a day": ("TIME '24:00:00'", "24:00:00"),
    "a timestamp": ("TIMESTAMP '2026-01-31 12:00:00.25'", "2026-01-31 12:00:00.25"),
    "a timestamp in nanoseconds": ("'2026-01-31 12:00:00.123456789'::TIMESTAMP_NS", "2026-01-31 12:00:00.123456789"),
    "a timestamp with a zone": ("'2026-01-31 12:00:00+02'::TIMESTAMPTZ", "2026-01-31 10:00:00+00"),
    "a time with a zone": ("'12:00:00+02'::TIMETZ", "10:00:00+00"),
    "an interval": ("INTERVAL '14 months 3 days'", "1 year 2 months 3 days"),
    "a decimal": ("1.50::DECIMAL(10, 2)", "1.50"),
    "a small decimal": ("0.00000001::DECIMAL(20, 8)", "0.00000001"),
    "a decimal without places": ("12345678901234567890::DECIMAL(38, 0)", 12345678901234567890),
    "a UUID": ("'a42027c8-5f3d-4621-8049-0df9ab08b8a7'::UUID", "a42027c8-5f3d-4621-8049-0df9ab08b8a7"),
    "bytes of a text": ("'gr\\xC3\\xBCn'::BLOB", "grün"),
    "bits": ("'0101'::BIT", "0101"),
    "an enum": ("'b'::ENUM ('a', 'b')", "b"),
    "a boolean": ("true", True),
    "a large integer": ("18446744073709551615::UBIGINT", 18446744073709551615),
    "a float": ("0.5::FLOAT", 0.5),
    "a large float": ("1e300::DOUBLE", 1e300),
    "an integer of any size": ("12345678901234567890123456789012345678901234567890::BIGNUM",
                               "12345678901234567890123456789012345678901234567890"),
    "a text": ("'a\u2028b'", "a\u2028b"),
    "JSON": ("""'{"a": [null, 1.0]}'::JSON""", {"a": [None, 1.0]}),
    "an object": (
        "{'d': DATE '2026-01-01', 'gone': NULL::INTEGER, 'of': {'t': [TIME '12:00', NULL]}}",
        {"d": "2026-01-01", "of": {"t": ["12:00:00", None]}},
    ),
    "a list of decimals": ("[1.50::DECIMAL(4, 2), NULL]", ["1.50", None]),
    "a list of lists": ("[[DATE '2026-01-01'], []]", [["2026-01-01"], []]),
    "a map": ("MAP {DATE '2026-01-01': 'x'::BLOB}", {"2026-01-01": "x"}),
    "a map of numbers": ("MAP {5: 1.5::DOUBLE}", {"5": 1.5}),
    "a map of bytes": ("MAP {'k'::BLOB: [INTERVAL 1 DAY]}", {"k": ["1 day"]}),
    "a map of objects": ("MAP {{'a': 1}: 2}", {"{'a': 1}": 2}),
    "a union": ("union_value(num := 2)", {"element1": 0, "num": 2}),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str, str]] = {
    "NaN": ("'NaN'::DOUBLE", "x", "NaN is not a JSON number"),
    "Infinity": ("'Infinity'::FLOAT", "x", "Infinity is not a JSON number"),
    "minus Infinity": ("'-Infinity'::DOUBLE", "x", "-Infinity is not a JSON number"),
    "NaN in an object": ("{'a': [1.0::DOUBLE, 'NaN'::DOUBLE]}", "x.a[1]", "NaN is not a JSON number"),
    "NaN in a map": ("MAP {'k': 'NaN'::DOUBLE}", "x.k", "NaN is not a JSON number"),
    "bytes of no text": ("'\\xFF\\x00'::BLOB", "x", "holds bytes that are not text: invalid UTF-8 at byte 1"),
    "bytes of no text in a list": ("['a'::BLOB, 'b\\xE9'::BLOB]", "x[1]", "invalid UTF-8 at byte 2"),
    "NaN in JSON": ("'[1, NaN]'::JSON", "x[1]", "NaN is not a JSON number"),
    "JSON that is none, as DuckDB does not see": ("'[1, Infinity]'::JSON", "x[1]", "Infinity is not a JSON number"),
}


def write_parquet(path: Path, query: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize(("value", "wanted"), KEPT.values(), ids=KEPT.keys())
def test_a_value_of_any_type_becomes_json(tmp_path: Path, value: str, wanted: Any) -> None:
    path = write_parquet(tmp_path / "a.parquet", f"SELECT 'a' AS id, {value} AS x, NULL AS gone")

    (found,) = file_rows(path)

    assert isinstance(found, NumberedRow)
    assert found.row == {"id": "a", "x": wanted}
    assert type(found.row["x"]) is type(wanted)
    assert json.loads(json.dumps(found.row, allow_nan=False)) == found.row


@pytest.mark.parametrize(("value", "field", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_value_without_a_form_in_json_is_refused_by_row_and_field(
    tmp_path: Path, value: str, field: str, words: str
) -> None:
    if value.endswith("::JSON"):
        path = tmp_path / "a.parquet"  # DuckDB would not cast it
        text = value.removesuffix("::JSON").strip("'")
        pq.write_table(pa.table({"x": pa.array(['"fine"', text], pa.json_())}), path)
    else:
        path = write_parquet(tmp_path / "a.parquet", f"(SELECT NULL AS x) UNION ALL (SELECT {value})")

    fine, found = file_rows(path)

    assert isinstance(fine, NumberedRow)
    assert isinstance(found, Problem)
    assert (found.source, found.line, found.unit, found.field) == (str(path), 2, "row", field)
    assert found.what.startswith(words) or words in found.what


def test_a_text_that_should_be_json_is_refused_by_row_and_field(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", """SELECT unnest(['[1]', '[1', '{"a": 1, "a": 2}']) AS messages""")

    fine, cut, twice = file_rows(path, json_columns=("messages",))

    assert fine == NumberedRow(1, {"messages": [1]})
    assert str(cut) == f"{path}, row 2, field messages: not JSON: Expecting ',' delimiter at column 3"
    assert str(twice) == f"{path}, row 3, field messages.a: occurs twice in one object"


def test_a_json_column_that_duckdb_refuses_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array(["[1"], pa.json_())}), path)
    (found,) = file_rows(path)
    assert isinstance(found, Problem)
    assert found.source == str(path)
    assert found.what.startswith("cannot be read: Invalid Input Error: Invalid JSON found in Parquet file")


def test_times_are_in_utc_whatever_the_zone_of_the_machine(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", "SELECT '2026-01-31 12:00:00+02'::TIMESTAMPTZ AS x")
    code = f"""if True:
        from pathlib import Path
        from twinbench.reading.rows import file_rows
        print([each.row["x"] for each in file_rows(Path({str(path)!r}))])
    """
    for zone in ("America/New_York", "Asia/Tokyo", "UTC"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "TZ": zone}, capture_output=True, check=True, timeout=120
        )
        assert ran.stdout.decode().strip() == "['2026-01-31 10:00:00+00']"


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a?.parquet", "day=1/a.parquet", "it's.parquet"])
def test_the_file_that_is_named_is_read_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("a1.parquet", "ab.parquet"):
        write_parquet(tmp_path / other, "SELECT 2 AS n")
    Path(name).parent.mkdir(exist_ok=True)
    write_parquet(tmp_path / "plain.parquet", "SELECT 1 AS n").rename(name)

    assert list(file_rows(Path(name))) == [NumberedRow(1, {"n": 1})]


def test_columns_that_differ_in_capitals_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a"], "ID": ["b"]}), path)
    (found,) = file_rows(path)
    assert isinstance(found, Problem)
    assert "has two columns whose names differ only in case" in found.what


def test_a_column_whose_name_duckdb_needs_is_refused(tmp_path: Path) -> None:
    (found,) = file_rows(write_parquet(tmp_path / "a.parquet", "SELECT 1 AS file_row_number"))
    assert isinstance(found, Problem)
    assert "has a column named file_row_number, which DuckDB reserves" in found.what


def test_rows_come_in_their_order_over_row_groups_and_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{number}:" + "x" * 200_000 for number in range(1000)]  # three ranges of 64 MiB
    pq.write_table(pa.table({"n": list(range(1000)), "text": texts}), path, row_group_size=300)
    found = [each for each in file_rows(path) if isinstance(each, NumberedRow)]
    assert [each.number for each in found] == list(range(1, 1001))
    assert [each.row["n"] for each in found] == list(range(1000))
    assert all(each.row["text"] == text for each, text in zip(found, texts, strict=True))
