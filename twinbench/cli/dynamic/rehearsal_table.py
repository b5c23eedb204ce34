"""The table that ``twinbench rehearse`` and ``twinbench demo`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinbench.cli.output import RANK_COLUMNS, Column, Table, rank_cells
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamic_track.rehearsal.rehearsal_runs import Rehearsal
    from dynamic_track.rehearsal.standings import RehearsalResult, RouterStanding


def rehearsal_table(result: RehearsalResult) -> Table:
    """Make the table of rehearsed routers over all seeds and of giving up, cheapest bill first."""
    from dynamic_track.running.origin import Origin

    rehearsal, resampling, found = result.rehearsal, result.resampling, result.standings
    pool = rehearsal.pool
    tiers = pool.tiers
    too_little = all(each.no_interval is not None for each in found.routers if each.failure is None)
    columns = [
        Column("router", "Router", for_people=False),
        Column("who", "Router", for_programs=False),
        Column("computed", "Computed", kind=bool, for_people=False),
        *([] if resampling is None else RANK_COLUMNS),
        Column("solved", "Resolved", for_programs=False),
        Column("resolved", "Resolved, %", kind=float, for_people=False),
        Column("bill_usd", "Bill, USD", 4),
        *(
            []
            if resampling is None or too_little
            else [Column("interval", f"{100 * resampling.level:g} % interval", for_programs=False)]
        ),
        Column("bill_low", "Bill from", kind=float, for_people=False),
        Column("bill_high", "Bill to", kind=float, for_people=False),
        Column("cost_usd", "Cost, USD", 4),
        Column("penalty_usd", "Penalty, USD", 2, for_people=False),
        Column("router_errors", "Router failures", kind=int, drop_order=1),
        Column("router_failure", "Router's failure as a whole", for_people=False),
        Column("avg_steps", "Steps", 1, drop_order=2),
        Column("calls", f"Calls, %: {' / '.join(tiers)}", drop_order=1, for_programs=False),
        *(Column(f"share_{tier}", f"Share of {tier}", kind=float, for_people=False) for tier in tiers),
    ]
    rows = [_standing_row(each, rehearsal, tiers) for each in found.routers]
    bill = result.give_up_bill_usd
    given_up = {"solved": "0", "resolved": 0.0, "cost_usd": 0.0, "penalty_usd": bill, "bill_usd": bill}
    rows.append({"router": "give up", "who": "give up (computed)", **given_up, "computed": True})
    rows.sort(key=lambda row: (row["bill_usd"] is None, row["bill_usd"] or 0.0))  # runs without a bill are last
    return Table(
        Origin.rehearsal.heading, columns, rows, _table_notes(result), dimmed_if="computed", hidden_if="router_failure"
    )


def _standing_row(standing: RouterStanding, rehearsal: Rehearsal, tiers: Sequence[str]) -> dict[str, Any]:
    shares = standing.score.tier_shares(rehearsal.pool)
    solved = standing.score.count("resolved") / standing.seeds
    low, high = (standing.intervals or {}).get("bill_usd") or (None, None)
    return {
        "router": standing.router,
        "who": standing.router,
        **rank_cells(standing.rank),
        "solved": f"{solved:.0f}" if standing.seeds == 1 else f"{solved:.1f}",
        **standing.headline,
        "interval": None if low is None or high is None else f"{low:.2f} to {high:.2f}",
        "bill_low": low,
        "bill_high": high,
        "router_errors": standing.score.router_errors,
        "router_failure": standing.failure,
        "calls": " / ".join(f"{100 * shares.get(tier, 0):.0f}" for tier in tiers) if shares else None,
        **{f"share_{tier}": shares.get(tier, 0) for tier in tiers},
        "computed": False,
        **({} if standing.score.trials else dict.fromkeys(("solved", "bill_usd", "cost_usd", "penalty_usd"))),
    }


def _table_notes(result: RehearsalResult) -> list[str]:
    rehearsal, resampling = result.rehearsal, result.resampling
    pool, seeds = rehearsal.pool, rehearsal.seeds
    infra = sum(run.summary.score.count("infra") for run in result.runs)
    under = f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"
    notes = [
        f"{format_count(len(rehearsal.tasks), 'task')}, {under}; skills {rehearsal.sources.get('skills')}; "
        + (f"{format_count(infra, 'case')} lost to infrastructure" if infra else "no case lost to infrastructure"),
        f"prices of pool {pool.name}; penalty of an unresolved case: {pool.unresolved_penalty_usd} USD",
    ]
    notes = [*(note for each in result.standings.routers for note in each.failure_notes), *notes]
    if resampling is not None:
        ranked = [each for each in result.standings.routers if each.failure is None]
        reasons = {each.no_interval for each in ranked if each.no_interval is not None}
        notes += sorted(f"no interval: {reason}" for reason in reasons)
        if ranked and not reasons:
            notes.append(
                f"intervals and ranks by task: {len(rehearsal.tasks)} tasks resampled {resampling.resamples:,} times; "
                "rank: the range from best to worst that the data allow"
            )
    return [*notes, *pool.division_notes, f"run directories: {result.folder}"]
