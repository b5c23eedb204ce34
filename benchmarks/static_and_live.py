"""Does static predict live? Scores on a bank of whole tasks beside the bills of rehearsals of the same tasks.

    python -m benchmarks.static_and_live RUNS [--bank NAME] [--seeds 6,7] [--workers N] [--resamples N] [--write]

Scores routers on the bank, rehearses them on its tasks under seeds that the bank was not built from, and says for each
static metric how well its order of routers is that of the bills: Spearman's rank correlation, with an interval by
task. ``RUNS`` gets the runs, and is continued. ``--write`` writes the tables to ``docs/evidence/static-and-live.md``.

One simulator answers in both tracks: this checks the machinery, and says nothing of real models.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

import twinbench as tb
from benchmarks import evidence
from dynamic_track.rehearsal.standings import RehearsalResult
from dynamic_track.results.live_score import case_means, trials_by_case
from dynamic_track.tasks.selection import TaskChoice
from static_track.evaluator import Evaluator
from static_track.metrics import SCORES
from static_track.trajectory_parts import IF_PASSING, D, N, TrajectoryParts, headline
from twinbench.display.markup import TextTable, markdown_table
from twinbench.statistics.clusters import Floats
from twinbench.storage.manifest_files import live_manifest

ROUTERS = (
    "always-low",
    "always-mid",
    "always-mid_high",
    "always-high",
    "random?mix=1:1:1:1",
    "random?mix=4:2:1:1",
    "random?mix=1:1:2:4",
    "round-robin",
    "round-robin?every=3",
    "depth-rule",
    "depth-rule?mid=8&high=16",
    "sticky?climbs=no&at_least=mid",
    "sticky",
    "sticky?at_least=mid",
)
"""Constants, random mixes, rules on depth, and sticky ones, of which those that climb after a failed command are
cascades."""

EXPECTED_BILL = "expected_bill"
METRICS = (*SCORES, EXPECTED_BILL)
TITLES = ("RowPass", "RowExact", "TrajPass", "CostSave", "Combined", "Expected bill")
SENTENCE = "One simulator answers in both tracks: this checks the machinery, and says nothing of real models."

_LEVEL = 0.95
_FEMTODOLLARS = 1e15


@dataclass(frozen=True)
class Both:
    """What both tracks say of the same routers on the same tasks."""

    routers: Sequence[str]
    tasks: Sequence[str]
    parts: Floats
    """Shape (routers, tasks, workloads, columns of ``static_track.trajectory_parts``): sums over the task's
    trajectories."""
    expected: Floats
    """Shape (routers, tasks): the mean expected bill of the task's trajectories, in USD."""
    bills: Floats
    """Shape (routers, tasks): the mean live bill of a trial, in USD."""

    def metrics(self, weights: Floats) -> Floats:
        """Compute every static metric, the higher the better.

        Args:
            weights: how often each task counts, shape (..., tasks).

        Returns:
            Shape (..., routers, metrics), in the order of ``METRICS``.
        """
        scores = headline(np.einsum("...t,rtwc->...rwc", weights, self.parts))
        expected = np.einsum("...t,rt->...r", weights, self.expected)
        return np.concatenate([scores, -expected[..., None]], axis=-1)

    def correlations(self, weights: Floats) -> Floats:
        """Compute Spearman's rank correlation of each metric with the bill, 1 where the order is the same.

        Args:
            weights: how often each task counts, shape (..., tasks).

        Returns:
            Shape (..., metrics); NaN where all routers tie.
        """
        bills = np.einsum("...t,rt->...r", weights, self.bills)
        ranks = rankdata(self.metrics(weights), axis=-2)
        return _correlation(ranks, rankdata(-bills, axis=-1)[..., None])


def _correlation(first: Floats, second: Floats) -> Floats:
    """Return Pearson's correlation along the last axis but one."""
    first, second = (each - each.mean(axis=-2, keepdims=True) for each in (first, second))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((first * second).sum(axis=-2) / np.sqrt((first**2).sum(axis=-2) * (second**2).sum(axis=-2)))


def correlation_table(both: Both, resamples: int, seed: int = 0) -> list[dict[str, float | str | None]]:
    """Return for each metric its rank correlation with the bill, and the interval of that by drawing tasks again.

    Args:
        both: the scores and bills.
        resamples: how often tasks are drawn again.
        seed: the seed of the draws.
    """
    tasks = len(both.tasks)
    drawn = np.random.default_rng(seed).multinomial(tasks, np.full(tasks, 1 / tasks), resamples).astype(float)
    point, resampled = both.correlations(np.ones(tasks)), both.correlations(drawn)
    found: list[dict[str, float | str | None]] = []
    for number, title in enumerate(TITLES):
        defined = resampled[~np.isnan(resampled[:, number]), number]
        low, high = np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]) if len(defined) else (np.nan, np.nan)
        found.append(
            {"metric": title, "correlation": _or_none(point[number]), "low": _or_none(low), "high": _or_none(high)}
        )
    return found


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def static_side(bank: tb.Bank, routers: Sequence[str]) -> dict[str, TrajectoryParts]:
    """Score routers on a bank; return each trajectory's part."""
    judge = Evaluator(bank)
    with judge.scorer() as scorer:
        scorer.load([judge.predictions(router) for router in routers])
        return dict(zip(routers, scorer.parts().values(), strict=True))


