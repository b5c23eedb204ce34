"""The store's cache of predictions and scores, each under the fingerprint of everything it depends on."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import duckdb

from static_track.banks.databases import Version, file_version
from static_track.metrics import SCORES
from static_track.predictions import Predictions, failure_text
from static_track.scoring import RouterLlmCost, Score, Scorer
from twinbench.routing.tiers import Tier
from twinbench.sql import sql_file, sql_text
from twinbench.storage.parquet_files import Column, write_columns
from twinbench.storage.store import Store

if TYPE_CHECKING:
    from static_track.trajectory_parts import TrajectoryParts

LATENCIES = ("p50", "p95", "p99")

_WORKLOAD_COLUMNS = dict.fromkeys(("rows", "trajectories", "failed_trajectories"), "BIGINT") | dict.fromkeys(
    ("d_usd", "n_usd", "cost_save", "weight", "high_tier_hit_rate"), "DOUBLE"
)

_MOST_REMEMBERED = 64
_recent_scores: OrderedDict[tuple[Path, Version, bool], CachedScore] = OrderedDict()
"""Scores that this process has read, by file; references are needed for every table."""
_recent_scores_lock = threading.Lock()

READ_ERRORS = (duckdb.Error, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)
"""Errors of reading a cached result that is damaged, misplaced or of another release; it is then computed again."""


def percentiles(latencies_ms: Sequence[float] | None) -> dict[str, float | None]:
    """Return the percentiles in ``LATENCIES``, by name; None if nothing was measured."""
    if not latencies_ms:
        return dict.fromkeys(LATENCIES)
    if len(latencies_ms) == 1:
        return dict.fromkeys(LATENCIES, latencies_ms[0])
    cuts = quantiles(latencies_ms, n=100, method="inclusive")
    return {name: cuts[int(name[1:]) - 1] for name in LATENCIES}


@dataclass(frozen=True)
class PredictionsIdentity:
    """The key of cached predictions."""

    predictions: str
    """The fingerprint under which they are cached."""
    router: str
    router_fingerprint: str | None
    bank: str
    bank_sha256: str
    split: str | None
    protocol: str
    order_seed: str | None
    """Seed of the order in which the router saw trajectories; None for references that see labels."""
    caveat: str | None
    """The caveat that must accompany numbers of the bank."""


@dataclass(frozen=True)
class ScoreIdentity(PredictionsIdentity):
    """The key of a cached score: predictions, under one version of the scoring."""

    fingerprint: str


@dataclass(frozen=True)
class CachedScore:
    """A score, with how long its router took to decide."""

    score: Score
    latency_ms: Mapping[str, float | None]
    first_error: str | None = None
    given_up: bool = False
    """Whether the router was stopped; such a score is shown but never cached."""
    own: RouterLlmCost | None = None
    """The cost of the router's own LLM calls, in USD; None if it made none."""
    parts: TrajectoryParts | None = None
    """The contribution of each trajectory; None if it was not requested."""
    in_sample: bool = False
    """Whether a prediction file says that its router was trained on these rows; scores of files are not stored."""

    @property
    def failure(self) -> str | None:
        """How the router failed as a whole, as the end of a sentence; None if it did not."""
        counts = self.score.counts
        return failure_text(given_up=self.given_up, rows=counts["rows"], errors=counts["errors"])


