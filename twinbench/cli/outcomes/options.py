"""Options that the commands of tables of outcomes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from twinbench.cli.help import Panel
from twinbench.cli.options import LevelOption, ResamplingOptions, SeedOption
from twinbench.statistics import LEVEL, RESAMPLES


def _tables(context: typer.Context, incomplete: str) -> list[str]:
    from twinbench.outcomes.keeping import shipped_names
    from twinbench.storage.store import Store

    names = {*shipped_names(), *Store(context.params.get("store")).outcomes_names()}
    return sorted(name for name in names if name.startswith(incomplete))


TableArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A table of the store, or one that ships with twinbench.", autocompletion=_tables
    ),
]
WorkloadOption = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="NAME",
        help="Only this workload; default: each.",
        show_default=False,
        rich_help_panel=Panel.TASKS,
    ),
]
PenaltyOption = Annotated[
    float | None,
    typer.Option(
        "--penalty-usd",
        metavar="USD",
        help="What an unresolved task adds to a bill; default: what the locked live pool says.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ChoosingOptions:
    """Which tasks of a table, as options say."""

    workload: WorkloadOption = None
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GLOB",
            help="Only tasks that match; repeatable.",
            show_default=False,
            rich_help_panel=Panel.TASKS,
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="PART",
            help="Only a named part of them: heldout100.",
            show_default=False,
            rich_help_panel=Panel.TASKS,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class OutcomesResamplingOptions(ResamplingOptions):
    """How tasks are drawn again, as options say."""

    resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            metavar="N",
            min=0,
            help="How often tasks are drawn again for intervals; 0: no intervals.",
            rich_help_panel=Panel.STATISTICS,
        ),
    ] = RESAMPLES
    level: LevelOption = LEVEL
    seed: SeedOption = 0


def pairs_of(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    """What an option says as NAME=VALUE, several of them with commas or given again.

    Raises:
        UsageError: it does not, or a name stands twice.
    """
    from twinbench.errors import UsageError

    found: dict[str, str] = {}
    for each in (part for text in given for part in text.split(",") if part):
        name, equals, value = (part.strip() for part in each.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{option} {each!r}: give {example}")
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = value
    return found


def workloads_of(table: str, workload: str | None, store: str | None, models: Sequence[str]) -> list[str | None]:
    """The workloads to show, each apart: the named one, or all in which all of these models are tried."""
    from twinbench.outcomes.keeping import open_table
    from twinbench.storage.store import Store

    if workload is not None:
        return [workload]
    outcomes = open_table(table, Store(store)).outcomes
    if len(outcomes.workloads) == 1:
        return [None]
    fitting: list[str | None] = [each for each in outcomes.workloads if set(models) <= set(outcomes.grid(each).models)]
    return fitting or [None]


def alone_or_several(contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A JSON document: that of the only workload, or all of them as ``workloads``."""
    return contents[0] if len(contents) == 1 else {"workloads": list(contents)}
