"""The results of a rehearsal: scores with intervals, tests of pairs, ranks.

The unit is the task: a task under several seeds is one task that was run several times, and its runs are similar. So
intervals, tests and ranks resample, compare and swap tasks, each with all its seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dynamic_track.rehearsal.rehearsal_runs import Rehearsal, RehearsalRun
from dynamic_track.running.origin import Origin
from dynamic_track.running.score import RunScore, give_up_usd, score_trials
from twinbench.display.frames import Tabular
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import rank_columns
from twinbench.storage.manifests import LiveManifest

if TYPE_CHECKING:
    from twinbench.statistics.bills import BillDifference

Interval = tuple[float, float]


@dataclass(frozen=True)
class RouterStanding:
    """The results of a router over all seeds of a rehearsal. Money is in USD for one run of all tasks, averaged over
    the seeds.
    """

    router: str
    score: RunScore
    """The score of the trials of all seeds together."""
    tasks: int
    seeds: int
    intervals: Mapping[str, Interval | None] | None
    """The intervals of ``bill_usd``, ``cost_usd`` and ``resolved``; None if none were requested."""
    no_interval: str | None
    rank: tuple[int, int] | None
    """The best and the worst possible rank by the bill; None if no ranks were requested, or the router failed."""

    @property
    def failure(self) -> str | None:
        """How the router failed as a whole, as the end of a sentence; None if it did not."""
        return self.score.router_failure if self.score.not_loaded is None else "could not be loaded"

    @property
    def failure_notes(self) -> list[str]:
        """What failed and why, for people."""
        if self.score.not_loaded is not None:
            return [f"{self.score.not_loaded}; no case was run"]
        return self.score.failure_notes(self.router, bill_usd=self.headline["bill_usd"])

    @property
    def headline(self) -> dict[str, float | None]:
        """The main figures: ``resolved`` as a percentage of the trials with a verdict."""
        judged = self.score.count("resolved") + self.score.count("unresolved")
        return {
            "bill_usd": float(self.score.bill_usd) / self.seeds,
            "cost_usd": float(self.score.cost_usd) / self.seeds,
            "penalty_usd": float(self.score.penalty_usd) / self.seeds,
            "resolved": 100 * self.score.count("resolved") / judged if judged else None,
            "avg_steps": self.score.avg_steps,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the router as an entry of ``routers``."""
        ends = None if self.intervals is None else {n: each and list(each) for n, each in self.intervals.items()}
        return {
            "router": self.router,
            "reference": False,
            "scores": self.headline,
            "counts": {what: self.score.count(what) for what in ("resolved", "unresolved", "infra", "cap")},
            "tasks": self.tasks,
            "seeds": self.seeds,
            "models": self.score.models,
            **self.score.failures(),
            "router_failure": self.failure,
            "not_loaded": self.score.not_loaded,
            "intervals": ends,
            "no_interval": self.no_interval,
            "rank": None if self.rank is None else list(self.rank),
        }


@dataclass(frozen=True)
class RouterPair:
    """Two routers, compared task by task."""

    first: str
    second: str
    bill: BillDifference
    """The difference of the bills (first minus second) of one run of all tasks for which both have a verdict, in USD.
    """
    p_holm: float | None
    """The p-value after Holm's correction for all pairs of the rehearsal."""

    def to_json(self) -> dict[str, Any]:
        """Return the pair as an entry of ``pairs``."""
        return {
            "first": self.first,
            "second": self.second,
            "bill_usd": {
                "difference": self.bill.difference_usd,
                "interval": self.bill.ends and list(self.bill.ends),
                "no_interval": self.bill.reason,
                "p": self.bill.p,
                "p_holm": self.p_holm,
                "needed_tasks": self.bill.needed_cases,
            },
        }


@dataclass(frozen=True)
class Standings:
    """The results of all routers of a rehearsal."""

    routers: Sequence[RouterStanding]
    """The results of each router, in the order in which the routers were named."""
    pairs: Sequence[RouterPair]
    """Empty if no tests were requested."""


