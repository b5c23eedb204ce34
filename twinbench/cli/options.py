"""Options that several commands share, so that each is spelt and explained in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.output import Format

if TYPE_CHECKING:
    from twinbench.plugins.limits import PluginLimits


def _banks(context: typer.Context, incomplete: str) -> list[str]:
    from twinbench.store import Store

    names = {"starter", *Store(context.params.get("store")).bank_names()}
    return sorted(name for name in names if name.startswith(incomplete))


def _routers(incomplete: str) -> list[str]:
    from twinbench.routers import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(incomplete)]


def _manifests(incomplete: str) -> list[str]:
    from twinbench.pools import manifest_names

    return [name for name in manifest_names() if name.startswith(incomplete)]


_ROUTER_HELP = (
    "A built-in or installed name, package.module:Class, path/to/file.py:Class, trb:module:factory or http://…; "
    "arguments as ?name=value&…"
)


def plugin_limits(
    load_s: float,
    decision_s: float,
    memory_mib: int,
    python: str | None,
    environment: list[str] | None,
    *,
    processes: bool,
) -> PluginLimits:
    """What routers' processes may take, from the options above; says what this platform cannot limit.

    Args:
        load_s: how long one may take to load.
        decision_s: how long a decision may take.
        memory_mib: the most memory.
        python: the interpreter of the routers' environment.
        environment: variables that they may see.
        processes: whether any router has a process at all; without one there is nothing to limit.
    """
    from twinbench.plugins.limits import PluginLimits, missing_limits

    for missing in missing_limits() if processes else ():
        typer.echo(f"note: on this platform {missing}", err=True)
    return PluginLimits(load_s, decision_s, memory_mib, python, tuple(environment or ()))


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="TWINBENCH_STORE",
        metavar="DIR",
        help="The store of banks and results; default: results/store in a checkout, else your data directory.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write the table.")]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")
]
BankOption = Annotated[
    str | None,
    typer.Option(
        "--bank",
        metavar="NAME",
        help="A bank of the store; default: the embedded one.",
        autocompletion=_banks,
        show_default=False,
    ),
]
BankArgument = Annotated[str, typer.Argument(metavar="NAME", help="A bank of the store.", autocompletion=_banks)]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="PART", help="Only this part of the bank (see: twinbench bank split).", show_default=False
    ),
]
TokenizersOption = Annotated[
    str,
    typer.Option(
        "--tokenizers", metavar="SET", help="The tokenizer set: offline, or native (fetched from the Hugging Face hub)."
    ),
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Run again what the store already holds.")]
RoutersArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ROUTER",
        help=_ROUTER_HELP,
        autocompletion=_routers,
        show_default=False,
    ),
]
RouterArgument = Annotated[
    str,
    typer.Argument(
        metavar="ROUTER",
        help=_ROUTER_HELP,
        autocompletion=_routers,
    ),
]
PythonOption = Annotated[
    str | None,
    typer.Option(
        "--python", metavar="PATH", help="The interpreter of the routers' own environment.", show_default=False
    ),
]
PluginMemoryOption = Annotated[
    int, typer.Option("--plugin-memory", metavar="MIB", min=64, help="The most memory a router's process may take.")
]
PluginEnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin-env",
        metavar="NAME",
        help="An environment variable that routers may see; repeatable.",
        show_default=False,
    ),
]
LoadTimeoutOption = Annotated[
    float, typer.Option("--load-timeout", metavar="SECONDS", min=0.1, help="How long a router may take to load.")
]
DecisionTimeoutOption = Annotated[
    float, typer.Option("--decision-timeout", metavar="SECONDS", min=0.01, help="How long one decision may take.")
]
PoolsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="POOL",
        help="A shipped manifest by name, or a file of your own.",
        autocompletion=_manifests,
        show_default=False,
    ),
]
PoolArgument = Annotated[
    str,
    typer.Argument(
        metavar="POOL", help="A shipped manifest by name, or a file of your own.", autocompletion=_manifests
    ),
]
