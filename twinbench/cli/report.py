"""``twinbench static report`` and ``dynamic report``: pages of one file, for other people."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from twinbench.cli.judging import judged, tell_failures
from twinbench.cli.live_options import MovedPoolOption
from twinbench.cli.options import (
    GatewayOptions,
    JsonOption,
    JudgingOptions,
    PluginOptions,
    PredictionsOption,
    ResamplingOptions,
    RoutersArgument,
    takes_option_groups,
)
from twinbench.cli.output import print_json, printable, write_text
from twinbench.statistics import LEVEL, RESAMPLES

_PageOption = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="The page to write, such as report.html.")
]


@takes_option_groups
def static(
    routers: RoutersArgument = None,
    *,
    output: _PageOption,
    predictions: PredictionsOption = None,
    judging: JudgingOptions,
    resampling: ResamplingOptions,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=0, help="The most failures and overspending steps of a router; 0: all."
        ),
    ] = 5,
    points: Annotated[
        int, typer.Option("--points", metavar="N", min=0, help="Thresholds of a curve; less than 2: no curves.")
    ] = 11,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
) -> None:
    """Write a page about routers on a bank: table, plots, curves, confusion, workloads, worst steps.

    One file that opens offline. Exit code 1 where a router failed on every row, or was given up on; the page says so.
    """
    from static_track.analysis.report import report
    from twinbench.display.html.plots import require_plots

    _refuse_output(output, json_=json_)
    require_plots()
    drawing = resampling.drawing()
    asked = routers or []
    options = {
        "--predictions": predictions,
        "--bank": judging.bank,
        "--split": judging.split,
        "--tokenizers": None if judging.tokenizers == "offline" else judging.tokenizers,
        "--prices": judging.prices,
        "--order-seed": judging.order_seed or None,
        "--resamples": None if resampling.resamples == RESAMPLES else resampling.resamples,
        "--level": None if resampling.level == LEVEL else resampling.level,
        "--seed": resampling.seed or None,
        "--limit": None if limit == 5 else limit,
        "--points": None if points == 11 else points,
    }
    with judged(judging, plugins, gateway, asked) as (opened, judge):
        found = report(opened, judge, asked, predictions or [], drawing, limit=limit or None, points=points)
    _write(found.html(_command("static", asked, options, output)), output, json_=json_)
    if tell_failures(found.board.entries):
        raise typer.Exit(1)


def dynamic(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories.")],
    *,
    output: _PageOption,
    cut: Annotated[
        int,
        typer.Option(
            "--cut", metavar="N", min=0, help="Characters that are kept of a long text, such as an observation; 0: all."
        ),
    ] = 2000,
    pool: MovedPoolOption = None,
    json_: JsonOption = False,
) -> None:
    """Write a page about live runs: table, bill against resolved, and every trajectory call by call.

    One file that opens offline. The page says first whether the runs are rehearsals.
    """
    from dynamic_track.results.report import report
    from twinbench.display.html.plots import require_plots

    _refuse_output(output, json_=json_)
    require_plots()
    found = report(run_dirs, cut=cut or None, pool=pool)
    options = {"--cut": None if cut == 2000 else cut, "--pool": pool}
    _write(found.html(_command("dynamic", [str(path) for path in run_dirs], options, output)), output, json_=json_)


def _refuse_output(output: str, *, json_: bool) -> None:
    """Refuse at once what would be refused in the end.

    Raises:
        UsageError: the page can go to no such file.
    """
    from twinbench.errors import UsageError

    if output == "-" and json_:
        raise UsageError("-o - writes the page to standard output, and --json would too: name a file")
    folder = Path(output).parent
    if output != "-" and (Path(output).is_dir() or not folder.is_dir()):
        what = f"{folder} is no folder" if not folder.is_dir() else "it is a folder"
        raise UsageError(f"-o {output}: {what}; name a file, such as report.html")


def _command(track: str, arguments: list[str], options: dict[str, Any], output: str) -> str:
    words = ["twinbench", track, "report", *arguments]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            words += [name, str(each)]
    return shlex.join([*words, "-o", output if output == "-" else Path(output).name])


def _write(page: str, output: str, *, json_: bool) -> None:
    write_text(page, output)
    size = len(page.encode())
    if json_:
        print_json({"file": output, "bytes": size})
    elif output != "-":
        typer.echo(f"{printable(output)}: {size:,} bytes, opens offline")
