"""A generated bank of consecutive steps, without its texts, scored: ``python -m benchmarks.dense ROWS FILE``."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import duckdb

from benchmarks.measuring import best_of
from static_track.scoring import Scorer
from twinbench.sql import sql_file
from twinbench.storage.manifest_files import static_manifest

# Trajectories of 8 to 30 steps, each prompt longer than the one before and a continuation of it.
_GENERATE = """
    CREATE TABLE trajectory AS
    SELECT range::INTEGER AS trajectory, 'workload-' || range % 4 AS workload, 'instance-' || range AS instance_id,
           false AS heldout
    FROM range({rows} // 19 + 1);
    INSERT INTO base
    WITH drawn AS (SELECT trajectory, 8 + (hash(trajectory) % 23)::INTEGER AS steps FROM trajectory),
         step AS (SELECT trajectory, unnest(range(1, steps + 1))::INTEGER AS step_index FROM drawn)
    SELECT
        (row_number() OVER (ORDER BY trajectory, step_index) - 1)::INTEGER,
        trajectory,
        step_index,
        (hash(trajectory * 31 + step_index) % 4)::UTINYINT,
        [1000 * step_index, 1000 * step_index, 1000 * step_index, 1100 * step_index],
        CASE WHEN step_index > 1 THEN
            [1000 * (step_index - 1), 1000 * (step_index - 1), 1000 * (step_index - 1), 1100 * (step_index - 1)] END,
        100,
        NULL
    FROM step ORDER BY 1;
"""
_AGGREGATE = """
    SELECT workload, count(*), sum(prompt[4]), sum(output), count(*) FILTER (pred >= target)
    FROM base JOIN prediction USING (row_no) JOIN trajectory USING (trajectory) GROUP BY workload
"""


def main(rows: int, path: Path) -> None:
    """Generate, score, and print what it took as JSON."""
    schema = sql_file("static_track.banks", "bank_schema.sql")
    with duckdb.connect(str(path)) as connection:
        connection.execute(schema[schema.index("CREATE TABLE base") :])
        connection.execute(_GENERATE.format(rows=rows))
    with Scorer(path, static_manifest()) as scorer:
        # One prediction in a hundred is an error.
        scorer.connection.execute("""
            INSERT INTO prediction
            SELECT 0, row_no, CASE WHEN hash(row_no) % 100 > 0 THEN (hash(row_no * 7) % 4)::UTINYINT END FROM base
        """)
        counted = scorer.connection.execute("SELECT count(*) FROM base").fetchall()[0][0]
        times = 3 if rows > 1_000_000 else 7
        aggregate_s = best_of(times, lambda: scorer.connection.execute(_AGGREGATE).fetchall())

        def headline() -> None:
            scorer.bill()
            scorer.headline()

        scoring_s = best_of(times, headline)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, of the generation too; bytes on macOS
    peak_gib = peak / (2**30 if sys.platform == "darwin" else 2**20)
    found = {"rows": counted, "aggregate_s": aggregate_s, "scoring_s": scoring_s, "peak_gib": peak_gib}
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
