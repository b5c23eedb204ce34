"""``twinbench dynamic score`` and ``compare``: what runs are worth, from their directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.options import FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table
from twinbench.statistics import LEVEL, RESAMPLES
from twinbench.wording import counted

if TYPE_CHECKING:
    from dynamic_track.results.live_score import LiveScore, RunsCompared
    from twinbench.pools import LiveManifest
    from twinbench.statistics import Resampling

ResamplesOption = Annotated[
    int, typer.Option("--resamples", metavar="N", help="How often cases are drawn again for the intervals; 0: none.")
]
LevelOption = Annotated[float, typer.Option("--level", metavar="P", help="Of the intervals.")]
PricesOption = Annotated[
    str | None,
    typer.Option(
        "--prices",
        metavar="POOL",
        help="What if: bill the raw usage again at the prices and penalty of another pool.",
        show_default=False,
    ),
]


def score(
    run_dirs: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Runs that differ in nothing but the router.")
    ],
    *,
    exclude_infra: Annotated[
        bool,
        typer.Option("--exclude-infra", help="Leave cases without a verdict out of all totals, as the released rule."),
    ] = False,
    prices: PricesOption = None,
    resamples: ResamplesOption = RESAMPLES,
    level: LevelOption = LEVEL,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Score runs from their directories, with intervals and references, and keep the scores in the store.

    Exit code 1 where cases are left that infrastructure or the cap ended.
    """
    from dynamic_track.results.live_results import keep
    from dynamic_track.results.live_score import live_score, penalties, references, refuse_different
    from dynamic_track.results.loaded import load_run
    from twinbench.errors import StoreWriteError
    from twinbench.store import Store

    what_if = _prices(prices)
    runs = [load_run(path, what_if) for path in run_dirs]
    refuse_different(runs)
    scores = [live_score(run, _resampling(resamples, level), exclude_infra=exclude_infra) for run in runs]
    for each in scores:
        try:
            keep(Store(store), each)
        except StoreWriteError as error:
            typer.echo(f"warning: the score is not kept: {error}", err=True)
    if json_:
        content = [each.to_json() for each in scores]
        more = {"references": references(runs), "penalties": penalties(runs)}
        print_json({**content[0], **more} if len(content) == 1 else {"runs": content, **more}, output)
    else:
        print_table(_score_table(scores), form, output)
    left = sum(each.score.count("infra") + each.score.count("cap") + each.run.unended for each in scores)
    if left and not exclude_infra:
        typer.echo(f"note: {counted(left, 'trial')} without a verdict: continue the runs, and score again", err=True)
        raise typer.Exit(1)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one's, which differs in its router only.")],
    *,
    prices: PricesOption = None,
    resamples: ResamplesOption = RESAMPLES,
    level: LevelOption = LEVEL,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Compare two runs case by case: bills by the paired bootstrap, verdicts by McNemar's test, contested cases."""
    from dynamic_track.results.live_score import compared
    from dynamic_track.results.loaded import load_run
    from twinbench.errors import UsageError

    if (drawing := _resampling(resamples, level)) is None:
        raise UsageError("--resamples 0: a comparison is made of resamples")
    what_if = _prices(prices)
    found = compared(load_run(first, what_if), load_run(second, what_if), drawing)
    if json_:
        print_json(found.to_json(), output)
    else:
        print_table(_compared_table(found), form, output)


def _prices(name: str | None) -> LiveManifest | None:
    from twinbench.pools import live_manifest

    return None if name is None else live_manifest(name)


def _resampling(resamples: int, level: float) -> Resampling | None:
    """The settings; None where no intervals are wanted."""
    from twinbench.errors import UsageError
    from twinbench.statistics import Resampling

    if not resamples:
        return None
    try:
        return Resampling(resamples, level)
    except ValueError as error:
        raise UsageError(f"--resamples {resamples} --level {level}: {error}") from None


def _score_table(scores: list[LiveScore]) -> Table:
    from dynamic_track.results.live_score import penalties, references
    from dynamic_track.results.loaded import SIMULATED
    from dynamic_track.running.score import give_up_usd

    columns = [
        Column("router", "Router"),
        Column("trials", "Trials"),
        Column("resolved", "Resolved"),
        Column("infra", "Infra"),
        Column("cap", "Cap"),
        Column("bill", "Bill, USD"),
        Column("cost_usd", "Cost, USD", 4),
        Column("penalty_usd", "Penalty, USD", 2),
        Column("lost_usd", "Lost, USD", 4),
        Column("avg_steps", "Steps", 1),
        Column("switches", "Switches"),
        Column("broken_cache_usd", "Broken caches, USD", 4),
    ]
    rows: list[dict[str, Any]] = []
    for each in sorted(scores, key=lambda each: each.score.bill_usd):
        content, ends = each.to_json(), each.intervals["bill_usd"]
        bill = f"{each.score.bill_usd:.4f}" + ("" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]")
        rows.append({**content, "trials": content["cases"], "bill": bill})
    cases = max(len(each.score.trials) for each in scores)
    pool = scores[0].run.pool
    given_up = float(give_up_usd(cases, pool))
    rows.append(
        {"router": "give up (computed)", "trials": cases, "resolved": 0, "bill": f"{given_up:.4f}", "computed": True}
    )
    runs = [each.run for each in scores]
    notes = [each.no_interval for each in scores if each.no_interval is not None][:1]
    notes += [f"{what}: not run" for what, path in references(runs).items() if path is None]
    notes += [
        f"at {each['penalty_usd']:g} USD for an unresolved case: "
        + " < ".join(_router_of(runs, name) for name in each["ranking"])
        for each in penalties(runs)
    ]
    notes.append(f"lower bills are better; prices of pool {pool.name}, {pool.unresolved_penalty_usd} USD a penalty")
    if any(each.exclude_infra for each in scores):
        notes.append("cases without a verdict are left out of all totals")
    title = f"{SIMULATED[0].upper()}{SIMULATED[1:]}" if scores[0].run.simulated else "Live scores"
    return Table(title, columns, rows, [note for note in notes if note], dimmed="computed")


def _router_of(runs: list[Any], path: str) -> str:
    return next((run.router for run in runs if str(run.path) == path), path)


def _compared_table(found: RunsCompared) -> Table:
    columns = [
        Column("case", "Contested case"),
        Column("first", "First resolved"),
        Column("second", "Second resolved"),
        Column("bill_usd", "First's bill is higher by, USD", 4),
    ]
    rows: list[dict[str, Any]] = [
        {
            "case": each.case,
            "first": f"{each.first_resolved} of {each.first_trials}",
            "second": f"{each.second_resolved} of {each.second_trials}",
            "bill_usd": each.bill_usd,
        }
        for each in found.contested
    ]
    ends = found.interval_usd
    interval = f"({found.no_interval})" if ends is None else f"[{ends[0]:.2f}, {ends[1]:.2f}], p {found.p:.3g}"
    needed = "" if found.needed_cases is None else f"; such a difference needs {found.needed_cases} cases"
    won = found.resolved
    notes = [
        f"first: {found.first.router}; second: {found.second.router}; {counted(found.cases, 'case')} of both",
        f"bill of the first less that of the second: {found.bill_usd:+.4f} USD {interval}{needed}",
        f"resolved by one alone: {won.first_only} by the first, {won.second_only} by the second; exact p {won.p:.3g}",
    ]
    simulated = found.first.simulated or found.second.simulated
    title = "A rehearsal with simulated models: two runs compared" if simulated else "Two runs compared"
    return Table(title, columns, rows, notes)
