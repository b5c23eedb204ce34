"""Plain-text help for commands and groups of commands, since loading rich would take longer than everything else.

Options are listed in the panels that their ``rich_help_panel`` names, as typer would do with rich.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

from twinbench.display.wording import did_you_mean

_BRACED_ARGUMENT = re.compile(r"^\{([^.}]*(?:\.\.\.)?)\}(?:\.\.\.)?$")
"""An argument as typer writes it: {PATH}, {PATH...}..."""
_NO_LIMIT = 10_000
"""Largest length of a command's summary in the help of its group: practically unlimited."""
_WIDEST_NAME = 28
"""Largest width of the column of names; the explanation of a longer name starts on the next line."""


class Panel:
    """The titles of option panels in help, in their order; options without a panel come first."""

    TASKS = "Tasks"
    BANK = "Bank and store"
    CONTAINERS = "Containers"
    ROUTER_PROCESS = "Router process"
    LLM_CALLS = "LLM calls"
    SIMULATED_MODELS = "Simulated models"
    STATISTICS = "Statistics"
    OUTPUT = "Output"


_PANELS = [title for name, title in vars(Panel).items() if name.isupper()]


class Command(TyperCommand):
    """A command whose help lists options in panels, and whose usage line writes PATH rather than {PATH}."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the usage line."""
        return [_BRACED_ARGUMENT.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a value that an option does not take is refused in our words instead of pydantic's."""
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            if callable(details := getattr(error.__cause__, "errors", None)):
                from twinbench.reading.validation import describe_validation_error  # pydantic is loaded already

                error.message = describe_validation_error(details()[0])
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help shows the full summary of each command."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.suggest_commands = False  # did_you_mean does that, as for all other names

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options and commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, grouped by panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            panel, explained = self.summary(name)
            panels.setdefault(panel or "Commands", []).append((name, explained))
        _write_sections(panels.items(), formatter)

    def summary(self, name: str) -> tuple[str | None, str]:
        """Return a command's panel and summary in the group's help."""
        command: Any = self.commands[name]
        return command.rich_help_panel, command.get_short_help_str(_NO_LIMIT)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's own signature
        """Return the names of the commands without loading them."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names; the error for an unknown command suggests similar names."""
        known = args[0] in self.commands or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:  # during shell completion, report no error
            ctx.fail(f"No such command {args[0]!r}{did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []} | {panel: [] for panel in _PANELS}
    for parameter in command.get_params(ctx):
        if (record := parameter.get_help_record(ctx)) is not None:
            is_argument = parameter.param_type_name == "argument"
            name = record[0].partition(" <")[0] if is_argument else record[0]  # of an argument its type tells nothing
            panels["Arguments" if is_argument else parameter.rich_help_panel or "Options"].append((name, record[1]))
    _write_sections(panels.items(), formatter)


def _write_sections(sections: Iterable[tuple[str, list[tuple[str, str]]]], formatter: Any) -> None:
    """Write lists of names and explanations under their titles, with all explanations in one column."""
    filled = [(title, rows) for title, rows in sections if rows]
    names = [len(name) for _, rows in filled for name, _ in rows]
    width = max((length for length in names if length <= _WIDEST_NAME), default=0)
    for title, rows in filled:
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), explained) for name, explained in rows], col_max=width)
