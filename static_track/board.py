"""Boards (scores of routers and references on a bank) and pairwise comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from static_track.banks.bank_info import BankInfo
from static_track.metrics import SCORES
from static_track.scoring import RouterLlmCost, Score
from twinbench.display.frames import Tabular
from twinbench.display.wording import format_count, format_trajectories, make_printable, shorten
from twinbench.routing.built_in import CONSTANTS
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import holm, rank_columns

if TYPE_CHECKING:
    from static_track.figures import Drawing
    from static_track.intervals import Difference, Interval, RouterSample
    from twinbench.statistics.comparing import McNemar

RANKED_BY = "combined"
"""The metric by which routers are ranked and compared with the best constant."""

SCORE_NOTE = "A score is computed from the bank's labels: none of the models that routers pick was run."
"""The note that accompanies all static scores."""
_SHOWN = {
    "combined": "Combined",
    "row_pass": "RowPass",
    "traj_pass": "TrajPass",
    "cost_save": "CostSave",
    "errors": "Errors",
}
"""What a board shows of each router on a screen."""
_MOST_LINES = 20
_MOST_NAME = 44
_MOST_NOTES = 3
_MOST_NOTE = 300


@dataclass(frozen=True)
class Entry:
    """One line of a board: a router or reference with its score."""

    router: str
    reference: bool
    score: Score = field(repr=False)
    latency_ms: Mapping[str, float | None] = field(repr=False)
    first_error: str | None = None
    """The text of the first error row."""
    given_up: bool = False
    own: RouterLlmCost | None = field(default=None, repr=False)
    """The cost of the router's own LLM calls, in USD; None if it made none."""
    failure: str | None = None
    """How the router failed on the whole bank, as the end of a sentence; None if it did not, or for a prediction file.
    """
    printed: str | None = None
    """The last that the router printed before it first failed; None where it printed nothing, and for one of this
    process, which prints where everything else does."""
    intervals: Mapping[str, Interval] | None = field(default=None, repr=False)
    """The interval of each metric; None if no intervals were requested."""
    workload_intervals: Callable[[], Mapping[str, Mapping[str, Interval]]] | None = field(default=None, repr=False)
    """Computes the intervals of each workload by itself; None if no intervals were requested."""
    rank: tuple[int, int] | None = None
    """Range of ranks by Combined among the routers of the board, from best to worst; None for references that see
    labels, and on a bank that ranks nothing."""
    in_sample: bool = False
    """Whether the router was scored on rows that it was trained on, which its name says too."""

    @property
    def failed_rows(self) -> str | None:
        """A note on how many rows the router failed on, with its first error; None if it failed on none."""
        if self.first_error is None:
            return None
        return (
            f"{self.router}: {format_count(self.score.counts['errors'], 'row')} failed, the first: {self.first_error}"
        )

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
    """The conditions that comparable scores share: the part of a bank, the protocol, and the resampling."""

    bank: BankInfo
    split: str | None
    rows: int
    trajectories: int
    groups: int
    """The number of independent groups of trajectories."""
    protocol: str
    order_seed: int
    """Seed of the order in which routers saw the trajectories."""
    resampling: Resampling | None
    """How trajectories were resampled; None if no intervals were requested."""
    failure_usd: float | None
    """What a failing task adds to an expected bill; None unless the bank's trajectories are whole tasks."""

    @property
    def caveat(self) -> str | None:
        """The caveat that must accompany numbers of the bank; None if there is none."""
        return self.bank.caveat

    @property
    def part(self) -> str:
        """The bank's name, with the part if it is not the whole bank."""
        return self.bank.name + ("" if self.split is None else f", part {self.split}")

    @property
    def title(self) -> str:
        """Like ``part``, with the numbers of trajectories and groups if these differ."""
        fewer = f" ({format_trajectories(self.trajectories, self.groups)})" if self.groups < self.trajectories else ""
        return self.part + fewer

    def summary(self) -> dict[str, Any]:
        """Return the first keys of a JSON object about a single router."""
        told = {} if self.caveat is None else {"caveat": self.caveat}
        return {
            "bank": self.bank.name,
            "split": self.split,
            "groups": self.groups,
            "order_seed": self.order_seed,
            **told,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the first keys of a JSON object."""
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
                **({"ranks_nothing": True} if self.bank.ranks_nothing else {}),
            },
            "protocol": self.protocol,
            "order_seed": self.order_seed,
            "resampling": None if self.resampling is None else asdict(self.resampling),
        }


class SettingResult(Tabular):
    """Base of results about routers in one setting."""

    setting: Setting

    @property
    def bank(self) -> str:
        """The bank's name."""
        return self.setting.bank.name

    @property
    def caveat(self) -> str | None:
        """The caveat that must accompany numbers of the bank; None if there is none."""
        return self.setting.caveat


@dataclass(frozen=True, repr=False)
class Board(Setting, Tabular):
    """Routers scored on the same bank under the same protocol."""

    entries: Sequence[Entry]

    number_columns: ClassVar = frozenset(
        {
            *SCORES,
            *(f"{metric}_{end}" for metric in SCORES for end in ("low", "high")),
            *("rank_best", "rank_worst", "above_best_constant", "router_usd", "expected_bill_usd"),
            *("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
        }
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the routers came to their answers, a sentence each."""
        return ()

    @property
    def best_constant(self) -> Entry | None:
        """The best router by Combined among those that always pick the same tier; None if Combined is undefined."""
        constants = [
            each for each in self.entries if each.router in CONSTANTS and each.score.scores[RANKED_BY] is not None
        ]
        return max(constants, key=lambda each: each.score.scores[RANKED_BY] or 0.0, default=None)

    def expected_bill_usd(self, entry: Entry) -> float | None:
        """Return the expected bill: the cost of a router's path with its own LLM calls, and what failing tasks add.

        It compares with a live bill of the same tasks. None unless the bank's trajectories are whole tasks.
        """
        if self.failure_usd is None:
            return None
        counts = entry.score.counts
        own = 0.0 if entry.own is None else entry.own.router_usd
        failing = counts["trajectories"] - counts["passed_trajectories"]
        return entry.score.cost_usd + own + self.failure_usd * failing

    def _expected_bill(self, entry: Entry) -> dict[str, float | None]:
        """Return the expected bill as a field of a record, which only banks of whole tasks have."""
        return {} if self.failure_usd is None else {"expected_bill_usd": self.expected_bill_usd(entry)}

    def above_best_constant(self, entry: Entry) -> float | None:
        """Return by how many points of Combined an entry is above the best constant; negative if it is below."""
        best = self.best_constant
        own, other = entry.score.scores[RANKED_BY], None if best is None else best.score.scores[RANKED_BY]
        return None if own is None or other is None else own - other

    def __repr__(self) -> str:
        """The scores as a table of plain text that fits a screen; all of it is in ``records()``."""
        lines = [f"{self.title}; .df() and .to_dict() have all of it", _screen_line("", _SHOWN.values())]
        for entry in self.entries[:_MOST_LINES]:
            cells = [_screen_number(entry.score.scores[name]) for name in _SHOWN if name != "errors"]
            lines.append(_screen_line(entry.router, [*cells, f"{entry.score.counts['errors']:,}"]))
        if (more := len(self.entries) - _MOST_LINES) > 0:
            lines.append(f"… and {more:,} more")
        failed = [entry.failed_rows for entry in self.entries if entry.failed_rows is not None]
        printed = [f"{entry.router} printed before that: {entry.printed}" for entry in self.entries if entry.printed]
        lines += [shorten(make_printable(each), _MOST_NOTE) for each in (*failed[:_MOST_NOTES], *printed[:_MOST_NOTES])]
        return "\n".join(lines)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each router and reference."""
        return [
            {
                "router": entry.router,
                "reference": entry.reference,
                **entry.score.scores,
                **_ends(entry.intervals or {}),
                **rank_columns(entry.rank),
                "above_best_constant": self.above_best_constant(entry),
                "cost_usd": entry.score.cost_usd,
                **self._expected_bill(entry),
                **entry.score.counts,
                **{f"latency_{name}_ms": value for name, value in entry.latency_ms.items()},
                "router_usd": None if entry.own is None else entry.own.router_usd,
            }
            for entry in self.entries
        ]

    def plot(self) -> Drawing:
        """Draw CostSave against TrajPass, with intervals, as a matplotlib figure.

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
                | self._expected_bill(entry)
                for entry in self.entries
            ],
        }


@dataclass(frozen=True)
class Pair:
    """Two routers compared."""

    first: str
    second: str
    differences: Mapping[str, Difference]
    """The first router's value minus the second's, by metric."""
    mcnemar: McNemar
    """Trajectories that only one of them passes."""
    mcnemar_p_holm: float
    mcnemar_needed: int | None
    """How many trajectories are needed to detect such a split with power 0.8, if it is the true one."""

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
    """Routers compared pairwise on the same trajectories."""

    entries: Sequence[Entry]
    pairs: Sequence[Pair]
    ranks: Mapping[str, Mapping[str, tuple[int, int]]]
    """Range of ranks, from best to worst, by metric and router; on a bank that ranks nothing no router has one."""

    number_columns: ClassVar = frozenset({"difference", "low", "high", "p", "p_holm", "needed_trajectories"})

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each pair of routers and metric."""
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


def _screen_line(router: str, cells: Iterable[str]) -> str:
    """A line of a board as plain text, in less than a hundred columns."""
    name = shorten(make_printable(router).replace("\n", " "), _MOST_NAME - 1)
    return f"{name:<{_MOST_NAME}}" + "".join(f"{cell:>10}" for cell in cells)


def _screen_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _ends(intervals: Mapping[str, Interval]) -> dict[str, float | None]:
    """Return the ends of intervals as columns."""
    found: dict[str, float | None] = {}
    for name, each in intervals.items():
        found[f"{name}_low"], found[f"{name}_high"] = (None, None) if each.ends is None else each.ends
    return found


def compare_pairs(routers: Sequence[str], sample: RouterSample) -> list[Pair]:
    """Compare each router with each later one, with p-values corrected for all pairs by metric."""
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
