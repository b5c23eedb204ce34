"""Options about the processes of routers, and what they mean: limits, isolation, what is shown of their output."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.help import Panel
from twinbench.cli.output import make_printable
from twinbench.plugins.output import RouterOutput

if TYPE_CHECKING:
    from twinbench.plugins.limits import Isolation, PluginLimits
    from twinbench.plugins.training import FitLimits


class IsolationLevel(StrEnum):
    """Where a router's process runs."""

    default = "default"
    strict = "strict"


_MOST_OUTPUT_LINES = 20
"""How many lines of a router's output before its failure are shown."""


def _show_output(router: str, text: str) -> None:
    """Show what a router printed, each line under its name."""
    for line in text.splitlines():
        typer.echo(make_printable(f"{router} | {line}"), err=True)


def _strict(image: str | None, wheels: Path | None) -> Isolation:
    from twinbench.containers.base_image import BASE_IMAGE
    from twinbench.containers.engine import Engine
    from twinbench.containers.strict import StrictIsolation

    return StrictIsolation(Engine.connect(), image or BASE_IMAGE, wheels)


def _refuse_assignments(names: Iterable[str]) -> None:
    from twinbench.errors import UsageError

    for name in names:
        if "=" in name or not name:
            key = name.partition("=")[0] or "NAME"
            raise UsageError(f"--plugin-env {name}: give the name alone, {key}, of a variable that is set")


PythonOption = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="The interpreter of the routers' own environment.",
        show_default=False,
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
PluginMemoryOption = Annotated[
    int,
    typer.Option(
        "--plugin-memory",
        metavar="MIB",
        min=64,
        help="The most memory a router's process may take.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
PluginEnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin-env",
        metavar="NAME",
        help="An environment variable that routers may see; repeatable.",
        show_default=False,
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
PluginOutputOption = Annotated[
    bool,
    typer.Option(
        "--plugin-output",
        help="Show what routers print, on standard error; without it, only what they printed before they first failed.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
IsolationOption = Annotated[
    IsolationLevel,
    typer.Option(
        "--isolation",
        help="default: a process of this machine, against accidents; strict: a container without network, which sees "
        "the router's own folder and nothing else.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
PluginImageOption = Annotated[
    str | None,
    typer.Option(
        "--plugin-image",
        metavar="IMAGE",
        help="The image for --isolation strict, with Python 3.10 or newer; default: Debian with its Python.",
        show_default=False,
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
PluginWheelsOption = Annotated[
    Path | None,
    typer.Option(
        "--plugin-wheels",
        metavar="DIR",
        help="Wheels that routers may import under --isolation strict.",
        exists=True,
        file_okay=False,
        show_default=False,
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
LoadTimeoutOption = Annotated[
    float,
    typer.Option(
        "--load-timeout",
        metavar="SECONDS",
        min=0.1,
        help="How long a router may take to load.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
DecisionTimeoutOption = Annotated[
    float,
    typer.Option(
        "--decision-timeout",
        metavar="SECONDS",
        min=0.01,
        help="How long one decision may take.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]


@dataclass(frozen=True, kw_only=True)
class PluginOptions:
    """Options for the limits of routers' processes."""

    python: PythonOption = None
    plugin_memory: PluginMemoryOption = 4096
    plugin_env: PluginEnvOption = None
    plugin_output: PluginOutputOption = False
    isolation: IsolationOption = IsolationLevel.default
    plugin_image: PluginImageOption = None
    plugin_wheels: PluginWheelsOption = None
    load_timeout: LoadTimeoutOption = 120
    decision_timeout: DecisionTimeoutOption = 30
    _output: RouterOutput = field(default_factory=RouterOutput, init=False)

    def with_isolation(self, level: IsolationLevel) -> PluginOptions:
        """Return the same options with another isolation; what was printed is kept in the same place."""
        other = replace(self, isolation=level)
        object.__setattr__(other, "_output", self._output)
        return other

    def tell_output(self) -> None:
        """Show what routers printed before they first failed, where it was not shown as it came."""
        if self.plugin_output:
            return
        for router, text in self._output.failures().items():
            lines = "".join(f"\n  {line}" for line in text.splitlines()[-_MOST_OUTPUT_LINES:])
            typer.echo(
                make_printable(f"{router} printed before it first failed (--plugin-output shows all):{lines}"), err=True
            )

    def limits(self, *, processes: bool) -> PluginLimits:
        """Return the limits; prints a note for each that this platform cannot enforce.

        Args:
            processes: whether any router has a process at all; without one there is nothing to limit.

        Raises:
            UsageError: options that exclude each other.
            NoEngineError: strict isolation is requested, but there is no Docker engine.
        """
        from twinbench.errors import UsageError
        from twinbench.plugins.limits import PluginLimits, missing_limits

        _refuse_assignments(self.plugin_env or ())
        for name in self.plugin_env or () if processes else ():
            if name not in os.environ:
                typer.echo(make_printable(f"note: --plugin-env {name}: no such variable is set"), err=True)
        limits = PluginLimits(
            self.load_timeout,
            self.decision_timeout,
            self.plugin_memory,
            self.python,
            tuple(self.plugin_env or ()),
            output=self._output,
        )
        self._output.listener = _show_output if self.plugin_output else None
        if self.isolation is IsolationLevel.strict:
            if self.python is not None:
                raise UsageError(
                    "--python names an environment of this machine: with --isolation strict, --plugin-image"
                )
            return replace(limits, isolation=_strict(self.plugin_image, self.plugin_wheels))
        if self.plugin_image is not None or self.plugin_wheels is not None:
            raise UsageError("--plugin-image and --plugin-wheels require --isolation strict")
        for missing in missing_limits() if processes else ():
            typer.echo(f"note: on this platform {missing}", err=True)
        return limits


FoldWorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="How many folds to train and ask in parallel, as processes; not with strict isolation or a gateway.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
FitTimeoutOption = Annotated[
    float,
    typer.Option(
        "--fit-timeout",
        metavar="SECONDS",
        min=0.1,
        help="How long fit may take.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]
FitMemoryOption = Annotated[
    int,
    typer.Option(
        "--fit-memory",
        metavar="MIB",
        min=64,
        help="The most memory a router's process may take while it is trained.",
        rich_help_panel=Panel.ROUTER_PROCESS,
    ),
]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Options that limit the training of a router."""

    fit_timeout: FitTimeoutOption = 900
    fit_memory: FitMemoryOption = 8192

    def limits(self) -> FitLimits:
        """Return the limits that the options give."""
        from twinbench.plugins.training import FitLimits

        return FitLimits(self.fit_timeout, self.fit_memory)
