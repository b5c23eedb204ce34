"""``twinbench router``: list routers, create a new one, and check that a router behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinbench.cli.help import Group
from twinbench.cli.option_groups import takes_option_groups
from twinbench.cli.options import (
    BankOption,
    FormatOption,
    JsonOption,
    OrderSeedOption,
    OutputOption,
    RouterArgument,
    StoreOption,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable, progress
from twinbench.cli.plugin_options import PluginOptions
from twinbench.display.wording import counted

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.command("list")
def list_(*, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """List the built-in routers with their arguments, and routers of installed packages."""
    import importlib.metadata
    import inspect

    from twinbench.plugins.provenance import ENTRY_POINTS
    from twinbench.plugins.spec import FORMS
    from twinbench.routing.built_in import BUILT_IN

    rows: list[dict[str, Any]] = []
    for name, router in BUILT_IN.items():
        parameters = inspect.signature(router).parameters.values()
        rows.append(
            {
                "router": name,
                "from": "twinbench",
                "arguments": "&".join(f"{parameter.name}={parameter.default}" for parameter in parameters),
                "what": (inspect.getdoc(router) or "").partition("\n")[0],
            }
        )
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "installed"
        hidden = " (hidden by the built-in router of that name)" if point.name in BUILT_IN else ""
        rows.append({"router": point.name, "from": origin, "arguments": None, "what": f"{point.value}{hidden}"})
    if json_:
        print_json({"routers": rows}, output)
        return
    columns = [
        Column("router", "Router"),
        Column("from", "From"),
        Column("arguments", "?arguments"),
        Column("what", "Description or location"),
    ]
    print_table(Table("Routers", columns, rows, [f"Your own: {FORMS}."]), form, output)


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of the router and its project, such as my-router.")
    ],
    *,
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="Where to put the project's folder.")] = Path(),
    json_: JsonOption = False,
) -> None:
    """Create a plugin project: a router, its test, and the entry point that registers its name."""
    from twinbench.plugins.scaffold import new_project

    written = new_project(name, folder)
    if json_:
        print_json({"name": name, "files": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    package = name.replace("-", "_")
    router = "".join(part.capitalize() for part in package.split("_"))
    typer.echo(f"next: twinbench static score {folder / name / package / '__init__.py'}:{router}")


@app.command()
@takes_option_groups
def check(
    router: RouterArgument,
    *,
    bank: BankOption = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, help="About how many rows the router is asked about.")
    ] = 200,
    perturb: Annotated[
        bool, typer.Option("--perturb", help="Also make harmless changes to prompts and count decisions that flip.")
    ] = False,
    order_seed: OrderSeedOption = 0,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Check that a router is deterministic, cannot see labels, keeps sessions apart in any order, and survives odd
    content.

    Exit code 1 if a check failed; a warning is not a failure.
    """
    from static_track.banks.opening import open_bank
    from static_track.check import check_router
    from twinbench.storage.store import Store

    limits = plugins.limits(processes=True)
    with progress() as shown, open_bank(bank, Store(store), shown) as opened:
        report = check_router(router, opened, limits, rows=rows, order_seed=order_seed, perturb=perturb, progress=shown)
    if json_:
        print_json(report.to_json(), output)
    else:
        columns = [
            Column("name", "Check"),
            Column("status", "Status"),
            Column("reason", "Result"),
            Column("advice", "What to do"),
        ]
        title = f"{router}, {counted(report.rows, 'row')} of {report.bank.name}"
        found = [check.to_json() for check in report.checks]
        print_table(Table(title, columns, found, caveat=report.bank.caveat), form, output)
    if report.failed:
        typer.echo(f"error: failed checks: {printable(', '.join(report.failed))}", err=True)
        raise typer.Exit(1)
