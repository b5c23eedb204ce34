"""Save scores of runs in the store under fingerprints, as files over which ``live_results.sql`` defines views."""

from __future__ import annotations

import json

from dynamic_track.results.live_score import LiveScore
from dynamic_track.results.loading import call_rows, case_rows
from twinbench.fingerprint import fingerprint
from twinbench.sql import sql_file, sql_text
from twinbench.storage.parquet_files import write_rows
from twinbench.storage.store import Store

_FOLDER = "live"


def views(store: Store) -> str:
    """Return the SQL that defines the views over a store's live scores."""
    return sql_file(__package__, "live_results.sql").replace("{root}", sql_text(store.root)[1:-1])


def save_score(store: Store, score: LiveScore) -> str:
    """Save a score: one row for the run, one per trial, one per answered call.

    Returns:
        Its fingerprint, of the run and of how it was scored; what is saved under it never changes.
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
    with store.replacing(folder) as temporary:
        temporary.mkdir()
        write_rows(temporary / "run.parquet", [{**common, **plain}])
        write_rows(temporary / "trials.parquet", [{**common, **row} for row in case_rows(score.run)])
        write_rows(temporary / "calls.parquet", [{**common, **row} for row in call_rows(score.run)])
    return key
