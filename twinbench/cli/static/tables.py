"""Tables of scores and comparisons, and Markdown summaries for CI logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from static_track.board import SCORE_NOTE, Board, Comparison, Entry, Setting
from twinbench.cli.output import RANK_COLUMNS, Column, Table, rank_cells
from twinbench.cli.static.floors import Floor
from twinbench.display.markup import escape_markdown
from twinbench.display.wording import format_count, format_p, format_small, format_trajectories
from twinbench.fingerprint import short
from twinbench.statistics.comparing import DEFAULT_POWER, rank_text

TITLES = {
    "combined": "Combined",
    "row_pass": "RowPass",
    "row_exact": "RowExact",
    "traj_pass": "TrajPass",
    "cost_save": "CostSave",
}
"""The metrics' titles, in the order of tables."""

_DROP_ORDER = {"row_exact": 3, "row_pass": 2, "traj_pass": 1, "cost_save": 1}
"""Which metrics a narrow terminal drops first."""
_METRICS = [Column(name, title, 2, drop_order=_DROP_ORDER.get(name, 0)) for name, title in TITLES.items()]
PUBLISHED_COLUMNS = (Column("router", "Router"), *_METRICS)

_EXPECTED_BILL = "expected_bill_usd"
_COLUMNS = (
    Column("router", "Router", mark="reference"),
    Column("reference", "Reference", kind=bool, for_people=False),
    *RANK_COLUMNS,
    Column("combined", "Combined", 2, interval_keys=("combined_low", "combined_high")),
    Column("combined_low", "Combined from", kind=float, for_people=False),
    Column("combined_high", "Combined to", kind=float, for_people=False),
    Column("above_best_constant", "vs best\nconstant", 2, signed=True),
    *_METRICS[1:],
    Column("cost_usd", "Cost,\nUSD", 4, tiny=True),
    Column(_EXPECTED_BILL, "Expected\nbill, USD", 4, drop_order=3),
    Column("errors", "Errors", kind=int, drop_order=4),
    Column("latency_p50_ms", "p50 ms", 3, for_people=False),
    Column("latency_p95_ms", "p95 ms", 3, drop_order=5),
    Column("latency_p99_ms", "p99 ms", 3, for_people=False),
)

_COMPARISON_COLUMNS = (
    Column("first", "Router"),
    Column("second", "vs"),
    Column("metric", "Metric", for_people=False),
    Column("tested", "Metric", for_programs=False),
    Column("difference", "Difference", 1, interval_keys=("low", "high")),
    Column("low", "from", kind=float, for_people=False),
    Column("high", "to", kind=float, for_people=False),
    Column("p", "p", 4, tiny=True, drop_order=2),
    Column("p_holm", "p, all pairs", 4, tiny=True),
    Column("needed_trajectories", "Needed", kind=int, drop_order=1),
    Column("first_only", "Passed by the first only", kind=int, for_people=False),
    Column("second_only", "Passed by the second only", kind=int, for_people=False),
)
MCNEMAR = "mcnemar"
"""The metric's name in the row about trajectories that only one of two routers passes."""


def board_table(board: Board) -> Table:
    """Make the table of a board, with references dimmed."""
    rows = [
        {
            "router": entry.router,
            "reference": entry.reference,
            **rank_cells(entry.rank),
            **entry.score.scores,
            "combined_low": _ends(entry, "combined")[0],
            "combined_high": _ends(entry, "combined")[1],
            "above_best_constant": board.above_best_constant(entry),
            "cost_usd": entry.score.cost_usd,
            _EXPECTED_BILL: board.expected_bill_usd(entry),
            "errors": entry.score.counts["errors"],
            **{f"latency_{name}_ms": value for name, value in entry.latency_ms.items()},
        }
        for entry in board.entries
    ]
    columns = _COLUMNS
    if board.failure_usd is None:
        columns = tuple(each for each in _COLUMNS if each.key != _EXPECTED_BILL)
    notes = _board_notes(board, with_bill=board.failure_usd is not None)
    return Table(_title(board), columns, rows, notes, dimmed_if="reference", caveat=board.bank.caveat)


