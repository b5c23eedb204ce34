"""Scores of runs: the bill with intervals, further figures, and case-by-case comparisons of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import combinations
from statistics import quantiles
from typing import TYPE_CHECKING, Any, ClassVar

from dynamic_track.results.loading import LoadedRun, call_rows, case_rows
from dynamic_track.running.score import RunScore, give_up_usd
from dynamic_track.running.trial import TrialOutcome
from twinbench.display.frames import Tabular, make_data_frame
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage
from twinbench.statistics import Resampling

if TYPE_CHECKING:
    from twinbench.statistics.clusters import Floats
    from twinbench.statistics.comparing import McNemar

_DEFAULT_RESAMPLING = Resampling()

PENALTIES = ("0", "0.15", "0.3", "0.6", "1.2")
"""Penalties of an unresolved case in USD, to show how the ranking depends on it."""


@dataclass(frozen=True, repr=False)
class LiveScore(Tabular):
    """A run's score, with everything that dynamic.md reports beside the bill; money is in USD."""

    run: LoadedRun
    score: RunScore
    exclude_infra: bool
    intervals: Mapping[str, tuple[float, float] | None]
    """Intervals of the bill and the cost of all cases, and of the resolved share in percent; None if there are too few
    cases."""
    no_interval: str | None
    """Why there are no intervals, if there are none."""

    number_columns: ClassVar = frozenset({"bill_usd", "reported_usd"})

    def records(self) -> list[dict[str, Any]]:
        """A row for each trial."""
        return case_rows(self.run)

    def calls(self, kind: str | None = None) -> Any:
        """Return the answered calls as a data frame; argument as for ``df``."""
        return make_data_frame(call_rows(self.run), kind, ("reported_cost_usd", "latency_s", "decision_ms", "score"))

    @property
    def latency_ms(self) -> dict[str, float | None]:
        """Percentiles of the router's decision time, in milliseconds."""
        decisions = [call.decision for call in self.run.calls() if call.decision is not None]
        taken = [decision.latency_ms for decision in decisions if decision.latency_ms is not None]
        if len(taken) < 2:
            return dict.fromkeys(("p50", "p95"), taken[0] if taken else None)
        cuts = quantiles(taken, n=100, method="inclusive")
        return {"p50": cuts[49], "p95": cuts[94]}

    @property
    def switches(self) -> int:
        """The number of calls that went to another candidate than the previous call."""
        return sum(
            call.earlier is not None and call.earlier.reserve.candidate != call.candidate for call in self.run.calls()
        )

    @property
    def broken_cache_usd(self) -> float:
        """The extra cost of prompts that a model had seen in the same trial, but that were not read from its cache."""
        prices = {candidate.id: candidate.prices.prices() for candidate in self.run.pool.candidates}
        seen: dict[tuple[str, int, str], int] = {}
        total = Decimal(0)
        for call in self.run.calls():
            key, usage, price = (call.case, call.trial, call.candidate), call.usage, prices[call.candidate]
            prompt = usage.prompt_tokens
            missed = max(min(seen.get(key, 0), prompt) - usage.cache_read, 0)
            written = min(missed, usage.cache_write)
            paid = Usage(missed - written, 0, written, 0, min(written, usage.cache_write_1h)).cost_usd(price)
            total += paid - Usage(cache_read=missed).cost_usd(price)
            seen[key] = prompt
        return float(total)

    @property
    def lost_usd(self) -> float:
        """The cost of attempts without a counted answer: retries, kills, and trials that were started over."""
        return float(self.score.spend_usd - self.score.cost_usd)

    @property
    def reported_usd(self) -> float | None:
        """The provider's reported cost of the answers; None unless it reported a cost for every answer."""
        told = [trial.reported_usd for trial in self.score.trials]
        return None if not told or None in told else float(sum((each for each in told if each is not None), Decimal(0)))

    def to_json(self) -> dict[str, Any]:
        """The score as a JSON object, with every case."""
        by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for trial in self.score.trials:
            by_case[trial.id].append(trial.to_json())
        score = self.score
        resolved = score.count("resolved")
        return {
            **score.to_json(),
            "run": str(self.run.path),
            "router": self.run.router,
            "simulated": self.run.simulated,
            "about": self.run.origin.value,
            "pool": {"name": self.run.pool.name, "fingerprint": self.run.pool.fingerprint},
            "division": self.run.pool.division,
            "fingerprint": self.run.fingerprint,
            "exclude_infra": self.exclude_infra,
            "unended": self.run.unended,
            "intervals": {name: None if ends is None else list(ends) for name, ends in self.intervals.items()},
            "no_interval": self.no_interval,
            "cost_per_resolved_usd": float(score.cost_usd) / resolved if resolved else None,
            "give_up_usd": float(give_up_usd(len(score.trials), self.run.pool)),
            "tiers": score.tier_shares(self.run.pool),
            "switches": self.switches,
            "latency_ms": self.latency_ms,
            "broken_cache_usd": self.broken_cache_usd,
            "lost_usd": self.lost_usd,
            "reported_usd": self.reported_usd,
            "by_case": dict(by_case),
        }


