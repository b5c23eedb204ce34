"""Score predictions on a bank: run ``scoring.sql`` and convert its results.

The rules are in the SQL; no metric is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb

from static_track.banks import databases
from static_track.banks.bank_file import group_name_sql
from static_track.banks.databases import file_version
from static_track.banks.splits import WHOLE_BANK, BankPart
from static_track.metrics import PATTERNS, SCORES
from static_track.predictions import Predictions
from twinbench.errors import TwinbenchError
from twinbench.routing.tiers import Tier
from twinbench.sql import sql_file, sql_name, sql_text
from twinbench.storage.manifests import StaticManifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from static_track.trajectory_parts import TrajectoryParts


@dataclass(frozen=True)
class Score:
    """All results of the protocol for one router on one bank; percentages are floats, None if undefined."""

    scores: Mapping[str, float | None]
    cost_usd: float
    """Cost of all rows on the router's path, without error rows."""
    counts: Mapping[str, int]
    by_workload: Mapping[str, Mapping[str, Any]]
    confusion: Sequence[Sequence[int]]
    """Rows by target (rows) and prediction (columns: four tiers, error)."""
    error_pattern: Mapping[str, int]
    ablation: Mapping[str, float | None]
    legacy: Mapping[str, Mapping[str, Any]]
    """``scores_v2``, ``router_accounting`` and ``section_11`` of the released scorer."""

    def to_json(self, *, legacy: bool = False) -> dict[str, Any]:
        """Return the score as a JSON object; the legacy blocks only on request."""
        content = {
            "scores": dict(self.scores),
            "counts": dict(self.counts),
            "by_workload": {name: dict(block) for name, block in self.by_workload.items()},
            "confusion": [list(row) for row in self.confusion],
            "error_pattern": dict(self.error_pattern),
            "ablation": dict(self.ablation),
            "cost_usd": self.cost_usd,
        }
        return content | {name: dict(block) for name, block in self.legacy.items()} if legacy else content


@dataclass(frozen=True)
class RouterLlmCost:
    """The cost of a router's own LLM calls, and its CostSave after subtracting them."""

    router_usd: float
    cost_save_net: float | None
    """CostSave minus the cost of its own LLM calls; None if CostSave is undefined."""