def _board_notes(board: Board, *, with_bill: bool) -> list[str]:
    """Return the notes on a board.

    Args:
        board: the board.
        with_bill: whether its expected bills are shown, and so explained.
    """
    # What failed as a whole is said once, as an error below the table.
    notes = [entry.failed_rows for entry in board.entries if entry.failed_rows is not None and entry.failure is None]
    notes += [
        f"{entry.router}: its own LLM calls cost {format_small(entry.own.router_usd, 4)} USD; CostSave minus that: "
        + ("–" if entry.own.cost_save_net is None else f"{entry.own.cost_save_net:.2f}")
        for entry in board.entries
        if entry.own is not None
    ]
    notes += [
        *board.notes,
        SCORE_NOTE,
        "* reference; labels and cost-optimal see the labels and are not routers.",
        "Percentages, higher is better. Cost: of all rows as the router routed them.",
    ]
    if (best := board.best_constant) is not None:
        notes.append(f"vs best constant: points of Combined above {best.router}, the best router with a fixed tier.")
    if with_bill:
        notes.append(
            f"Expected bill: the cost plus {board.failure_usd:.2f} USD for each failing task, as in a live run."
        )
    if board.resampling is not None:
        notes.append(_interval_note(board))
    return [*notes, *_order_note(board)]


def comparison_table(comparison: Comparison) -> Table:
    """Make the table of a comparison: each pair, metric by metric."""
    rows: list[dict[str, Any]] = []
    reasons: dict[str, None] = {}
    for pair in comparison.pairs:
        who = {"first": pair.first, "second": pair.second}
        for name, title in TITLES.items():
            each = pair.differences[name]
            low, high = each.interval.ends or (None, None)
            if each.interval.reason is not None:
                reasons[f"no interval: {each.interval.reason}"] = None
            rows.append(
                who
                | {
                    "metric": name,
                    "tested": title,
                    "difference": each.difference,
                    "low": low,
                    "high": high,
                    "p": each.p,
                    "p_holm": each.p_holm,
                    "needed_trajectories": each.needed_trajectories,
                }
            )
        rows.append(
            who
            | {
                "metric": MCNEMAR,
                "tested": f"passed alone: {pair.mcnemar.first_only} and {pair.mcnemar.second_only}",
                "first_only": pair.mcnemar.first_only,
                "second_only": pair.mcnemar.second_only,
                "p": pair.mcnemar.p,
                "p_holm": pair.mcnemar_p_holm,
                "needed_trajectories": pair.mcnemar_needed,
            }
        )
    ranks = "; ".join(f"{router} {rank_text(rank)}" for router, rank in comparison.ranks["combined"].items())
    assert comparison.resampling is not None  # noqa: S101 - a comparison has one
    drawn = comparison.resampling
    order = _order_note(comparison)
    how = "Differences in percentage points."
    if any(each.interval.ends for pair in comparison.pairs for each in pair.differences.values()):
        how = (
            f"Differences in percentage points with {100 * drawn.level:.4g} % intervals by the paired bootstrap over "
            f"{_resampled_unit(comparison)}, resampled {drawn.resamples:,} times within workloads (seed {drawn.seed})."
        )
    alone = "trajectories that only one of the two passes"
    if comparison.groups < comparison.trajectories:
        alone = "groups in which one of the two passes more trajectories"
    more = (
        f"Passed alone: {alone}, by McNemar's exact test. Needed: number of {_resampled_unit(comparison)} for a "
        f"power of {DEFAULT_POWER}."
    )
    notes = [*reasons, f"Ranks by Combined: {ranks or 'none'}.", how, more, *order]
    return Table(_title(comparison), _COMPARISON_COLUMNS, rows, notes, caveat=comparison.bank.caveat)


def board_summary(board: Board, floors: Sequence[Floor], missed: Sequence[str]) -> str:
    """Return a board as Markdown: every metric of every router with its interval, and what is below its floor."""
    head = ["Router", "Rank", *TITLES.values(), "vs best constant", "Cost, USD", "Errors"]
    lines = [
        f"### {escape_markdown(_title(board))}",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(map(escape_markdown, _summary_row(board, entry)))} |" for entry in board.entries),
        "",
    ]
    if floors:
        asked = ", ".join(f"{floor.metric} at least {floor.least:g}" for floor in floors)
        lines += [f"Required: {asked}: {'**missed**' if missed else 'reached'}.", ""]
        lines += [*(f"- {escape_markdown(each)}" for each in missed), *([""] if missed else [])]
    notes = _board_notes(board, with_bill=False)
    caveat = [] if board.bank.caveat is None else [board.bank.caveat]
    lines += [line for note in (*notes, *caveat) for line in (escape_markdown(note), "")]
    return "\n".join(lines) + "\n"


