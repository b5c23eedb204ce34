"""``twinbench dynamic export``: export a run for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.dynamic.options import RunArgument
from twinbench.cli.help import Panel
from twinbench.cli.output import make_printable, print_json, progress
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from dynamic_track.results.loading import LoadedRun
    from twinbench.display.progress import Progress


class ExportFormat(StrEnum):
    """File formats of an export."""

    jsonl = "jsonl"
    otel = "otel"
    inspect = "inspect"


class RecordKind(StrEnum):
    """What each line of a ``jsonl`` export describes."""

    calls = "calls"
    trials = "trials"
    attempts = "attempts"
    predictions = "predictions"


def export(
    run_dir: RunArgument,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write, which must not exist; - is standard output. For inspect it must end in .eval.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="jsonl: flat rows; otel: OpenTelemetry spans as OTLP/JSON lines; inspect: a log of inspect_ai.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = ExportFormat.jsonl,
    what: Annotated[
        RecordKind | None,
        typer.Option(
            "--what",
            help="What each jsonl line describes; default: calls. predictions: patches in SWE-bench's format.",
            show_default=False,
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            metavar="N",
            min=1,
            help="Which trial of each case --what predictions exports (SWE-bench allows one); default: the first.",
            show_default=False,
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = None,
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a summary as JSON on standard output; needs -o FILE.", rich_help_panel=Panel.OUTPUT
        ),
    ] = False,
) -> None:
    """Export the finished trials of a run, for data frames, trace viewers and inspect view."""
    from dynamic_track.results.loading import load_run
    from twinbench.errors import TwinbenchError, UsageError

    to_stdout = str(output) == "-"
    if to_stdout and json_:
        raise UsageError("--json prints a summary to standard output, so the export needs a file: add -o FILE")
    if what is not None and form is not ExportFormat.jsonl:
        raise UsageError(f"--what works with --format jsonl only; {form} contains everything")
    if trial is not None and what is not RecordKind.predictions:
        raise UsageError("--trial works with --what predictions only; other exports contain every trial")
    if form is ExportFormat.inspect and output.suffix != ".eval":
        raise UsageError(f"-o {output}: the name must end in .eval, by which inspect_ai recognises logs")
    if not to_stdout and (output.is_file() or output.is_dir()):
        raise UsageError(f"{output} exists already: choose another -o")
    with progress() as shown:
        shown(f"reading {run_dir}", 0, None)
        run = load_run(run_dir)
        if not run.trials:
            raise TwinbenchError(f"no trial of {run_dir} has finished: there is nothing to export")
        lines = None if form is ExportFormat.inspect else _lines(run, form, what or RecordKind.calls, trial or 1, shown)
        if lines is None:
            _write_log(run, output, shown)
    if lines is None:
        records, noun = len(run.trials), "sample"
    else:
        _write_lines(lines, output, to_stdout=to_stdout)
        records, noun = (
            len(lines),
            "trace" if form is ExportFormat.otel else (what or RecordKind.calls).removesuffix("s"),
        )
    if what is RecordKind.predictions and (lost := sum(each.trial == (trial or 1) for each in run.trials) - records):
        typer.echo(
            f"note: left out, because infrastructure or the cap ended them: {format_count(lost, 'trial')}", err=True
        )
    if run.unended:
        typer.echo(f"note: left out, because they have not finished: {format_count(run.unended, 'trial')}", err=True)
    if json_:
        print_json(
            {
                "simulated": run.simulated,
                "run": str(run_dir),
                "router": run.router,
                "fingerprint": run.fingerprint,
                "format": form.value,
                "output": str(output),
                "records": records,
                "trials": len(run.trials),
                "unended": run.unended,
            }
        )
        return
    if run.simulated:
        typer.echo(f"note: {run.origin.value}", err=True)
    if not to_stdout:
        typer.echo(make_printable(f"{format_count(records, noun)}: {output}"), err=True)


def _lines(run: LoadedRun, form: ExportFormat, what: RecordKind, trial: int, shown: Progress) -> list[str]:
    if form is ExportFormat.otel:
        from dynamic_track.exporting.otel import otlp_lines

        lines = []
        for done, line in enumerate(otlp_lines(run), 1):
            lines.append(line)
            shown("exporting, trials", done, len(run.trials))
        return lines
    from dynamic_track.exporting.jsonl import LineContent, json_lines

    return list(json_lines(run, LineContent(what.value), trial))


def _write_lines(lines: list[str], output: Path, *, to_stdout: bool) -> None:
    from twinbench.storage.files import atomic_write

    if to_stdout:
        for line in lines:
            typer.echo(line, nl=False)
        return
    with atomic_write(output) as path, path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def _write_log(run: LoadedRun, output: Path, shown: Progress) -> None:
    from dynamic_track.exporting.inspect_logs import write_inspect_log
    from twinbench.storage.files import atomic_write

    with atomic_write(output) as path:
        write_inspect_log(run, path, shown)
