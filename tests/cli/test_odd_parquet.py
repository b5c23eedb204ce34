"""Banks and predictions from Parquet files with columns that JSON does not have."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.banks import a_row
from tests.cli.commands import twinbench
from tests.cli.conftest import two_workloads
from twinbench.storage.store import Store


def write_parquet(path: Path, query: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize("name", ["pq_date", "pq_nanf", "pq_ts"])
def test_the_small_inputs_that_once_failed(shared: Path, default_store: Store, name: str) -> None:
    path = shared / "found" / "banks" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")

    ran = twinbench("bank", "import", path, "--name", "bank")

    if name == "pq_nanf":
        assert ran.code == 1
        assert ran.err.startswith(f"error: {path}, row 1, field extra: NaN is not a JSON number")
        assert default_store.bank_names() == []
        return
    ran.succeeded()
    (row,) = [json.loads(line) for line in twinbench("bank", "export", "bank").succeeded().text.splitlines()]
    assert row["extra"] == {"pq_date": "2026-01-01", "pq_ts": "2026-01-01 00:00:00"}[name]


def test_a_bank_of_odd_columns_is_imported_and_comes_back_as_json(default_store: Store, tmp_path: Path) -> None:
    row = a_row()
    messages = json.dumps(row["messages"]).replace("'", "''")
    fields = ", ".join(f"'{row[name]}' AS {name}" for name in ("id", "benchmark", "instance_id", "target_tier"))
    numbers = f"1::DECIMAL(38, 0) AS step_index, 9::UTINYINT AS total_steps, {row['target_tier_id']} AS target_tier_id"
    path = write_parquet(
        tmp_path / "a.parquet",
        f"SELECT {fields}, {numbers}, '{messages}'::BLOB AS messages, TIMESTAMP '2026-01-01' AS at, 1.10 AS usd",
    )

    twinbench("bank", "import", path, "--name", "bank").succeeded()

    (line,) = twinbench("bank", "export", "bank").succeeded().text.splitlines()
    assert json.loads(line) == row | {"at": "2026-01-01 00:00:00", "usd": "1.10"}


def test_predictions_of_odd_columns_are_read_or_refused_by_row(kept_store: Store, tmp_path: Path) -> None:
    ids = [row["id"] for row in two_workloads()]
    rows = " UNION ALL ".join(f"SELECT '{each}' AS id, 3::DECIMAL(38, 0) AS tier_id, now() AS at" for each in ids)

    score = ("static", "score", "--bank", "mine", "--predictions")
    fine = twinbench(*score, write_parquet(tmp_path / "a.parquet", rows), "--json").succeeded()
    assert fine.json["routers"][0]["counts"]["errors"] == 0

    wrong = write_parquet(tmp_path / "b.parquet", f"SELECT '{ids[0]}' AS id, 'NaN'::DOUBLE AS tier_id")
    ran = twinbench(*score, wrong)
    assert ran.code == 1
    assert ran.err.startswith(f"error: {wrong}, row 1, field tier_id: NaN is not a JSON number")
