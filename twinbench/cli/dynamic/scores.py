"""``twinbench dynamic score`` and ``compare``: score runs from their directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import completion
from twinbench.cli.dynamic.options import RunArgument, RunsArgument
from twinbench.cli.help import Panel
from twinbench.cli.options import (
    ComparisonResamplingOptions,
    FormatOption,
    JsonOption,
    OutputOption,
    ResamplingOptions,
    StoreOption,
)
from twinbench.cli.output import (
    RANK_COLUMNS,
    Column,
    Format,
    Table,
    make_printable,
    print_json,
    print_table,
    rank_cells,
)
from twinbench.display.wording import format_count
from twinbench.statistics import DEFAULT_LEVEL, DEFAULT_RESAMPLES

if TYPE_CHECKING:
    from dynamic_track.results.live_score import LiveScore, RunComparison
    from dynamic_track.results.loading import LoadedRun
    from twinbench.storage.manifests import LiveManifest

ResamplesOption = Annotated[
    int,
    typer.Option(
        "--resamples",
        metavar="N",
        help="How often cases are resampled for intervals; 0: no intervals.",
        rich_help_panel=Panel.STATISTICS,
    ),
]
ComparedResamplesOption = Annotated[
    int,
    typer.Option(
        "--resamples",
        metavar="N",
        help="How often cases are resampled for intervals.",
        rich_help_panel=Panel.STATISTICS,
    ),
]
LevelOption = Annotated[
    float, typer.Option("--level", metavar="P", help="Level of intervals.", rich_help_panel=Panel.STATISTICS)
]
PricesOption = Annotated[
    str | None,
    typer.Option(
        "--prices",
        metavar="POOL",
        help="Apply another pool's prices and penalty to the recorded usage.",
        show_default=False,
    ),
]


_DIFFERENT = "these runs have different cases: compare them on the cases for which all have a verdict"


def score(
    run_dirs: RunsArgument,
    *,
    exclude_infra: Annotated[
        bool,
        typer.Option(
            "--exclude-infra", help="Leave cases without a verdict out of all totals, as the released scorer."
        ),
    ] = False,
    prices: PricesOption = None,
    resamples: ResamplesOption = DEFAULT_RESAMPLES,
    level: LevelOption = DEFAULT_LEVEL,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Score runs from their directories, with intervals and references, and save the scores in the store.

    The runs may differ in the router only. If their cases differ, they are also scored on the cases that they share.
    Exit code 1 if cases are left that were not started or that infrastructure or the cap ended, or if a router failed
    in every case: such a router has no rank.
    """
    from dynamic_track.results.common import common_cases
    from dynamic_track.results.live_results import save_score
    from dynamic_track.results.live_score import (
        bill_ranks,
        failed_runs,
        live_score,
        rankings_by_penalty,
        references,
        require_comparable,
    )
    from dynamic_track.results.loading import load_run
    from twinbench.errors import StoreWriteError
    from twinbench.storage.store import Store

    what_if = _prices(prices)
    runs = [load_run(path, what_if) for path in run_dirs]
    require_comparable(runs)
    drawing = ResamplingOptions(resamples=resamples, level=level).resampling()
    scores = [live_score(run, drawing, exclude_infra=exclude_infra) for run in runs]
    failed = failed_runs(runs)
    standing = [run for run in runs if run.score.is_ranked]
    common = common_cases(standing)
    of_common = [
        live_score(run, drawing, exclude_infra=exclude_infra)
        for run in (common.runs if len(standing) > 1 and common.differ else ())
    ]
    for each in scores:
        try:
            save_score(Store(store), each)
        except StoreWriteError as error:
            typer.echo(f"warning: the score was not saved: {error}", err=True)
    ranked = [each.run for each in of_common] or standing
    trials = {str(run.path): run.trials for run in ranked}
    ranks = bill_ranks(trials, runs[0].pool.unresolved_penalty_usd, drawing) if ranked else None
    at_penalties = rankings_by_penalty(ranked, drawing) if ranked else []
    if json_:
        content = [
            {
                **each.to_json(),
                "missing": [list(trial) for trial in each.run.missing],
                "rank": None if (rank := (ranks or {}).get(str(each.run.path))) is None else list(rank),
            }
            for each in scores
        ]
        more: dict[str, Any] = {"references": references(runs), "penalties": at_penalties}
        if len(content) > 1:
            more["common"] = {**common.to_json(), "runs": [_without_cases(each) for each in of_common]}
        print_json({**content[0], **more} if len(content) == 1 else {"runs": content, **more}, output)
    else:
        different = common.notes if of_common else ()
        print_table(
            _with_caveat_column(_score_table(scores, of_common, different, ranks, at_penalties), runs, form),
            form,
            output,
        )
    if json_ or not form.for_people:  # a table for people has these notes already
        for note in (_DIFFERENT, *common.notes) if of_common else ():
            typer.echo(make_printable(f"note: {note}"), err=True)
        _print_failed(failed)
    missing = sum(len(run.missing) for run in runs)
    if missing:
        what = f"{format_count(missing, 'planned trial')} not in the journal"
        typer.echo(f"note: {what}: continue the runs, and score again", err=True)
    left = sum(each.score.count("infra") + each.score.count("cap") + each.run.unended for each in scores)
    if left and not exclude_infra:
        typer.echo(
            f"note: {format_count(left, 'trial')} without a verdict: continue the runs, and score again", err=True
        )
    if missing or failed or (left and not exclude_infra):
        raise typer.Exit(1)


