"""``twinbench bank review``: have people review the labels of a bank that was built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.help import Group, Panel
from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, write_text
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from static_track.construction.reviewing import ReviewState

app = typer.Typer(cls=Group, help="Have people look at labels of a bank that was built.", no_args_is_help=True)

_DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory of a bank build.", show_default=False)
]


@app.command()
def export(
    directory: _DirectoryArgument,
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file for the records; - is standard output.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = "-",
    page: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE", help="Also write an HTML page that shows each drawn row.", show_default=False
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--share",
            metavar="SHARE",
            min=0,
            max=1,
            help="The share of rows to draw; default: search.review_share of the build's configuration, or 0.1.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the draw.")] = 0,
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a summary as JSON on standard output; needs -o FILE.", rich_help_panel=Panel.OUTPUT
        ),
    ] = False,
) -> None:
    """Draw rows of multi-step workloads and write each as a JSON line with a verdict to fill in.

    Verdicts are tight, further_downgradeable (lowers the label by one tier) or uncertain (blocks publishing the bank).
    """
    from static_track.banks.rows import compact_json
    from static_track.construction.review_session import open_review
    from static_track.construction.reviewing import review_page, review_record
    from twinbench.errors import UsageError

    if json_ and output == "-":
        raise UsageError("--json prints a summary to standard output, so the records need a file: add -o FILE")
    with open_review(directory) as opened:
        ladder = opened.publication.ladder
        rows = opened.draw(opened.plan.review_share if share is None else share, seed)
        write_text("".join(f"{compact_json(review_record(row, ladder))}\n" for row in rows), output)
        if page is not None:
            command = f"twinbench bank review export {directory} --seed {seed} --html {page}"
            write_text(review_page(rows, ladder, opened.plan.bank.name, command), page)
        about = opened.publication.review_state().may_be_lowered
    if json_:
        print_json({"rows": len(rows), "may_be_lowered": about, "output": output, "html": page})
    elif output != "-":
        typer.echo(
            make_printable(f"{format_count(len(rows), 'row')} of {about:,} that may be lowered: {output}"), err=True
        )


@app.command()
def apply(
    directory: _DirectoryArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Exported records with verdicts filled in.")],
    *,
    json_: JsonOption = False,
) -> None:
    """Apply verdicts, and write the bank's rows and manifest accordingly.

    Exit code 1 if a verdict is uncertain: then nothing is published.
    """
    from static_track.construction.review_session import open_review

    with open_review(directory) as opened:
        verdicts, manifest = opened.apply(file)
    if json_:
        print_json({"verdicts": verdicts, "review": manifest["review"], "sha256": manifest["sha256"]})
    else:
        lowered = manifest["review"]["further_downgradeable"]
        typer.echo(
            f"{format_count(verdicts, 'verdict')} applied; reviews lowered {format_count(lowered, 'label')} of the bank"
        )


@app.command()
def status(
    directory: _DirectoryArgument,
    *,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Show the reviewers' verdicts on a bank's labels so far.

    Exit code 1 if a verdict is uncertain, which blocks publishing.
    """
    from static_track.construction.review_session import open_review

    with open_review(directory) as opened:
        state = opened.publication.review_state()
        name = opened.plan.bank.name
    if json_:
        print_json(state.to_json() | {"open": list(state.uncertain)}, output)
    else:
        print_table(_table(state, name), form, output)
    if state.uncertain:
        raise typer.Exit(1)


def _table(state: ReviewState, name: str) -> Table:
    columns = [
        Column("may_be_lowered", "Rows above the lowest tier"),
        Column("reviewed", "Reviewed"),
        Column("tight", "Tight"),
        Column("further_downgradeable", "Lowered"),
        Column("uncertain", "Uncertain"),
        Column("tight_percent", "Tight, %", 1, interval_keys=("tight_low", "tight_high")),
        Column("tight_low", "Low", for_people=False),
        Column("tight_high", "High", for_people=False),
    ]
    row = state.to_json()
    low, high = row.pop("interval") or (None, None)
    notes = [f"uncertain, which blocks publishing: {', '.join(state.uncertain)}"] if state.uncertain else []
    return Table(f"Review of {name}", columns, [row | {"tight_low": low, "tight_high": high}], notes)