def live_score(
    run: LoadedRun, resampling: Resampling | None = _DEFAULT_RESAMPLING, *, exclude_infra: bool = False
) -> LiveScore:
    """Score a run.

    Args:
        run: a loaded run.
        resampling: the resampling for intervals, clustered by case; None: no intervals.
        exclude_infra: leave cases without a verdict out of every total, as the released scorer does.
    """
    score = run.score
    if exclude_infra:
        score = RunScore(tuple(trial for trial in score.trials if trial.bill_usd is not None), score.penalty_usd_each)
    intervals, reason = score_intervals(score, resampling)
    return LiveScore(run, score, exclude_infra, intervals, reason)


def score_intervals(
    score: RunScore, resampling: Resampling | None
) -> tuple[dict[str, tuple[float, float] | None], str | None]:
    """Return the intervals of ``LiveScore``, clustered by case, and why there are none if there are none."""
    from twinbench.statistics.bills import run_intervals

    by_case = trials_by_case(score.trials)
    return run_intervals(list(by_case), case_sums(by_case.values()), float(score.penalty_usd_each), resampling)


def case_sums(cases: Iterable[Sequence[TrialOutcome]]) -> Floats:
    """Return for each case its number of trials, their cost in USD, and how many of them are unresolved."""
    import numpy as np

    return np.array(
        [
            (
                len(trials),
                float(sum((trial.cost_usd for trial in trials), Decimal(0))),
                sum(not trial.resolved for trial in trials),
            )
            for trials in cases
        ],
        np.float64,
    ).reshape(-1, 3)


@dataclass(frozen=True, repr=False)
class RunComparison(Tabular):
    """A comparison of two runs on the cases for which both have a verdict; the first minus the second."""

    first: LoadedRun
    second: LoadedRun
    cases: int
    bill_usd: float
    """The difference of the bills of these cases."""
    interval_usd: tuple[float, float] | None
    p: float | None
    no_interval: str | None
    resolved: McNemar
    """Cases that only one of the runs resolves; the majority of a case's trials counts."""
    needed_cases: int | None
    """Cases needed to detect such a difference of bills with power 0.8, if it is the true one."""
    contested: tuple[ContestedCase, ...]
    """Cases whose trials have different verdicts, within a run or between the runs."""

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {
            "first": {"run": str(self.first.path), "router": self.first.router},
            "second": {"run": str(self.second.path), "router": self.second.router},
            "simulated": self.first.simulated or self.second.simulated,
            "cases": self.cases,
            "bill_usd": {
                "difference": self.bill_usd,
                "interval": None if self.interval_usd is None else list(self.interval_usd),
                "no_interval": self.no_interval,
                "p": self.p,
                "needed_cases": self.needed_cases,
            },
            "resolved": asdict(self.resolved),
            "contested": [asdict(each) for each in self.contested],
        }

    def records(self) -> list[dict[str, Any]]:
        """A row for each contested case."""
        return [asdict(each) for each in self.contested]


