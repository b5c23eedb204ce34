"""``twinbench dynamic report``: a single-file HTML report about live runs."""

from __future__ import annotations

from typing import Annotated

import typer

from twinbench.cli.dynamic.options import MovedPoolOption, RunsArgument
from twinbench.cli.help import Panel
from twinbench.cli.options import JsonOption
from twinbench.cli.pages import PageOption, command_line, refuse_output, write_page


def report(
    run_dirs: RunsArgument,
    *,
    output: PageOption,
    cut: Annotated[
        int,
        typer.Option(
            "--cut",
            metavar="N",
            min=0,
            help="Cut long texts, such as command outputs, to N characters; 0: do not cut.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = 2000,
    pool: MovedPoolOption = None,
    json_: JsonOption = False,
) -> None:
    """Write an HTML report about live runs: table, plot of bill against resolved cases, and every trajectory.

    It is a single file that opens offline, and says at the top whether the runs are rehearsals.
    """
    from dynamic_track.results.report import report as report_of
    from twinbench.display.html.plots import require_plots

    refuse_output(output, json_=json_)
    require_plots()
    found = report_of(run_dirs, cut=cut or None, pool=pool)
    options = {"--cut": None if cut == 2000 else cut, "--pool": pool}
    made_by = command_line("dynamic", [str(path) for path in run_dirs], options, output)
    write_page(found.html(made_by), output, json_=json_)
