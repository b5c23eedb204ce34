"""``twinbench router``: which routers there are."""

from __future__ import annotations

import typer

from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table

app = typer.Typer(help="List routers.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """List routers."""


@app.command("list")
def list_(json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """List the built-in routers with their arguments."""
    import inspect

    from twinbench.routers import BUILT_IN

    rows = []
    for name, router in BUILT_IN.items():
        parameters = inspect.signature(router).parameters.values()
        rows.append(
            {
                "router": name,
                "arguments": "&".join(f"{parameter.name}={parameter.default}" for parameter in parameters),
                "what": (inspect.getdoc(router) or "").partition("\n")[0],
            }
        )
    if json_:
        print_json({"routers": rows})
        return
    columns = [Column("router", "Router"), Column("arguments", "?arguments"), Column("what", "What it does")]
    notes = ["Your own: package.module:Class or path/to/file.py:Class."]
    print_table(Table("Built-in routers", columns, rows, notes), form, output)
