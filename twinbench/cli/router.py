"""``twinbench router``: list routers, create a new one, and check that a router behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinbench.cli import tuning
from twinbench.cli.help import Group
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    BankOption,
    FormatOption,
    JsonOption,
    OrderSeedOption,
    OutputOption,
    PricesOption,
    RouterArgument,
    SplitOption,
    StoreOption,
    TokenizersOption,
)
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.cli.plugin_options import FitOptions, PluginOptions
from twinbench.display.wording import format_count, format_trajectories

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.command("list")
def list_(*, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """List the built-in routers with their arguments, and routers of installed packages."""
    import importlib.metadata
    import inspect

    from twinbench.plugins.provenance import ENTRY_POINTS
    from twinbench.plugins.spec import FORMS
    from twinbench.routers.registry import BUILT_IN, needs_of

    rows: list[dict[str, Any]] = []
    for name, router in BUILT_IN.items():
        parameters = inspect.signature(router).parameters.values()
        rows.append(
            {
                "router": name,
                "from": "twinbench",
                "needs": needs_of(name),
                "arguments": "&".join(f"{parameter.name}={parameter.default}" for parameter in parameters),
                "what": (inspect.getdoc(router) or "").partition("\n")[0],
            }
        )
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "installed"
        hidden = " (hidden by the built-in router of that name)" if point.name in BUILT_IN else ""
        rows.append(
            {"router": point.name, "from": origin, "needs": None, "arguments": None, "what": f"{point.value}{hidden}"}
        )
    if json_:
        print_json({"routers": rows}, output)
        return
    columns = [
        Column("router", "Router"),
        Column("from", "From"),
        Column("needs", "Needs"),
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
    learned: Annotated[bool, typer.Option("--learned", help="Start from a router that is trained on a bank.")] = False,
    json_: JsonOption = False,
) -> None:
    """Create a plugin project: a router, its test, and the entry point that registers its name."""
    from twinbench.plugins.scaffold import write_project

    written = write_project(name, folder, learned=learned)
    if json_:
        print_json({"name": name, "files": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    package = name.replace("-", "_")
    router = "".join(part.capitalize() for part in package.split("_"))
    spec = f"{folder / name / package / '__init__.py'}:{router}"
    typer.echo(f"next: twinbench {f'router train {spec} --out MODEL' if learned else f'static score {spec}'}")


@app.command()
@expand_option_groups
def check(
    router: RouterArgument,
    *,
    bank: BankOption = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, help="About how many rows the router decides.")
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
        title = f"{router}, {format_count(report.rows, 'row')} of {report.bank.name}"
        found = [check.to_json() for check in report.checks]
        notes = (
            ["The other checks were not run: a router that answers nothing fails them all."] if report.cut_short else []
        )
        print_table(Table(title, columns, found, notes, caveat=report.bank.caveat), form, output)
    if report.failed:
        typer.echo(f"error: failed checks: {make_printable(', '.join(report.failed))}", err=True)
        raise typer.Exit(1)


@app.command()
@expand_option_groups
def train(
    router: RouterArgument,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make: the trained router.")],
    bank: BankOption = None,
    split: SplitOption = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Of the order in which trajectories are given, and of random generators in the router's process.",
        ),
    ] = 0,
    tokenizers: TokenizersOption = "offline",
    prices: PricesOption = None,
    fit: FitOptions,
    plugins: PluginOptions,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Train a router on a part of a bank: its methods fit and save are called in a process of its own.

    The folder that is made is a router, by its path, in both tracks. Instances of heldout100 are left out.
    """
    from static_track.banks.opening import open_bank
    from static_track.evaluator import Evaluator
    from static_track.training import train as train_router
    from twinbench.storage.manifest_files import static_manifest
    from twinbench.storage.store import Store

    limits = plugins.limits(processes=True)
    with progress() as shown, open_bank(bank, Store(store), shown) as opened:
        judge = Evaluator(
            opened,
            split=split,
            manifest=None if prices is None else static_manifest(prices),
            tokenizers=tokenizers,
            plugins=limits,
            progress=shown,
        )
        artefact = train_router(judge, router, out, seed=seed, fit=fit.limits())
        caveat = opened.info.caveat
    data = artefact.manifest.data
    if json_:
        told = {} if caveat is None else {"caveat": caveat}
        print_json({"folder": str(out), "fingerprint": artefact.fingerprint, **artefact.manifest.model_dump(), **told})
        return
    rows, of = format_count(data.rows, "row"), format_trajectories(data.trajectories, data.groups)
    part = data.bank if data.part is None else f"{data.bank}, part {data.part}"
    typer.echo(make_printable(f"trained on {rows} of {of} of {part} (seed {seed}): {out}"))
    if caveat is not None:
        typer.echo(make_printable(f"note: {caveat}"), err=True)
    typer.echo(make_printable(f"next: twinbench static score {out} --bank {data.bank} --split PART"))


app.command()(tuning.tune)