class Scorer:
    """A bank's numbers, ready for scoring under one price table."""

    def __init__(
        self, bank_file: Path, manifest: StaticManifest, *, base_file: Path | None = None, split: BankPart = WHOLE_BANK
    ) -> None:
        """Open the numbers.

        Args:
            bank_file: the bank's DuckDB file.
            manifest: rates and cache TTL.
            base_file: a sidecar file with the numbers of another tokenizer set.
            split: the part of the bank to score.
        """
        self._bank_file = bank_file
        self._fallback_output_tokens = manifest.fallback_output_tokens
        self._key = (manifest.fingerprint, base_file, file_version(base_file) if base_file else None, split.fingerprint)
        self._connection = databases.take(bank_file, self._key) or self._prepare(bank_file, manifest, base_file, split)

    @staticmethod
    def _prepare(
        bank_file: Path, manifest: StaticManifest, base_file: Path | None, split: BankPart
    ) -> duckdb.DuckDBPyConnection:
        """Open a connection with the views of ``scoring.sql``."""
        try:
            connection = databases.connect(bank_file)
        except duckdb.Error as error:
            raise TwinbenchError(f"cannot open {bank_file}: {str(error).splitlines()[0]}") from None
        [(bank,)] = connection.execute("SELECT current_database()").fetchall()
        base = f"{sql_name(bank)}.main.base"
        if base_file is not None:
            try:
                base = databases.attach(connection, base_file)
            except duckdb.Error as error:
                connection.close()
                raise TwinbenchError(f"cannot open {base_file}: {str(error).splitlines()[0]}") from None
        group = group_name_sql(connection, sql_name(bank))
        rates = [manifest.rates[tier].prices().fusd_per_token() for tier in Tier]
        connection.execute(f"""
            SET VARIABLE ttl_steps = {manifest.cache_ttl_steps};
            SET VARIABLE rate_read = {[rate[1] for rate in rates]}::BIGINT[];
            SET VARIABLE rate_write = {[rate[2] for rate in rates]}::BIGINT[];
            SET VARIABLE rate_output = {[rate[3] for rate in rates]}::BIGINT[];
            CREATE TEMP VIEW base AS FROM {base} WHERE {split.condition()};
            CREATE TEMP VIEW trajectory AS
                SELECT trajectory, workload, instance_id, {group} AS group_name
                FROM {sql_name(bank)}.main.trajectory;
            CREATE TEMP TABLE prediction (router INTEGER, row_no INTEGER, pred UTINYINT);
            CREATE TEMP TABLE own_call (router INTEGER, row_no INTEGER, spent HUGEINT);
        """)  # noqa: S608 - made of our own words and numbers
        connection.execute(sql_file(__package__, "scoring.sql"))
        return connection

    def close(self) -> None:
        """Give the connection back, so that the next scorer of the same numbers can use its views."""
        self._clear()
        databases.give_back(self._bank_file, self._key, self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The views of ``scoring.sql`` over what was scored last."""
        return self._connection

    def load(self, predictions: Sequence[Predictions]) -> None:
        """Load several routers' predictions, each for every row of the part."""
        self._clear()
        for number, each in enumerate(predictions):
            self._connection.execute(
                "INSERT INTO prediction SELECT $1, unnest($2::INTEGER[]), unnest($3::UTINYINT[])",
                [number, list(each.row_nos), list(each.tier_ids)],
            )
            if each.router_usd is not None:
                self._connection.execute(
                    "INSERT INTO own_call SELECT $1, unnest($2::INTEGER[]), unnest($3::HUGEINT[])",
                    [number, *_own_calls(each.row_nos, each.router_usd)],
                )
        self.bill()

    def load_columns(
        self, routers: NDArray[np.int32], row_nos: NDArray[np.int32], tier_ids: NDArray[np.uint8], *, error: int
    ) -> None:
        """Load the predictions of many routers as columns, each of shape (routers · rows,).

        Args:
            routers: router numbers.
            row_nos: row numbers; each row of the part for each router.
            tier_ids: predicted tiers.
            error: the value of ``tier_ids`` that means an error.
        """
        self._clear()
        columns = {"router": routers, "row_no": row_nos, "pred": tier_ids}  # noqa: F841 - DuckDB reads it by its name
        self._connection.execute("INSERT INTO prediction SELECT router, row_no, nullif(pred, $1) FROM columns", [error])
        self.bill()

    def _clear(self) -> None:
        self._connection.execute("TRUNCATE prediction; TRUNCATE own_call")

    def bill(self) -> None:
        """Compute the bills of what was loaded, once for all later queries."""
        self._connection.execute("""
            TRUNCATE scored;
            INSERT INTO scored FROM trajectory_bill;
            TRUNCATE workload_score;
            INSERT INTO workload_score FROM workload_rated;
        """)

    def headline(self) -> list[dict[str, float | None]]:
        """Return the four metrics and their mean, for each loaded router."""
        rows = self._connection.execute(f"SELECT {', '.join(SCORES)} FROM score ORDER BY router").fetchall()  # noqa: S608
        return [dict(zip(SCORES, row, strict=True)) for row in rows]

    def costs_and_passes(self) -> list[tuple[dict[str, float | None], float, int, int]]:
        """Return headline, cost in USD, trajectories that do not pass and error rows, for each loaded router."""
        rows = self._connection.execute(
            f"SELECT {', '.join(SCORES)}, cost_usd, trajectories - passed_trajectories, errors "  # noqa: S608
            "FROM score ORDER BY router"
        ).fetchall()
        of = len(SCORES)
        return [
            (dict(zip(SCORES, row[:of], strict=True)), float(row[of]), int(row[of + 1]), int(row[of + 2]))
            for row in rows
        ]

    def scores(self) -> list[Score]:
        """Return all results, for each loaded router."""
        self._connection.execute("TRUNCATE confusion; INSERT INTO confusion FROM target_by_prediction")
        workloads = _by_router(self._records("SELECT * FROM workload_score ORDER BY router, workload"))
        totals = _by_router(self._records("SELECT * FROM score"))
        ablations = _by_router(self._records("SELECT * FROM ablation"))
        confusions = _by_router(self._records("SELECT * FROM confusion"))
        patterns = _by_router(self._records("SELECT * FROM error_pattern"))
        legacy = _by_router(self._records("SELECT * FROM legacy"))
        return [
            _score(
                totals[router][0],
                workloads[router],
                ablations[router][0],
                confusions[router],
                patterns.get(router, []),
                {**legacy[router][0], "fallback_output_tokens": self._fallback_output_tokens},
            )
            for router in sorted(totals)
        ]

    def router_llm_costs(self) -> dict[int, RouterLlmCost]:
        """Return the cost of own LLM calls, for the loaded routers that made any."""
        if self._connection.execute("SELECT 1 FROM own_call LIMIT 1").fetchone() is None:
            return {}  # most routers never ask, and the view takes as long as a score
        rows = self._connection.execute("SELECT router, router_usd, cost_save_net FROM net").fetchall()
        return {router: RouterLlmCost(*row) for router, *row in rows}

    def parts(self) -> dict[int, TrajectoryParts]:
        """Return the contribution of each trajectory to the headline, for each loaded router."""
        from static_track.trajectory_parts import parts_by

        return parts_by(
            self._connection.execute("""
                SELECT router AS whose, workload, instance_id, group_name, rows, passing_rows, exact_rows,
                       rows_if_passing, d::BIGINT AS d, n::BIGINT AS n
                FROM trajectory_part ORDER BY router, workload, instance_id
            """)
        )

    def write_trajectories(self, path: Path, number: int, identity: Mapping[str, str | None]) -> None:
        """Write one loaded router's trajectories as a Parquet file, each with ``identity``; money is in USD."""
        constants = ", ".join(f"${name}::VARCHAR AS {name}" for name in identity)
        self._connection.execute(
            f"""
            COPY (
                SELECT {constants}, workload, instance_id, trajectory.group_name, scored.rows, errors,
                       scored.passing_rows, scored.exact_rows, passes, exact,
                       usd(high) AS high_usd, usd(target) AS target_usd, usd(pred) AS pred_usd,
                       d::DECIMAL(38, 0) AS d_fusd, n::DECIMAL(38, 0) AS n_fusd
                FROM scored JOIN trajectory USING (trajectory)
                     JOIN trajectory_part USING (router, workload, instance_id)
                WHERE router = $number ORDER BY trajectory
            ) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)
            """,  # noqa: S608 - made of our own words
            {**identity, "number": number},
        )

    def _records(self, query: str) -> list[dict[str, Any]]:
        result = self._connection.execute(query)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _by_router(records: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        grouped.setdefault(record.pop("router"), []).append(record)
    return grouped


def _score(
    total: Mapping[str, Any],
    workloads: Sequence[Mapping[str, Any]],
    ablation: Mapping[str, Any],
    confusion: Sequence[Mapping[str, Any]],
    patterns: Sequence[Mapping[str, Any]],
    legacy: Mapping[str, Any],
) -> Score:
    matrix = [[0] * (len(Tier) + 1) for _ in Tier]
    for cell in confusion:
        matrix[cell["target"]][cell["pred"]] = cell["rows"]
    counted = {record["pattern"]: int(record["rows"]) for record in patterns}
    return Score(
        scores={name: total[name] for name in SCORES},
        cost_usd=total["cost_usd"],
        counts={name: int(total[name]) for name in ("rows", "errors", "trajectories", "passed_trajectories")},
        by_workload={
            block["workload"]: {
                "rows": int(block["rows"]),
                "trajectories": block["trajectories"],
                "failed_trajectories": block["trajectories"] - block["passing_trajectories"],
                "d_usd": _usd(block["d"]),
                "n_usd": _usd(block["n"]),
                "cost_save": block["cost_save"],
                "weight": block["weight"],
                "high_tier_hit_rate": block["high_tier_hit_rate"],
            }
            for block in workloads
        },
        confusion=matrix,
        error_pattern={pattern: counted.get(pattern, 0) for pattern in PATTERNS},
        ablation={name.upper(): ablation[name] for name in "abcde"},
        legacy=_legacy(total, workloads, legacy),
    )


def _legacy(
    total: Mapping[str, Any], workloads: Sequence[Mapping[str, Any]], legacy: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The released scorer's blocks, under its names."""
    rows, errors = int(total["rows"]), int(total["errors"])
    return {
        "scores_v2": {
            "case_pass_rate_percent": total["row_pass"],
            "case_exact_match_percent": total["row_exact"],
            "trajectory_pass_rate_percent": total["traj_pass"],
            "cost_savings_score_percent": total["cost_save"],
            "combined_score_percent": total["combined"],
            "total_rows": rows,
            "error_rows": errors,
            "case_pass_count": sum(int(block["passing_rows"]) for block in workloads),
            "case_exact_count": sum(int(block["exact_rows"]) for block in workloads),
            "total_trajectories": int(total["trajectories"]),
            "passed_trajectories": int(total["passed_trajectories"]),
            "rows_in_passed_trajectories": sum(int(block["rows_of_passing_trajectories"]) for block in workloads),
            "by_benchmark": {
                block["workload"]: {
                    "row_count": int(block["rows"]),
                    "step_count": int(block["rows"] - block["errors"]),
                    "failed_trajectory_count": block["trajectories"] - block["passing_trajectories"],
                    "failed_retry_baseline_usd": _usd(block["failed_high"]),
                    "D_usd": _usd(block["d"]),
                    "N_usd": _usd(block["n"]),
                    "cost_savings_score_percent": block["cost_save"],
                    "weight_in_global_cost_savings": block["weight"],
                }
                for block in workloads
            },
        },
        "router_accounting": {
            "total_trajectories": int(total["trajectories"]),
            "passed_trajectories": int(total["passed_trajectories"]),
            "exact_match_trajectories": int(legacy["exact_trajectories"]),
            "evaluable_step_count": rows - errors,
            "skipped_step_count": errors,
            "D_usd": legacy["d_usd"],
            "N_usd": legacy["n_usd"],
            "pass_rate_percent": legacy["pass_rate"],
            "exact_match_rate_percent": legacy["exact_match_rate"],
            "accounting_savings_score_percent": legacy["accounting_savings"],
            "overall_score_percent": legacy["overall"],
            "fallback_output_tokens": legacy["fallback_output_tokens"],
        },
        "section_11": {
            "pass_rate": legacy["passed"] / rows,
            "passed": int(legacy["passed"]),
            "total": rows,
            "cost_savings_score": legacy["cost_savings_score"],
            "cost_score_cases_used": int(legacy["used"]),
            "sum_save_gt_usd": legacy["sum_save_gt_usd"],
            "sum_save_test_usd": legacy["sum_save_test_usd"],
            "assumed_completion_tokens_per_routing_step": 1_000_000,
            "baseline_tier": Tier.HIGH.label,
            "baseline_nominal_cost_per_step_usd": legacy["baseline_usd"],
            "cost_formula": "save_gt = baseline.cost - optimal_path.cost per §11.2 (nominal USD)",
        },
    }


def _own_calls(row_nos: Sequence[int], router_usd: Sequence[Decimal | None]) -> tuple[list[int], list[int]]:
    """Return the rows for which a router called an LLM itself, and the costs in femtodollars."""
    asked = [(row_no, int(usd.scaleb(15))) for row_no, usd in zip(row_nos, router_usd, strict=True) if usd is not None]
    return [row_no for row_no, _ in asked], [spent for _, spent in asked]


def _usd(femtodollars: int | None) -> float:
    return int(femtodollars or 0) / 1e15