def change_summary(comparison: Comparison) -> str:
    """Return as Markdown what has changed between the two versions of a router that a comparison is of.

    Args:
        comparison: the comparison of the present version, which comes first, with the previous one.
    """
    now, before = comparison.entries
    [pair] = comparison.pairs
    lines = ["### Before and after", "", "| Metric | Before | After | Difference | p |", f"|{' --- |' * 5}"]
    for name, title in TITLES.items():
        each = pair.differences[name]
        between = "" if each.interval.ends is None else " [{:.1f}, {:.1f}]".format(*each.interval.ends)
        difference = "–" if each.difference is None else f"{each.difference:+.1f}{between}"
        values = [entry.score.scores[name] for entry in (before, now)]
        cells = [title, *("–" if value is None else f"{value:.1f}" for value in values), difference]
        cells.append("–" if each.p is None else format_p(each.p).removeprefix("p ").removeprefix("= "))
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    spent = [format_small(entry.score.cost_usd, 4) for entry in (before, now)]
    lines.append(f"| Cost, USD | {escape_markdown(spent[0])} | {escape_markdown(spent[1])} | | |")
    lines.append(f"| Errors | {before.score.counts['errors']} | {now.score.counts['errors']} | | |")
    passes = f"{pair.mcnemar.first_only} and {pair.mcnemar.second_only}"
    assert comparison.resampling is not None  # noqa: S101 - a comparison has one
    how = (
        "Difference: after less before, in percentage points, of both versions on the same "
        f"{_resampled_unit(comparison)}, with its {100 * comparison.resampling.level:.4g} % interval. Passed by one "
        f"version alone: {passes} (exact test of McNemar: {format_p(pair.mcnemar.p)})."
    )
    return "\n".join([*lines, "", escape_markdown(how), "", ""])


def _summary_row(board: Board, entry: Entry) -> list[str]:
    cells = [f"{entry.router} *" if entry.reference else entry.router]
    cells.append("–" if entry.rank is None else rank_text(entry.rank))
    for name in TITLES:
        value = entry.score.scores[name]
        low, high = _ends(entry, name)
        interval = "" if low is None or high is None else f" [{low:.1f}, {high:.1f}]"
        cells.append("–" if value is None else f"{value:.1f}{interval}")
    above = board.above_best_constant(entry)
    cells += ["–" if above is None else f"{above:+.1f}", format_small(entry.score.cost_usd, 4)]
    return [*cells, str(entry.score.counts["errors"])]


def _title(setting: Setting) -> str:
    return (
        f"{setting.part}: {format_count(setting.rows, 'row')}, "
        f"{format_trajectories(setting.trajectories, setting.groups)}; "
        f"protocol {short(setting.protocol)}, bank {short(setting.bank.sha256)}"
    )


def _order_note(setting: Setting) -> list[str]:
    """Return a note on the order of trajectories, if it is not the default."""
    return [f"Trajectories in the order of --order-seed {setting.order_seed}."] if setting.order_seed else []


def _interval_note(board: Board) -> str:
    """Describe the intervals, or why there are none."""
    assert board.resampling is not None  # noqa: S101 - asked by the caller
    drawn = board.resampling
    every = [each for entry in board.entries for each in (entry.intervals or {}).values()]
    reasons = {each.reason for each in every if each.reason is not None}
    if reasons and not any(each.ends for each in every):
        return f"No intervals and no order of ranks: {'; '.join(sorted(reasons))}."
    ranks = "Rank by Combined: the range from best to worst that the data allow"
    if board.bank.ranks_nothing:
        ranks = "No ranks: results on this bank rank nothing"
    return (
        f"[…]: {100 * drawn.level:.4g} % interval, {_resampled_unit(board)} resampled {drawn.resamples:,} times within "
        f"workloads (seed {drawn.seed}). {ranks}; all intervals: --json."
    )


def _resampled_unit(setting: Setting) -> str:
    """Name the unit that is resampled, tested and counted."""
    return "groups of trajectories" if setting.groups < setting.trajectories else "trajectories"


def _ends(entry: Entry, metric: str) -> tuple[float, float] | tuple[None, None]:
    intervals: Mapping[str, Any] = entry.intervals or {}
    return (intervals[metric].ends if metric in intervals else None) or (None, None)