@dataclass(frozen=True)
class ContestedCase:
    """A case with different verdicts: how many of its trials each run resolved."""

    case: str
    first_resolved: int
    first_trials: int
    second_resolved: int
    second_trials: int
    bill_usd: float
    """By how much the first run's mean bill per trial is higher."""


def compare_two_runs(
    first: LoadedRun, second: LoadedRun, resampling: Resampling = _DEFAULT_RESAMPLING
) -> RunComparison:
    """Compare two runs case by case.

    Raises:
        UsageError: they differ in more than the router, or share no case.
    """
    from twinbench.statistics.bills import compare_bills
    from twinbench.statistics.comparing import mcnemar

    if first.table_fingerprint != second.table_fingerprint:
        raise UsageError(
            f"{first.path} and {second.path} differ in more than their router ({_what_differs(first, second)}): their "
            "bills cannot be compared"
        )
    one, other = trials_by_case(first.trials), trials_by_case(second.trials)
    cases = sorted(one.keys() & other.keys())
    if not cases:
        raise UsageError(f"{first.path} and {second.path} share no case with a verdict")
    won = [[_majority(side[case]) for case in cases] for side in (one, other)]
    contested = [_make_contested_case(case, one[case], other[case]) for case in cases]
    penalty_usd = float(first.pool.unresolved_penalty_usd)
    bills = compare_bills(cases, case_means(one, cases), case_means(other, cases), penalty_usd, resampling)
    return RunComparison(
        first=first,
        second=second,
        cases=len(cases),
        bill_usd=bills.difference_usd,
        interval_usd=bills.ends,
        p=bills.p,
        no_interval=bills.reason,
        resolved=mcnemar(won[0], won[1]),
        needed_cases=bills.needed_cases,
        contested=tuple(each for each in contested if each is not None),
    )


GIVE_UP = "give up"
"""The name of the reference that submits nothing, among runs that are named by their paths."""


def rankings_by_penalty(
    runs: Sequence[LoadedRun], resampling: Resampling | None = _DEFAULT_RESAMPLING
) -> list[dict[str, Any]]:
    """Rank the runs, and a baseline that gives up on every case, at several penalties for an unresolved case; lowest
    bill first.

    Args:
        runs: the runs of one table.
        resampling: the resampling for the tests behind ``ranks``; None: nothing is tested.
    """
    by_run = {str(run.path): run.trials for run in runs}
    found = []
    for amount in PENALTIES:
        penalty = Decimal(amount)
        bills = {
            str(run.path): float(
                sum((trial.cost_usd for trial in run.trials if trial.bill_usd is not None), Decimal(0))
                + penalty * run.score.count("unresolved")
            )
            for run in runs
        }
        bills[GIVE_UP] = float(penalty * max((len(run.trials) for run in runs), default=0))
        ranks = bill_ranks(by_run, penalty, resampling)
        found.append(
            {
                "penalty_usd": float(penalty),
                "ranking": sorted(bills, key=lambda name: bills[name]),
                "bills": bills,
                "ranks": None if ranks is None else {name: list(rank) for name, rank in ranks.items()},
            }
        )
    return found


def failed_runs(runs: Iterable[LoadedRun]) -> list[LoadedRun]:
    """Return the runs whose router failed as a whole: they have no rank, and take no part in tests."""
    return [run for run in runs if run.score.router_failure is not None]


def bill_ranks(
    runs: Mapping[str, Sequence[TrialOutcome]], penalty_usd: Decimal, resampling: Resampling | None
) -> dict[str, tuple[int, int]] | None:
    """Return the range of ranks, from best to worst, of the bill of each run and of giving up.

    Only the cases for which all runs have a verdict count, each once. A run is behind another only if their difference
    is significant, corrected for all pairs (Holm).

    Args:
        runs: the runs' trials, by name.
        penalty_usd: the penalty of an unresolved case.
        resampling: how cases are resampled; None: nothing is tested, and there are no ranks.
    """
    import numpy as np

    from twinbench.statistics.bills import rank_bills

    by_case = {name: trials_by_case(trials) for name, trials in runs.items()}
    cases = sorted(set.intersection(*(set(each) for each in by_case.values())))
    each_case = {name: case_means(found, cases) for name, found in by_case.items()}
    each_case[GIVE_UP] = np.tile([1.0, 0.0, 1.0], (len(cases), 1))
    return rank_bills(cases, each_case, float(penalty_usd), resampling)


