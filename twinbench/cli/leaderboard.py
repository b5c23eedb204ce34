"""``twinbench leaderboard``: submissions listed, checked, withdrawn, and the pages that show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.checks import check_columns
from twinbench.cli.help import Group, Panel
from twinbench.cli.options import FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.output import Column, Format, Table, append_text, make_printable, print_json, print_table, progress
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinbench.checks import CheckResult

app = typer.Typer(
    cls=Group,
    help="The leaderboard: list verified submissions, check all entries, build the pages.",
    no_args_is_help=True,
)

ResultsOption = Annotated[
    str,
    typer.Option(
        "--results",
        metavar="DIR",
        help="The folder with entries and commitments, such as that of a checkout.",
    ),
]
_SHOWN_CHECKS = 100
"""Lines of a summary: checks that did not pass."""


@app.command()
def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The submission, as submit pack made it.")],
    *,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="REPORT",
            help="The JSON of its verification; default: it is verified now, as submit verify does unasked.",
            show_default=False,
        ),
    ] = None,
    supersede: Annotated[
        bool,
        typer.Option("--supersede", help="It may take the place of an entry that another person or key submitted."),
    ] = False,
    after_withdrawal: Annotated[
        bool,
        typer.Option("--after-withdrawal", help="It may take the place of an entry that was withdrawn."),
    ] = False,
    results: ResultsOption = "results",
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List a verified submission, in each division that it has results in.

    Writes results/entries/<division>/<name>/. A submission of the same name is superseded and stays listed. Exit code 1
    if a check of the report failed, or leaderboard check would.
    """
    from twinbench.api.leaderboard import add_to_leaderboard

    with progress() as shown:
        listed = add_to_leaderboard(
            file,
            report,
            results=results,
            supersede=supersede,
            after_withdrawal=after_withdrawal,
            store=store,
            progress=shown,
        )
    if json_:
        print_json(
            {
                "entries": [
                    {
                        "division": str(each.division),
                        "name": each.name,
                        "action": each.action,
                        "folder": str(each.folder),
                    }
                    for each in listed
                ]
            }
        )
        return
    for each in listed:
        typer.echo(make_printable(f"{each.division}/{each.name}: {each.action}, {each.folder}"))


@app.command()
def build(
    *,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder of the site, which is replaced.")],
    results: ResultsOption = "results",
    json_: JsonOption = False,
) -> None:
    """Write the leaderboard as static pages and JSON: no script, no request, readable from a disk.

    What leaderboard check would refuse is left out and named; exit code 1 then.
    """
    from twinbench.api.leaderboard import build_leaderboard

    site = build_leaderboard(out, results=results)
    pages = sum(name.endswith(".html") for name in site.files)
    if json_:
        left_out = [{"entry": each.entry, "reason": each.reason} for each in site.not_shown]
        print_json({"out": out, "entries": site.entries, "tables": site.tables, "pages": pages, "not_shown": left_out})
    else:
        entries = format_count(site.entries, "entry", "entries")
        told = f"{out}: {format_count(pages, 'page')} of {entries} in {format_count(site.tables, 'table')}"
        typer.echo(make_printable(told))
    for each in site.not_shown:
        typer.echo(make_printable(f"not shown: {each.entry}: {each.reason}"), err=True)
    if site.not_shown:
        raise typer.Exit(1)


@app.command()
def check(
    *,
    results: ResultsOption = "results",
    summary: Annotated[
        str | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help='Append what did not pass to a file as Markdown, such as "$GITHUB_STEP_SUMMARY".',
            show_default=False,
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = None,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Check that entries are consistent, and that each commitment belongs to one run; list those without a result.

    Exit code 1 if a check failed.
    """
    from twinbench.api.leaderboard import check_leaderboard
    from twinbench.checks import Status

    found = check_leaderboard(results=results)
    failed = [each for each in found if each.status is Status.failed]
    shown = found if not form.for_people else [each for each in found if each.status is not Status.passed]
    if json_:
        print_json({"ok": not failed, "checks": [each.to_json() for each in found]}, output)
    else:
        print_table(_table(shown, found), form, output)
    if summary is not None:
        append_text(_summary(shown, found), summary)
    if failed:
        raise typer.Exit(1)


@app.command()
def withdraw(
    entry: Annotated[
        str, typer.Argument(metavar="DIVISION/NAME", help="The entry, such as static/my-router, as its page says.")
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words; the page shows them.")],
    results: ResultsOption = "results",
    json_: JsonOption = False,
) -> None:
    """Mark an entry as withdrawn: it stays listed, apart and with the reason, and is ranked no more."""
    from twinbench.api.leaderboard import withdraw_from_leaderboard

    division, _, name = entry.partition("/")
    folder = withdraw_from_leaderboard(division, name, reason, results=results)
    if json_:
        print_json({"division": division, "name": name, "folder": str(folder)})
        return
    typer.echo(make_printable(f"{division}/{name}: withdrawn, {Path(folder)}"))


def _table(shown: Sequence[CheckResult], found: Sequence[CheckResult]) -> Table:
    columns = [*check_columns(), Column("advice", "Advice", kind=str, for_people=False)]
    return Table("Leaderboard", columns, [each.to_json() for each in shown], [_tally(found)])


def _tally(found: Sequence[CheckResult]) -> str:
    from twinbench.checks import Status

    numbers = {status: sum(each.status is status for each in found) for status in Status}
    told = f"{format_count(numbers[Status.passed], 'check')} passed"
    return f"{told}, {numbers[Status.warned]:,} warned, {numbers[Status.failed]:,} failed."


def _summary(shown: Sequence[CheckResult], found: Sequence[CheckResult]) -> str:
    from twinbench.display.markup import escape_markdown

    lines = ["### Leaderboard", ""]
    rows = [each for each in shown if str(each.status) != "pass"]
    if rows:
        lines += ["| Check | Of | Status | Reason |", f"|{' --- |' * 4}"]
        lines += [
            f"| {' | '.join(map(escape_markdown, (each.name, each.subject, str(each.status), each.reason)))} |"
            for each in rows[:_SHOWN_CHECKS]
        ]
        lines += [""]
    left = f" The first {_SHOWN_CHECKS} are shown." if len(rows) > _SHOWN_CHECKS else ""
    return "\n".join([*lines, _tally(found) + left, "", ""])
