"""Tables of routers on a bank: those that were asked for, and the references beside them; pairs of them compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from static_track.banks.bank_info import BankInfo
from static_track.metrics import SCORES
from static_track.scoring import OwnCost, Score
from twinbench.display.frames import Tabular
from twinbench.display.wording import counted, trajectories
from twinbench.routing.built_in import CONSTANTS
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import holm, rank_columns

if TYPE_CHECKING:
    from static_track.figures import Drawing
    from static_track.intervals import Difference, Interval, Sample
    from twinbench.statistics.comparing import McNemar

RANKED_BY = "combined"
"""The metric by which routers are ranked, and held against the best constant."""

ARITHMETIC = "A score is arithmetic over the labels of the bank: none of the models that routers pick was run."
"""What everything says that shows static scores."""


@dataclass(frozen=True)
class Entry:
    """One line of the table."""

    router: str
    reference: bool
    score: Score
    latency_ms: Mapping[str, float | None]
    first_error: str | None = None
    """The text of the first error row."""
    given_up: bool = False
    own: OwnCost | None = None
    """What the router's own LLM calls cost; None where it made none."""
    failure: str | None = None
    """How the router failed as a whole, as a sentence's end; None where it did not, and for a prediction file."""
    intervals: Mapping[str, Interval] | None = None
    """Of each metric; None where nobody asked for them."""
    workload_intervals: Callable[[], Mapping[str, Mapping[str, Interval]]] | None = None
    """Draws the intervals of each workload by itself; None where nobody asked for intervals."""
    rank: tuple[int, int] | None = None
    """By Combined among the routers of the table: from the best that it may be to the worst; None for references that
    see labels."""
    in_sample: bool = False
    """Whether it was scored on what it was trained on, which its name says too."""

    @property
    def failed_rows(self) -> str | None:
        """How many rows the router failed on and its first error, as a line below a table; None where none failed."""
        if self.first_error is None:
            return None
        return f"{self.router}: {counted(self.score.counts['errors'], 'row')} failed, the first: {self.first_error}"

    def to_json(self, *, legacy: bool = False, above_best_constant: float | None = None) -> dict[str, Any]:
        """The entry as a JSON object."""
        return {
            "router": self.router,
            "reference": self.reference,
            **self.score.to_json(legacy=legacy),
            "above_best_constant": above_best_constant,
            "latency_ms": dict(self.latency_ms),
            "first_error": self.first_error,
            **({"in_sample": True} if self.in_sample else {}),
            "given_up": self.given_up,
            "router_usd": None if self.own is None else self.own.router_usd,
            "cost_save_net": None if self.own is None else self.own.cost_save_net,
            "intervals_by_workload": None if self.workload_intervals is None else self._by_workload(),
            "intervals": None if self.intervals is None else {n: each.to_json() for n, each in self.intervals.items()},
            "no_interval": {n: each.reason for n, each in (self.intervals or {}).items() if each.reason is not None},
            "rank": None if self.rank is None else list(self.rank),
        }

    def _by_workload(self) -> dict[str, Any]:
        return {
            workload: {
                "intervals": {name: each.to_json() for name, each in intervals.items()},
                "no_interval": {name: each.reason for name, each in intervals.items() if each.reason is not None},
            }
            for workload, intervals in (self.workload_intervals or dict)().items()
        }


