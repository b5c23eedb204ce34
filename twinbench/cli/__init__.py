"""The command line: a thin skin over the library. Each command imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from collections import UserDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main

from twinbench.cli.help import Command, Group
from twinbench.cli.signals import interrupted_by_signals, received_exit_code
from twinbench.errors import TwinbenchError

DEBUG_VARIABLE = "TWINBENCH_DEBUG"
INTERRUPTED = 130
"""The exit code of a command that was interrupted."""

_QUERY_INTERRUPTED = "Query interrupted"
"""All that DuckDB leaves of a KeyboardInterrupt that comes while one of its queries runs."""


@dataclass(frozen=True)
class _Part:
    """A command or a group of commands of the first level."""

    module: str
    """The module with it, below ``twinbench.cli``."""
    about: str
    """Its help's first sentence; ``twinbench --help`` shows it without loading the module."""
    is_group: bool = True


_PARTS = {
    "demo": _Part(
        "demo", "Score the built-in routers on the embedded bank: offline, no key, no spend.", is_group=False
    ),
    "static": _Part("static.commands", "Score routers offline: deterministic arithmetic, no judge, no spend."),
    "dynamic": _Part("dynamic.commands", "The live track: tasks, containers, verdicts."),
    "rehearse": _Part(
        "dynamic.rehearse",
        "Rehearse routers: the whole live track on small tasks and simulated models, for nothing.",
    ),
    "bank": _Part("static.bank", "Bring banks of prefixes into the store, look at them, take them out."),
    "outcomes": _Part("outcomes.commands", "Outcomes of models on tasks: is there anything to win by routing?"),
    "pool": _Part("pool", "Show and check the locked manifests: tiers, models, prices, splits."),
    "router": _Part("router", "List routers, start a new one, check one."),
}
"""The command line, by the first word of a command."""


class _Commands(UserDict[str, Any]):
    """The commands by name, each loaded when it is asked for: a score does not wait for what a live run imports."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            self.data[name] = _load(name)
        return self.data[name]


@cache
def _load(name: str) -> Any:
    """A group or command as typer makes it of what its module defines; made once, also for several command lines."""
    part = _PARTS[name]
    module = import_module(f"twinbench.cli.{part.module}")
    alone = typer.Typer(rich_markup_mode=None)
    alone.callback()(lambda: None)
    if part.is_group:
        for group in (module.app, *(each.typer_instance for each in module.app.registered_groups)):
            for registered in group.registered_commands if group is not None else ():
                registered.cls = Command
        alone.add_typer(module.app, name=name, help=part.about)
    else:
        alone.command(name, cls=Command, help=part.about)(getattr(module, name))
    return typer.main.get_group(alone).commands[name]


class _Root(Group):
    """The command line as a whole."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(dict.fromkeys(_PARTS))

    def summary(self, name: str) -> tuple[str | None, str]:
        """No panel, and what is said of the command without loading it."""
        return None, _PARTS[name].about


app = typer.Typer(
    name="twinbench",
    cls=_Root,
    help="The reference harness for LLM routing in agents: every call of a trajectory is judged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        import twinbench

        typer.echo(f"twinbench {twinbench.__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """The reference harness for LLM routing in agents: every call of a trajectory is judged."""


def run() -> None:
    """Run the command line of this process, and leave with its exit code."""
    # Loading modules makes many objects and no garbage; to look for some as often as by default, and at all of them
    # once more in the end, takes a tenth of a short command.
    gc.set_threshold(50_000)
    with interrupted_by_signals():
        code = exit_code()
        gc.freeze()
    sys.exit(code)


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: errors are printed for people, never as a traceback.

    Args:
        arguments: what stands behind ``twinbench``; default: the arguments of this process.

    Returns:
        0 ok, 1 the thing asked about failed, 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
    """
    _write_utf8()
    code = _ended(arguments)
    if code == INTERRUPTED:
        with contextlib.suppress(OSError):  # the terminal that it would be said on may be what is gone
            typer.echo("interrupted", err=True)
        code = received_exit_code() or code
    written = _write_out(tell=code == 0)
    return code or written


def _ended(arguments: Sequence[str] | None) -> int:
    try:
        app(arguments, prog_name="twinbench")
    except SystemExit as ended:  # how typer ends, when all is well too
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except TwinbenchError as error:
        _complain(str(error), error)
        return error.exit_code
    except OSError as error:  # a file that may not be read, a full disk behind standard output
        return INTERRUPTED if received_exit_code() is not None else _refused(error)
    except RuntimeError as error:
        return INTERRUPTED if str(error) == _QUERY_INTERRUPTED else _unexpected(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person is told what to do
        return _unexpected(error)
    return 0


def _write_out(*, tell: bool) -> int:
    """Write what still waits for standard output, of which the interpreter would tell in its own words as it ends."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes
        return _refused(error) if tell and not isinstance(error, BrokenPipeError) else 1
    return 0


def _write_utf8() -> None:
    """Write files and pipes as UTF-8 whatever the locale says, and let no text from outside fail the writing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _refused(error: OSError) -> int:
    _complain(f"cannot read or write {error.filename or 'standard output'} ({error.strerror or error})", error)
    return 1


def _unexpected(error: Exception) -> int:
    _complain(
        f"unexpected {type(error).__name__}: {error}\nThis is a bug in twinbench. Please report it with the "
        f"traceback that {DEBUG_VARIABLE}=1 shows.",
        error,
    )
    return 1


def _complain(text: str, error: Exception) -> None:
    from twinbench.cli.output import printable

    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    typer.echo(f"error: {printable(text)}", err=True)