class ResultCache:
    """The cached predictions and scores of a store."""

    def __init__(self, store: Store, connection: duckdb.DuckDBPyConnection | None = None) -> None:
        """Use a store.

        Args:
            store: the store with the results.
            connection: a DuckDB connection to read and write files with; default: a new one, which takes longer to open
                than most files take to read.
        """
        self._store = store
        self._connection = connection or duckdb.connect()

    def predictions(self, fingerprint: str, row_nos: Sequence[int]) -> Predictions | None:
        """Return cached predictions for these rows; None if there are none."""
        path = self.predictions_file(fingerprint)
        if not path.is_file():
            return None
        with self._connection.cursor() as connection:
            try:
                return _read_predictions(connection, path, row_nos)
            except READ_ERRORS:
                self._store.discard(path.parent)
                return None

    def store_predictions(
        self, identity: PredictionsIdentity, predictions: Predictions, row_ids: Sequence[str]
    ) -> None:
        """Cache predictions."""
        size = len(predictions.row_nos)
        asked = list(predictions.latencies_ms or ())
        columns = [
            ("row_no", "INTEGER", predictions.row_nos),
            ("id", "VARCHAR", [row_ids[row_no] for row_no in predictions.row_nos]),
            ("tier_id", "UTINYINT", predictions.tier_ids),
            ("error", "VARCHAR", [predictions.errors.get(row_no) for row_no in predictions.row_nos]),
            # Rows after a router was stopped were not asked, so they have no latency.
            ("latency_ms", "DOUBLE", asked + [None] * (size - len(asked))),
            ("score", "DOUBLE", predictions.scores or [None] * size),
            ("rationale", "VARCHAR", predictions.rationales or [None] * size),
            ("router_usd", "DECIMAL(38, 15)", predictions.router_usd or [None] * size),
            *((name, "VARCHAR", [value] * size) for name, value in asdict(identity).items()),
        ]
        path = self.predictions_file(identity.predictions)
        with self._write_aside(path.parent) as (folder, connection):
            write_columns(connection, folder / path.name, columns)

    def scores(self, fingerprints: Sequence[str], *, parts: bool = False) -> dict[str, CachedScore]:
        """Return the scores that are cached, by fingerprint.

        Args:
            fingerprints: fingerprints of scores.
            parts: whether to read the contribution of each trajectory too.
        """
        found: dict[str, CachedScore] = {}
        paths = [path for name in fingerprints if (path := self._score_file(name)).is_file()]
        with self._connection.cursor() as connection:
            try:
                found = _cached_scores(connection, paths, parts)
            except READ_ERRORS:
                for path in paths:
                    try:
                        found |= _cached_scores(connection, [path], parts)
                    except READ_ERRORS:
                        self._store.discard(path.parent)
        return found

    def store_score(self, identity: ScoreIdentity, kept: CachedScore, scorer: Scorer, number: int) -> None:
        """Cache a score.

        Args:
            identity: the key of the score.
            kept: the score.
            scorer: still loaded with the predictions.
            number: which of the loaded predictions it is.
        """
        who = asdict(identity)
        metrics = {name: kept.score.scores[name] for name in SCORES}
        counts = dict(kept.score.counts)
        own = asdict(kept.own) if kept.own is not None else dict.fromkeys(("router_usd", "cost_save_net"))
        latency = {f"latency_{name}_ms": kept.latency_ms[name] for name in LATENCIES}
        detail = json.dumps(
            {
                "score": kept.score.to_json(legacy=True),
                "latency_ms": dict(kept.latency_ms),
                "first_error": kept.first_error,
                "own": None if kept.own is None else asdict(kept.own),
            }
        )
        path = self._score_file(identity.fingerprint)
        with self._write_aside(path.parent) as (folder, connection):
            columns: list[Column] = [
                *((name, "VARCHAR", [value]) for name, value in who.items()),
                *((name, "DOUBLE", [value]) for name, value in (metrics | own | latency).items()),
                *((name, "BIGINT", [value]) for name, value in counts.items()),
                ("detail", "JSON", [detail]),
            ]
            write_columns(connection, folder / path.name, columns)
            blocks = kept.score.by_workload
            columns = [
                *((name, "VARCHAR", [value] * len(blocks)) for name, value in who.items()),
                ("workload", "VARCHAR", list(blocks)),
                *((name, kind, [block[name] for block in blocks.values()]) for name, kind in _WORKLOAD_COLUMNS.items()),
            ]
            write_columns(connection, folder / "workloads.parquet", columns)
            scorer.write_trajectories(folder / "trajectories.parquet", number, who)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection with the views of ``results.sql`` over the cached results; views without any file are
        left out.
        """
        connection = duckdb.connect()
        root = sql_text(self._store.root.resolve())[1:-1]
        for statement in connection.extract_statements(sql_file(__package__, "results.sql").format(root=root)):
            try:
                connection.execute(statement)
            except duckdb.IOException:  # nothing of this kind is cached yet
                continue
        return connection

    @contextmanager
    def _write_aside(self, path: Path) -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
        with self._store.replacing(path) as folder, self._connection.cursor() as connection:
            try:
                folder.mkdir()
                yield folder, connection
            except (OSError, duckdb.IOException) as error:
                raise self._store.write_error(path, error) from None

    def predictions_file(self, fingerprint: str) -> Path:
        """Return the file in which predictions with a fingerprint are cached."""
        return self._store.root / "predictions" / fingerprint / "predictions.parquet"

    def _score_file(self, fingerprint: str) -> Path:
        return self._store.root / "scores" / fingerprint / "score.parquet"


def _read_predictions(connection: duckdb.DuckDBPyConnection, path: Path, wanted: Sequence[int]) -> Predictions:
    """Read the predictions of a file.

    Raises:
        ValueError, duckdb.Error: the file belongs to another fingerprint or other rows.
    """
    query = """
        SELECT row_no, tier_id, error, latency_ms, score, rationale, router_usd, predictions
        FROM read_parquet(?) ORDER BY row_no
    """
    rows = connection.execute(query, [str(path)]).fetchall()
    row_nos, tier_ids, errors, latencies, scores, rationales, router_usd, of = zip(*rows, strict=True)
    known = {None, *map(int, Tier)}
    if list(row_nos) != list(wanted) or set(of) != {path.parent.name} or not set(tier_ids) <= known:
        raise ValueError("other rows, or another router's")
    measured = [latency for latency in latencies if latency is not None]
    return Predictions(
        row_nos=row_nos,
        tier_ids=tier_ids,
        errors={row_no: error for row_no, error in zip(row_nos, errors, strict=True) if error is not None},
        latencies_ms=measured or None,
        scores=scores,
        rationales=rationales,
        router_usd=None if set(router_usd) == {None} else router_usd,
    )


def _cached_scores(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], parts: bool) -> dict[str, CachedScore]:
    """Return the score in each file, by fingerprint."""
    keys = {path: (path, file_version(path), parts) for path in paths}
    with _recent_scores_lock:
        found = {path.parent.name: _recent_scores[key] for path, key in keys.items() if key in _recent_scores}
        found |= _read_scores(connection, [path for path in paths if path.parent.name not in found], parts)
        for path, key in keys.items():
            _recent_scores[key] = found[path.parent.name]
            _recent_scores.move_to_end(key)
        while len(_recent_scores) > _MOST_REMEMBERED:
            _recent_scores.popitem(last=False)
    return found


def _read_scores(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], parts: bool) -> dict[str, CachedScore]:
    if not paths:
        return {}
    query = "SELECT fingerprint, detail FROM read_parquet(?)"
    rows = connection.execute(query, [[str(path) for path in paths]]).fetchall()
    added = _kept_parts(connection, paths) if parts else dict.fromkeys((name for name, _ in rows), None)
    found = {name: _to_cached_score(json.loads(detail), added[name]) for name, detail in rows}
    for each in found.values():
        if each.parts is not None and each.parts.metrics() != dict(each.score.scores):
            raise ValueError("its trajectories are not those of the score")
    return found


def _kept_parts(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> Mapping[str, TrajectoryParts]:
    from static_track.trajectory_parts import parts_by

    query = """
        SELECT fingerprint AS whose, workload, instance_id, group_name, rows, passing_rows, exact_rows,
               CASE WHEN passes THEN rows ELSE 0 END AS rows_if_passing, d_fusd::BIGINT AS d, n_fusd::BIGINT AS n
        FROM read_parquet(?) ORDER BY fingerprint, workload, instance_id
    """
    return parts_by(connection.execute(query, [[str(path.with_name("trajectories.parquet")) for path in paths]]))


def _to_cached_score(detail: Mapping[str, Any], parts: TrajectoryParts | None) -> CachedScore:
    score = detail["score"]
    named = ("scores", "cost_usd", "counts", "by_workload", "confusion", "error_pattern", "ablation")
    legacy = {name: block for name, block in score.items() if name not in named}
    return CachedScore(
        Score(**{name: score[name] for name in named}, legacy=legacy),
        detail["latency_ms"],
        detail["first_error"],
        own=None if detail["own"] is None else RouterLlmCost(**detail["own"]),
        parts=parts,
    )
