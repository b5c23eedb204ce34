"""Options that the commands of tables of outcomes share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from twinbench.cli.help import Panel
from twinbench.cli.options import LevelOption, ResamplingOptions, SeedOption
from twinbench.statistics import DEFAULT_LEVEL, DEFAULT_RESAMPLES


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
    """Options that select tasks of a table."""

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
    """Options of the resampling of tasks."""

    resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            metavar="N",
            min=0,
            help="How often tasks are drawn again for intervals; 0: no intervals.",
            rich_help_panel=Panel.STATISTICS,
        ),
    ] = DEFAULT_RESAMPLES
    level: LevelOption = DEFAULT_LEVEL
    seed: SeedOption = 0


def pairs_of(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    """Parse the NAME=VALUE pairs of an option, separated by commas or given repeatedly.

    Raises:
        UsageError: a value has another form, or a name occurs twice.
    """
    from twinbench.errors import UsageError

    found: dict[str, str] = {}
    # A comma may be part of a model's name: a part without = belongs to the one before it.
    for each in (part for text in given for part in re.split(r",(?=[^,=]*=)", text.strip(",")) if part):
        name, equals, value = (part.strip() for part in each.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{option} {each!r}: give {example}")
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = value
    return found


def workloads_of(
    table: str, workload: str | None, store: str | None, models: Sequence[str], least: int = 1
) -> list[str | None]:
    """The workloads to show, each apart: the named one, or all in which all of these models are tried, and at least
    so many.

    Raises:
        UsageError: there are several workloads, and no such one.
    """
    from twinbench.errors import UsageError
    from twinbench.outcomes.keeping import open_table
    from twinbench.storage.store import Store

    if workload is not None:
        return [workload]
    outcomes = open_table(table, Store(store)).outcomes
    if len(outcomes.workloads) == 1:
        return [None]
    tried = {each: outcomes.grid(each).models for each in outcomes.workloads}
    fitting = [each for each, there in tried.items() if set(models) <= set(there) and len(there) >= least]
    if not fitting:
        what = f"all of {', '.join(models)}" if models else f"{least} models or more"
        raise UsageError(
            f"no workload of the table has {what}; there are {', '.join(tried)}: see outcomes show {table}"
        )
    return [*fitting]


def alone_or_several(contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A JSON document: that of the only workload, or all of them as ``workloads``."""
    return contents[0] if len(contents) == 1 else {"workloads": list(contents)}