def together(parts: Mapping[str, TrajectoryParts], rehearsed: RehearsalResult) -> Both:
    """Put both sides together, for the tasks that have a verdict under every router.

    Args:
        parts: of each router, with the task of each trajectory as its group.
        rehearsed: the same routers, in the same order, on the same tasks.
    """
    routers = list(parts)
    trials = [
        trials_by_case([trial for run in rehearsed.runs if run.router == router for trial in run.summary.trials])
        for router in routers
    ]
    first = parts[routers[0]]
    tasks = sorted(set(first.groups).intersection(*trials))
    workloads = sorted(set(first.workloads))
    penalty = float(live_manifest().unresolved_penalty_usd)
    summed = np.zeros((len(routers), len(tasks), len(workloads), first.values.shape[1]))
    expected = np.zeros((len(routers), len(tasks)))
    bills = np.zeros((len(routers), len(tasks)))
    draws = Counter(first.groups)
    for number, router in enumerate(routers):
        each = parts[router]
        for workload, task, values in zip(each.workloads, each.groups, each.values.astype(float), strict=True):
            if task in tasks:
                place = tasks.index(task)
                passes = values[IF_PASSING] > 0
                cost = (values[D] - values[N] if passes else -values[N]) / _FEMTODOLLARS
                summed[number, place, workloads.index(workload)] += values
                expected[number, place] += (cost + (0 if passes else penalty)) / draws[task]
        bills[number] = case_means(trials[number], tasks)[:, 1:] @ [1, penalty]
    return Both(routers, tasks, summed, expected, bills)


def report(both: Both, seeds: Sequence[str], resamples: int) -> list[str]:
    """Return both tables and what has to be said of them, as lines of Markdown."""
    every = np.ones(len(both.tasks))
    metrics = both.metrics(every)
    bills = both.bills.sum(axis=1)
    order = np.argsort(bills)
    routers = TextTable(
        "",
        ("Router", *TITLES[:-1], "Expected bill, USD", "Live bill, USD"),
        [False, *[True] * (len(TITLES) + 1)],
        [
            [
                both.routers[number],
                *(f"{value:.2f}" for value in metrics[number, :-1]),
                f"{-metrics[number, -1]:.2f}",
                f"{bills[number]:.2f}",
            ]
            for number in order
        ],
        [False] * len(order),
        (),
    )
    found = correlation_table(both, resamples)
    correlations = TextTable(
        "",
        ("Metric", "Rank correlation with the bill", "95 % interval by task"),
        [False, True, True],
        [
            [
                str(each["metric"]),
                "–" if each["correlation"] is None else f"{each['correlation']:.2f}",
                "–" if each["low"] is None else f"{each['low']:.2f} to {each['high']:.2f}",
            ]
            for each in found
        ],
        [False] * len(found),
        (),
    )
    return [
        f"{len(both.routers)} routers, {len(both.tasks)} tasks; live under the seeds {', '.join(seeds)}. {SENTENCE}",
        "",
        markdown_table(correlations),
        "",
        markdown_table(routers),
    ]


def main() -> None:
    """Score, rehearse, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder of the runs")
    parser.add_argument("--bank", default=None, help="a bank of whole tasks; default: the embedded one")
    parser.add_argument("--store", default=None)
    parser.add_argument("--seeds", default="6,7", help="seeds of the rehearsals")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="keep the tables as evidence")
    options = parser.parse_args()
    seeds = options.seeds.split(",")
    with tb.open_bank(options.bank, store=options.store) as bank:
        parts = static_side(bank, ROUTERS)
    tasks = sorted(set(parts[ROUTERS[0]].groups))
    rehearsed = tb.rehearse(
        ROUTERS,
        TaskChoice(only=tuple(tasks)),
        runs=options.runs,
        seeds=seeds,
        workers=options.workers,
        resampling=None,
    )
    lines = report(together(parts, rehearsed), seeds, options.resamples)
    print("\n".join(lines))
    if options.write:
        evidence.write("static-and-live", "Does static predict live?", lines)


if __name__ == "__main__":
    main()
