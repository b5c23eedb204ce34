"""Scores of runs kept in the store, under fingerprints, as files that ``live_results.sql`` defines views over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynamic_track.results.live_score import LiveScore
from dynamic_track.results.loaded import call_rows, case_rows
from twinbench.fingerprint import fingerprint
from twinbench.storage.store import Store

_FOLDER = "live"
_SQL = Path(__file__).parent / "live_results.sql"


def views(store: Store) -> str:
    """The SQL that defines the views over a store's live scores."""
    return _SQL.read_text("utf-8").replace("{root}", str(store.root).replace("'", "''"))


def keep(store: Store, score: LiveScore) -> str:
    """Keep a score: a line for the run, one for each trial, one for each answered call.

    Returns:
        Its fingerprint, of the run and of how it was scored; what is kept under it is never changed.
    """
    content = score.to_json()
    content.pop("by_case")
    key = fingerprint(
        {"run": score.run.fingerprint, "exclude_infra": score.exclude_infra, "intervals": content["intervals"]}
    )
    folder = store.root / _FOLDER / key
    if (folder / "run.parquet").is_file():
        return key
    common = {"score": key, "simulated": score.run.simulated, "division": score.run.pool.division}
    plain = {
        name: value if not isinstance(value, dict | list) else json.dumps(value) for name, value in content.items()
    }
    with store.aside(folder) as temporary:
        temporary.mkdir()
        _write(temporary / "run.parquet", [{**common, **plain}])
        _write(temporary / "trials.parquet", [{**common, **row} for row in case_rows(score.run)])
        _write(temporary / "calls.parquet", [{**common, **row} for row in call_rows(score.run)])
    return key


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import duckdb

    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows), "utf-8")
    with duckdb.connect() as connection:
        source, target = (str(each).replace("'", "''") for each in (lines, path))
        connection.execute(
            f"COPY (SELECT * FROM read_json('{source}', format = 'newline_delimited', sample_size = -1)) "  # noqa: S608
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )
    lines.unlink()