@dataclass(frozen=True, repr=False)
class Setting:
    """What scores share that may be compared: a part of a bank, a protocol, and how trajectories are drawn."""

    bank: BankInfo
    split: str | None
    rows: int
    trajectories: int
    groups: int
    """Of trajectories, as many as are independent of each other."""
    protocol: str
    order_seed: int
    """Of the order in which routers were asked about the trajectories."""
    resampling: Resampling | None
    """None: nobody asked for intervals."""

    @property
    def caveat(self) -> str | None:
        """What anyone who is shown a number of the bank must be told; None where there is nothing."""
        return self.bank.caveat

    @property
    def part(self) -> str:
        """The bank's name, and its part where that is not all of it."""
        return self.bank.name + ("" if self.split is None else f", part {self.split}")

    @property
    def title(self) -> str:
        """The same, with trajectories and groups where these are fewer."""
        fewer = f" ({trajectories(self.trajectories, self.groups)})" if self.groups < self.trajectories else ""
        return self.part + fewer

    def summary(self) -> dict[str, Any]:
        """The first keys of a JSON object about what one router did."""
        told = {} if self.caveat is None else {"caveat": self.caveat}
        return {
            "bank": self.bank.name,
            "split": self.split,
            "groups": self.groups,
            "order_seed": self.order_seed,
            **told,
        }

    def to_json(self) -> dict[str, Any]:
        """The first keys of a JSON object."""
        return {
            "bank": {
                "name": self.bank.name,
                "sha256": self.bank.sha256,
                "source_sha256": self.bank.source_sha256,
                "split": self.split,
                "rows": self.rows,
                "trajectories": self.trajectories,
                "groups": self.groups,
                **({} if self.bank.caveat is None else {"caveat": self.bank.caveat}),
            },
            "protocol": self.protocol,
            "order_seed": self.order_seed,
            "resampling": None if self.resampling is None else asdict(self.resampling),
        }


class InSetting(Tabular):
    """What was found of routers in one setting."""

    setting: Setting

    @property
    def bank(self) -> str:
        """The bank's name."""
        return self.setting.bank.name

    @property
    def caveat(self) -> str | None:
        """What anyone who is shown a number of the bank must be told; None where there is nothing."""
        return self.setting.caveat


