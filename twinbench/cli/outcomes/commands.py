"""``twinbench outcomes``: what is known of models on tasks, and what it says of routing before a cent is spent."""

from __future__ import annotations

import typer

from twinbench.cli.help import Group
from twinbench.cli.outcomes import headroom, power, tables

app = typer.Typer(
    cls=Group, help="Outcomes of models on tasks: is there anything to win by routing?", no_args_is_help=True
)

app.command("import")(tables.import_)
app.command("list")(tables.list_)
app.command()(tables.show)
app.command()(tables.rm)
app.command()(headroom.headroom)
app.command()(power.power)