def compare(
    first: RunArgument,
    second: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Another run, which differs in its router only.", autocompletion=completion.runs
        ),
    ],
    *,
    prices: PricesOption = None,
    resamples: ComparedResamplesOption = DEFAULT_RESAMPLES,
    level: LevelOption = DEFAULT_LEVEL,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Compare two runs case by case: bills by the paired bootstrap, verdicts by McNemar's test, and contested cases.

    Exit code 1 if a router failed in every case, so that the comparison says little.
    """
    from dynamic_track.results.common import common_cases
    from dynamic_track.results.live_score import compare_two_runs, failed_runs
    from dynamic_track.results.loading import load_run

    drawing = ComparisonResamplingOptions(resamples=resamples, level=level).resampling()
    what_if = _prices(prices)
    found = compare_two_runs(load_run(first, what_if), load_run(second, what_if), drawing)
    common = common_cases((found.first, found.second))
    if json_:
        print_json({**found.to_json(), "common": common.to_json()}, output)
    else:
        told = _with_caveat_column(_comparison_table(found, common.notes), (found.first, found.second), form)
        print_table(told, form, output)
    if failed := failed_runs((found.first, found.second)):
        _print_failed(failed)
        raise typer.Exit(1)


def _print_failed(runs: Sequence[LoadedRun]) -> None:
    """Print the routers that failed in every case to standard error."""
    for run in runs:
        for note in run.score.failure_notes(run.display_router, bill_usd=float(run.score.bill_usd)):
            typer.echo(make_printable(f"error: {note}"), err=True)


def _with_caveat_column(table: Table, runs: Sequence[LoadedRun], form: Format) -> Table:
    """Add a column to a table for programs that says that its runs are simulated; a table for people has it in its
    title.
    """
    simulated = [run.origin for run in runs if run.simulated]
    return replace(table, caveat=simulated[0].value) if simulated and not form.for_people else table


def _prices(name: str | None) -> LiveManifest | None:
    from twinbench.storage.manifest_files import live_manifest

    return None if name is None else live_manifest(name)


def _without_cases(score: LiveScore) -> dict[str, Any]:
    return {name: value for name, value in score.to_json().items() if name != "by_case"}


def _score_table(
    scores: list[LiveScore],
    common_scores: list[LiveScore],
    left_out_notes: Sequence[str],
    ranks: Mapping[str, tuple[int, int]] | None,
    at_penalties: Sequence[Mapping[str, Any]],
) -> Table:
    """Make the table of scores, with scores on the common cases if the runs have different cases.

    Args:
        scores: the runs' scores.
        common_scores: scores of the same runs on their common cases; empty if all runs have the same cases.
        left_out_notes: notes on the cases that are left out of the common ones.
        ranks: ranks of the runs and of the give-up baseline; None if no significance test was run.
        at_penalties: the rankings under other failure penalties.
    """
    from dynamic_track.results.live_score import GIVE_UP, order_text, references
    from dynamic_track.running.score import give_up_usd

    columns = [
        Column("router", "Router", for_people=False),
        Column("who", "Router", for_programs=False),
        Column("computed", "Computed", kind=bool, for_people=False),
        *RANK_COLUMNS,
        Column("trials", "Trials", kind=int, drop_order=1),
        Column("resolved", "Resolved", kind=int, drop_order=1 if common_scores else 0),
        Column("infra", "Infra", kind=int),
        Column("cap", "Cap", kind=int, drop_order=3),
        Column("bill", "Bill, USD", drop_order=1 if common_scores else 0, for_programs=False),
        *_bill_columns("bill"),
        Column("cost_usd", "Cost, USD", 4, drop_order=2),
        Column("penalty_usd", "Penalty, USD", 2, drop_order=4),
        Column("lost_usd", "Lost, USD", 4, drop_order=5),
        Column("router_errors", "Router failures", kind=int, drop_order=1 if common_scores else 0),
        Column("router_failure", "Router's failure as a whole", for_people=False),
        Column("avg_steps", "Steps", 1, drop_order=6),
        Column("switches", "Switches", kind=int, drop_order=7),
        Column("broken_cache_usd", "Broken caches, USD", 4, drop_order=8, for_people=not common_scores),
    ]
    if common_scores:
        columns += [
            Column("common_trials", "Common trials", kind=int, drop_order=2),
            Column("common_resolved", "Common resolved", kind=int),
            Column("common_bill", "Common bill, USD", for_programs=False),
            *_bill_columns("common_bill"),
        ]
    on_common = {str(each.run.path): each for each in common_scores}
    rows: list[dict[str, Any]] = []
    for each in sorted(scores, key=lambda each: each.score.bill_usd):
        content = each.to_json()
        rank = (ranks or {}).get(str(each.run.path))
        router = each.run.display_router
        row = {
            **content,
            "router": router,
            "who": router,
            "computed": False,
            **rank_cells(rank),
            "trials": content["cases"],
            **_bill_cells("bill", each),
        }
        if (shared := on_common.get(str(each.run.path))) is not None:
            row["common_trials"] = len(shared.score.trials)
            row["common_resolved"] = shared.score.count("resolved")
            row |= _bill_cells("common_bill", shared)
        rows.append(row)
    cases = max(len(each.score.trials) for each in scores)
    pool = scores[0].run.pool
    given_up = float(give_up_usd(cases, pool))
    rows.append(
        {
            "router": "give up",
            "who": "give up (computed)",
            **rank_cells(None if ranks is None else ranks[GIVE_UP]),
            "trials": cases,
            "resolved": 0,
            "bill": f"{given_up:.4f}",
            "bill_usd": given_up,
            "computed": True,
        }
    )
    runs = [each.run for each in scores]
    notes = [
        note
        for each in scores
        for note in each.score.failure_notes(each.run.router, bill_usd=float(each.score.bill_usd))
    ]
    notes += [_DIFFERENT, *left_out_notes] if common_scores else []
    notes += [each.no_interval for each in scores if each.no_interval and not each.score.router_failure][:1]
    notes += [f"{what}: not run" for what, path in references(runs).items() if path is None]
    notes += [
        f"at {each['penalty_usd']:g} USD for an unresolved case: "
        + order_text(each["ranking"], each["ranks"], lambda name: _router_of(runs, name))
        for each in at_penalties
    ]
    if ranks is not None:
        notes.append(
            "rank by bill: the range from best to worst that the data allow; A < B: significant on the common cases, "
            "corrected for all pairs (Holm); A, B: not significant"
        )
    notes.append(f"lower bills are better; prices of pool {pool.name}, penalty {pool.unresolved_penalty_usd} USD")
    if any(each.exclude_infra for each in scores):
        notes.append("cases without a verdict are left out of all totals")
    title = scores[0].run.origin.heading if scores[0].run.simulated else "Live scores"
    shown = [note for note in notes if note]
    return Table(title, columns, rows, shown, dimmed_if="computed", hidden_if="router_failure")


def _bill_columns(name: str) -> list[Column]:
    """Columns of a bill and its interval for programs; people see one text."""
    parts = (("usd", "USD"), ("low", "from"), ("high", "to"))
    return [Column(f"{name}_{part}", f"Bill {title}", kind=float, for_people=False) for part, title in parts]


def _bill_cells(name: str, score: LiveScore) -> dict[str, Any]:
    low, high = score.intervals["bill_usd"] or (None, None)
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    bill = score.score.bill_usd
    return {name: f"{bill:.4f}{interval}", f"{name}_usd": float(bill), f"{name}_low": low, f"{name}_high": high}


def _router_of(runs: Sequence[LoadedRun], path: str) -> str:
    return next((run.display_router for run in runs if str(run.path) == path), path)


def _comparison_table(found: RunComparison, different: Sequence[str]) -> Table:
    columns = [
        Column("case", "Contested case"),
        Column("first", "First resolved", for_programs=False),
        Column("second", "Second resolved", for_programs=False),
        *(
            Column(f"{which}_{what}", f"{which.capitalize()}, {what}", kind=int, for_people=False)
            for which in ("first", "second")
            for what in ("resolved", "trials")
        ),
        Column("bill_usd", "First's bill is higher by, USD", 4),
    ]
    rows: list[dict[str, Any]] = [
        {
            **asdict(each),
            "first": f"{each.first_resolved} of {each.first_trials}",
            "second": f"{each.second_resolved} of {each.second_trials}",
        }
        for each in found.contested
    ]
    ends = found.interval_usd
    interval = f"({found.no_interval})" if ends is None else f"[{ends[0]:.2f}, {ends[1]:.2f}], p {found.p:.3g}"
    needed = "" if found.needed_cases is None else f"; to confirm this needs {found.needed_cases} cases"
    won = found.resolved
    who = f"first: {found.first.display_router}; second: {found.second.display_router}"
    notes = [
        f"{who}; {format_count(found.cases, 'common case')}",
        f"bill of the first minus that of the second: {found.bill_usd:+.4f} USD {interval}{needed}",
        f"resolved by only one: {won.first_only} by the first, {won.second_only} by the second; exact p {won.p:.3g}",
        *different,
    ]
    title = f"{found.first.origin.heading}: two runs compared" if found.first.simulated else "Two runs compared"
    return Table(title, columns, rows, notes)