@dataclass(frozen=True, repr=False)
class RehearsalResult(Tabular):
    """The runs of a rehearsal, and what they say about the routers."""

    rehearsal: Rehearsal
    runs: Sequence[RehearsalRun]
    """Router by router in the order in which they were named, and for each router seed by seed."""
    folder: Path
    """Where the run directories are."""
    resampling: Resampling | None
    """How tasks are resampled; None: no intervals were requested."""

    @cached_property
    def standings(self) -> Standings:
        """The results of the routers over all seeds."""
        return compute_standings(self.runs, self.rehearsal.pool, self.resampling)

    @property
    def caveat(self) -> str:
        """The note that nothing in the result comes from real models."""
        return f"{Origin.rehearsal.heading}."

    @property
    def give_up_bill_usd(self) -> float:
        """The bill of submitting nothing on every task."""
        return float(give_up_usd(len(self.rehearsal.tasks), self.rehearsal.pool))

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "simulated": Origin.rehearsal.value,
            "pool": self.rehearsal.pool.name,
            "skills": self.rehearsal.sources.get("skills"),
            "simulation": self.rehearsal.simulation_fingerprint,
            "tasks": len(self.rehearsal.tasks),
            "seeds": list(self.rehearsal.seeds),
            "resampling": None if self.resampling is None else asdict(self.resampling),
            "routers": [each.to_json() for each in self.standings.routers],
            "pairs": [each.to_json() for each in self.standings.pairs],
            "give_up_bill_usd": self.give_up_bill_usd,
            "runs": [
                {
                    "router": run.router,
                    "seed": run.seed,
                    "run": run.summary.run,
                    **run.summary.score.to_json(),
                    "router_failure": run.summary.router_failure,
                    "not_loaded": run.summary.score.not_loaded,
                    "trials": [trial.summary_fields() for trial in run.summary.trials],
                }
                for run in self.runs
            ],
        }

    number_columns: ClassVar = frozenset({"bill_low", "bill_high", "rank_best", "rank_worst"})

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each router."""
        found = []
        for each in self.standings.routers:
            low, high = (each.intervals or {}).get("bill_usd") or (None, None)
            found.append(
                {
                    "router": each.router,
                    **each.headline,
                    "bill_low": low,
                    "bill_high": high,
                    **rank_columns(each.rank),
                    "tasks": each.tasks,
                    "seeds": each.seeds,
                    "router_errors": each.score.router_errors,
                    "router_failure": each.failure,
                }
            )
        return found


def compute_standings(runs: Sequence[RehearsalRun], pool: LiveManifest, resampling: Resampling | None) -> Standings:
    """Summarise a rehearsal by router. A router that failed as a whole is not tested, and has no rank.

    Args:
        runs: the runs of one rehearsal, as ``rehearse`` returns them; a router that was named twice counts twice.
        pool: contains the penalty.
        resampling: how tasks are resampled; None: no intervals, tests and ranks.
    """
    from dynamic_track.results.live_score import case_means, case_sums, trials_by_case
    from twinbench.statistics.bills import compare_all, run_intervals

    seeds = len({run.seed for run in runs})
    by_router = [runs[start : start + seeds] for start in range(0, len(runs), seeds)]
    scores = [_of_all_seeds(of_one, pool) for of_one in by_router]
    by_task = [trials_by_case(score.trials) for score in scores]
    penalty_usd = float(pool.unresolved_penalty_usd)
    tested = [
        number for number, score in enumerate(scores) if score.router_failure is None and score.not_loaded is None
    ]
    shared = sorted(set.intersection(*(set(by_task[number]) for number in tested))) if tested else []
    ranks: dict[int, tuple[int, int]] = {}
    pairs: list[RouterPair] = []
    if resampling is not None and shared:
        means = [case_means(by_task[number], shared) for number in tested]
        compared = compare_all(shared, means, penalty_usd, resampling)
        ranks = dict(zip(tested, compared.ranks, strict=True))
        both = combinations([by_router[number] for number in tested], 2)
        pairs = [
            RouterPair(one[0].router, other[0].router, bill, None if bill.p is None else p)
            for (one, other), bill, p in zip(both, compared.pairs, compared.p_holm, strict=True)
        ]
    found = []
    for number, (of_one, score, trials) in enumerate(zip(by_router, scores, by_task, strict=True)):
        tasks = sorted(trials)
        intervals, reason = (
            run_intervals(tasks, case_sums(trials[task] for task in tasks), penalty_usd, resampling)
            if tasks
            else ({}, "no task has a verdict")
        )
        money = {name: None if ends is None else _per_run(name, ends, seeds) for name, ends in intervals.items()}
        found.append(
            RouterStanding(
                router=of_one[0].router,
                score=score,
                tasks=len({trial.id for trial in score.trials}),
                seeds=seeds,
                intervals=None if resampling is None else money,
                no_interval=None if resampling is None else reason,
                rank=ranks.get(number),
            )
        )
    return Standings(found, pairs)


def _of_all_seeds(runs: Sequence[RehearsalRun], pool: LiveManifest) -> RunScore:
    """The score of a router's runs under all seeds together."""
    not_loaded = next((why for run in runs if (why := run.summary.score.not_loaded) is not None), None)
    return score_trials([trial for run in runs for trial in run.summary.trials], pool, not_loaded=not_loaded)


def _per_run(name: str, ends: Interval, seeds: int) -> Interval:
    """Convert an interval for all seeds together to one run of all tasks; a share stays unchanged."""
    return ends if name == "resolved" else (ends[0] / seeds, ends[1] / seeds)