def order_text(
    ranking: Sequence[str], ranks: Mapping[str, Sequence[int]] | None, shown: Callable[[str], str] = str
) -> str:
    """Format a ranking in one line: ``<`` if all runs before it are significantly cheaper than all after it, else a
    comma.

    Args:
        ranking: the names, cheapest first.
        ranks: ranges of ranks by name; None if nothing was tested.
        shown: converts a name for display.
    """
    text = shown(ranking[0])
    for place, name in enumerate(ranking[1:], 1):
        proven = ranks is not None and all(
            ranks[each][1] <= place if number < place else ranks[each][0] > place for number, each in enumerate(ranking)
        )
        text += f"{' <' if proven else ','} {shown(name)}"
    return text


def references(runs: Sequence[LoadedRun]) -> dict[str, str | None]:
    """Return the reference runs that dynamic.md requires beside every table, by description; None if a run is
    missing.
    """
    pool = runs[0].pool
    tiers = sorted({Tier.from_label(candidate.tier) for candidate in pool.candidates})
    wanted = {
        "cheapest model alone": f"always-{tiers[0].label}",
        "most expensive model alone": f"always-{tiers[-1].label}",
        "random": "random",
        "round-robin over the two strongest": f"round-robin?tiers={':'.join(tier.label for tier in tiers[-2:])}",
    }
    by_router = {run.router: str(run.path) for run in runs}
    return {what: by_router.get(router) for what, router in wanted.items()}


def require_comparable(runs: Sequence[LoadedRun]) -> None:
    """Check that runs belong into one table.

    Raises:
        UsageError: two of them differ in more than their router.
    """
    for one, other in combinations(runs, 2):
        if one.table_fingerprint != other.table_fingerprint:
            raise UsageError(
                f"{one.path} and {other.path} differ in more than their router ({_what_differs(one, other)}), so their "
                "scores cannot be in one table"
            )


def _what_differs(one: LoadedRun, other: LoadedRun) -> str:
    names = [name for name in one.plan.differences(other.plan) if name != "router"]
    if one.origin is not other.origin:
        names.append("whether models were simulated")
    return ", ".join(names) or "prices"


def trials_by_case(trials: Iterable[TrialOutcome]) -> dict[str, list[TrialOutcome]]:
    """Return the trials with a verdict, by case."""
    found: dict[str, list[TrialOutcome]] = defaultdict(list)
    for trial in trials:
        if trial.bill_usd is not None:
            found[trial.id].append(trial)
    return found


def case_means(by_case: Mapping[str, Sequence[TrialOutcome]], cases: Sequence[str]) -> Floats:
    """Return for each case, with weight 1, the mean cost of a trial in USD and the share of unresolved trials."""
    sums = case_sums(by_case[case] for case in cases)
    shares: Floats = sums / sums[:, :1]
    return shares


def _majority(trials: Sequence[TrialOutcome]) -> bool:
    return 2 * sum(bool(trial.resolved) for trial in trials) > len(trials)


def _mean_bill(trials: Sequence[TrialOutcome]) -> float:
    return float(sum((trial.bill_usd or Decimal(0) for trial in trials), Decimal(0))) / len(trials)


def _make_contested_case(case: str, one: Sequence[TrialOutcome], other: Sequence[TrialOutcome]) -> ContestedCase | None:
    if len({bool(trial.resolved) for trial in (*one, *other)}) == 1:
        return None
    won = [sum(bool(trial.resolved) for trial in side) for side in (one, other)]
    return ContestedCase(case, won[0], len(one), won[1], len(other), _mean_bill(one) - _mean_bill(other))
