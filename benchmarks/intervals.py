"""What intervals cost: drawing trajectories again, alone and as a part of ``static score``."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.measuring import Measurement, best_of, seconds
from benchmarks.static import BANK, TWINBENCH, a_command
from static_track.banks.importing import import_bank
from tests.banks import a_trajectory, write_jsonl
from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.intervals import bca_intervals
from twinbench.statistics.sampling import bootstrap
from twinbench.storage.store import Store

ROWS, RESAMPLES = 1000, 10_000


def measurements() -> Iterator[Measurement]:
    """All of them; on the real bank where it is, else on one of 154 trajectories made up."""
    yield from _drawing()
    with tempfile.TemporaryDirectory() as folder:
        yield _score(Path(folder))


def _drawing() -> Iterator[Measurement]:
    values = np.random.default_rng(0).random((ROWS, 2)) + np.array([0, 1])
    clusters = Clusters.from_names([f"{number:04}" for number in range(ROWS)])

    def ratio(sums: Floats) -> Floats:
        totals = sums.sum(axis=-2)
        return np.asarray(totals[..., :1] / totals[..., 1:])

    def ours() -> Floats:
        (drawn,) = bootstrap(clusters, [values], ratio, Resampling(RESAMPLES))
        return np.asarray(bca_intervals(drawn, 0.95)[0])

    def theirs() -> Floats:
        found = stats.bootstrap(
            (values[:, 0], values[:, 1]),
            lambda part, whole, axis: part.sum(axis) / whole.sum(axis),
            paired=True,
            n_resamples=RESAMPLES,
            method="BCa",
            random_state=np.random.default_rng(0),
        )
        return np.array(found.confidence_interval)

    assert np.allclose(ours(), theirs(), atol=0.002)
    taken, scipys = best_of(5, ours), best_of(5, theirs)
    what = f"{RESAMPLES:,} resamples of {ROWS:,} rows, BCa interval of a ratio"
    yield Measurement(what, seconds(taken), f"scipy.stats.bootstrap, {seconds(scipys)}", taken / scipys, 1)
    yield Measurement("the same in seconds", seconds(taken), "–", taken, 2, unit=" s")


def _score(folder: Path) -> Measurement:
    store = Store(folder / "store")
    path = BANK if BANK.is_file() else _write_bank(folder)
    import_bank(str(path), "bank", store)
    scored = (TWINBENCH, "static", "score", "depth-rule", "--bank", "bank")
    without = a_command(*scored, "--resamples", "0", store=store)
    drawn = a_command(*scored, store=store)
    without()
    before, after = best_of(7, without), best_of(7, drawn)
    against = f"--resamples 0, {seconds(before)}"
    return Measurement(
        "what intervals add to static score, process and all", seconds(after), against, after - before, 0.3, unit=" s"
    )


def _write_bank(folder: Path) -> Path:
    dice = random.Random(0)  # noqa: S311 - no secret
    rows = (
        row
        for number in range(154)
        for row in a_trajectory([dice.choice([0, 0, 1, 2, 3]) for _ in range(5)], instance=f"i-{number}")
    )
    return write_jsonl(folder / "bank.jsonl", rows)