@dataclass(frozen=True, repr=False)
class Board(Setting, Tabular):
    """Routers scored on the same bank under the same protocol."""

    entries: Sequence[Entry]

    number_columns: ClassVar = frozenset(
        {
            *SCORES,
            *(f"{metric}_{end}" for metric in SCORES for end in ("low", "high")),
            *("rank_best", "rank_worst", "above_best_constant", "router_usd"),
            *("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
        }
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of how the routers came to their answers, a sentence each."""
        return ()

    @property
    def best_constant(self) -> Entry | None:
        """The best by Combined of the routers that always pick the same tier; None where Combined is undefined."""
        constants = [
            each for each in self.entries if each.router in CONSTANTS and each.score.scores[RANKED_BY] is not None
        ]
        return max(constants, key=lambda each: each.score.scores[RANKED_BY] or 0.0, default=None)

    def above_best_constant(self, entry: Entry) -> float | None:
        """How many points of Combined an entry is above the best constant; negative below it."""
        best = self.best_constant
        own, other = entry.score.scores[RANKED_BY], None if best is None else best.score.scores[RANKED_BY]
        return None if own is None or other is None else own - other

    def records(self) -> list[dict[str, Any]]:
        """A row for each router and reference."""
        return [
            {
                "router": entry.router,
                "reference": entry.reference,
                **entry.score.scores,
                **_ends(entry.intervals or {}),
                **rank_columns(entry.rank),
                "above_best_constant": self.above_best_constant(entry),
                "cost_usd": entry.score.cost_usd,
                **entry.score.counts,
                **{f"latency_{name}_ms": value for name, value in entry.latency_ms.items()},
                "router_usd": None if entry.own is None else entry.own.router_usd,
            }
            for entry in self.entries
        ]

    def plot(self) -> Drawing:
        """CostSave against TrajPass, with intervals, as a figure of matplotlib.

        Raises:
            PlotsMissingError: matplotlib is not installed.
        """
        from twinbench.display.html.plots import require_plots

        require_plots()
        from static_track.figures import RouterPoint, board_figure

        points = []
        for entry in self.entries:
            saved, passed = entry.score.scores["cost_save"], entry.score.scores["traj_pass"]
            if saved is None or passed is None:
                continue
            between = [
                None if entry.intervals is None else entry.intervals[of].ends for of in ("cost_save", "traj_pass")
            ]
            points.append(RouterPoint(entry.router, entry.reference, saved, passed, *between))
        return board_figure(f"{self.bank.name}: saved against passed", points, self.caveat)

    def to_json(self, *, legacy: bool = False) -> dict[str, Any]:
        """The board as a JSON object."""
        return {
            **super().to_json(),
            "best_constant": None if self.best_constant is None else self.best_constant.router,
            "routers": [
                entry.to_json(legacy=legacy, above_best_constant=self.above_best_constant(entry))
                for entry in self.entries
            ],
        }


@dataclass(frozen=True)
class Pair:
    """Two routers compared."""

    first: str
    second: str
    differences: Mapping[str, Difference]
    """By metric, the first less the second."""
    mcnemar: McNemar
    """Trajectories that only one of them passes."""
    mcnemar_p_holm: float
    mcnemar_needed: int | None
    """Trajectories to find such a split with power 0.8, if it is the true one."""

    def to_json(self) -> dict[str, Any]:
        """The pair as a JSON object."""
        return {
            "first": self.first,
            "second": self.second,
            "differences": {name: each.to_json() for name, each in self.differences.items()},
            "mcnemar": {
                "first_only": self.mcnemar.first_only,
                "second_only": self.mcnemar.second_only,
                "p": self.mcnemar.p,
                "p_holm": self.mcnemar_p_holm,
                "needed_trajectories": self.mcnemar_needed,
            },
        }


@dataclass(frozen=True, repr=False)
class Comparison(Setting, Tabular):
    """Routers compared pair by pair on the same trajectories."""

    entries: Sequence[Entry]
    pairs: Sequence[Pair]
    ranks: Mapping[str, Mapping[str, tuple[int, int]]]
    """By metric and router: from the best rank that it may have to the worst."""

    number_columns: ClassVar = frozenset({"difference", "low", "high", "p", "p_holm", "needed_trajectories"})

    def records(self) -> list[dict[str, Any]]:
        """A row for each pair of routers and metric."""
        return [
            {
                "first": pair.first,
                "second": pair.second,
                "metric": metric,
                "difference": each.difference,
                "low": None if each.interval.ends is None else each.interval.ends[0],
                "high": None if each.interval.ends is None else each.interval.ends[1],
                "p": each.p,
                "p_holm": each.p_holm,
                "needed_trajectories": each.needed_trajectories,
            }
            for pair in self.pairs
            for metric, each in pair.differences.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {
            **super().to_json(),
            "routers": [
                {
                    "router": entry.router,
                    "scores": dict(entry.score.scores),
                    "intervals": {name: each.to_json() for name, each in (entry.intervals or {}).items()},
                    "ranks": {
                        name: list(ranks[entry.router]) if entry.router in ranks else None
                        for name, ranks in self.ranks.items()
                    },
                }
                for entry in self.entries
            ],
            "pairs": [pair.to_json() for pair in self.pairs],
        }


def _ends(intervals: Mapping[str, Interval]) -> dict[str, float | None]:
    """The ends of intervals as columns."""
    found: dict[str, float | None] = {}
    for name, each in intervals.items():
        found[f"{name}_low"], found[f"{name}_high"] = (None, None) if each.ends is None else each.ends
    return found


def compared_pairs(routers: Sequence[str], sample: Sample) -> list[Pair]:
    """Each router with each behind it, p-values corrected for all pairs, metric by metric."""
    numbers = list(combinations(range(len(routers)), 2))
    differences = [sample.differences(first, second) for first, second in numbers]
    for metric in SCORES:
        tested = [each for each in differences if each[metric].p is not None]
        corrected = holm([p for each in tested if (p := each[metric].p) is not None])
        for each, p in zip(tested, corrected, strict=True):
            each[metric] = replace(each[metric], p_holm=p)
    splits = [sample.mcnemar(first, second) for first, second in numbers]
    return [
        Pair(routers[first], routers[second], each, split, p, sample.mcnemar_needed(split))
        for (first, second), each, split, p in zip(
            numbers, differences, splits, holm([split.p for split in splits]), strict=True
        )
    ]
