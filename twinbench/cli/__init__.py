"""The command line: a thin skin over the library. Each command imports what it needs when it runs."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
import threading
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.models import CommandInfo

from twinbench.cli.help import Command, Group
from twinbench.cli.signals import interrupt_on_signals, received_exit_code
from twinbench.errors import TwinbenchError

DEBUG_VARIABLE = "TWINBENCH_DEBUG"
INTERRUPTED = 130
"""Exit code of a command that was interrupted."""

_QUERY_INTERRUPTED = "Query interrupted"
"""The text of the error that DuckDB raises in place of a KeyboardInterrupt during a query."""


@dataclass(frozen=True)
class _CommandEntry:
    """A top-level command or group of commands."""

    module: str
    """The module that defines it, below ``twinbench.cli``."""
    about: str
    """The first sentence of its help, which ``twinbench --help`` shows without loading the module."""
    is_group: bool = True


_COMMANDS = {
    "demo": _CommandEntry(
        "demo", "Score the built-in routers on the embedded bank: offline, no key, no spend.", is_group=False
    ),
    "static": _CommandEntry("static.commands", "Score routers offline on labelled banks: deterministic, no spend."),
    "dynamic": _CommandEntry(
        "dynamic.commands", "Run routers live: agents solve tasks in containers, tests give verdicts."
    ),
    "rehearse": _CommandEntry(
        "dynamic.rehearse",
        "Rehearse routers: the whole live track on small tasks with simulated models, free of charge.",
    ),
    "bank": _CommandEntry("static.bank", "Import, build, inspect, split and export banks of recorded calls."),
    "outcomes": _CommandEntry("outcomes.commands", "Outcomes of models on tasks: is there anything to win by routing?"),
    "leaderboard": _CommandEntry(
        "leaderboard", "The leaderboard: list verified submissions, check all entries, build the pages."
    ),
    "pool": _CommandEntry("pool", "Show and check the locked manifests: tiers, models, prices, splits."),
    "router": _CommandEntry("router", "List routers, create a new one, or check one."),
    "submit": _CommandEntry("submit", "Submit results, and verify submissions."),
}
"""Commands and groups by their first word on the command line."""


class _LazyCommands(UserDict[str, Any]):
    """Commands by name, each made on first use: a score needs neither what a live run imports nor other commands."""

    def __init__(self, factories: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(factories)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self.data[name]()
        return self._made[name]


@cache
def _load(name: str) -> Any:
    """Import a command or group and return it as typer's object; done once, even for several command lines."""
    part = _COMMANDS[name]
    module = import_module(f"twinbench.cli.{part.module}")
    if not part.is_group:
        alone = _empty_app()
        alone.command(name, cls=Command, help=part.about)(getattr(module, name))
        return typer.main.get_group(alone).commands[name]
    return _make_group(name, module.app, part.about)


def _make_group(name: str, app: typer.Typer, about: str | None = None) -> Any:
    """Return a group as typer's object, but with commands that are made on first use; typer would make all of them."""
    commands, groups = app.registered_commands, app.registered_groups
    app.registered_commands, app.registered_groups = [], []
    alone = _empty_app()
    alone.add_typer(app, name=name)
    if about is not None:
        alone.registered_groups[0].help = about
    group: Any = typer.main.get_group(alone).commands[name]
    factories = {_command_name(each): partial(_make_command, each) for each in commands}
    for each in groups:
        assert each.name is not None  # noqa: S101 - all are named where they are added
        assert each.typer_instance is not None  # noqa: S101 - as typer itself asserts
        factories[each.name] = partial(_make_group, each.name, each.typer_instance)
    group.commands = _LazyCommands(factories)
    return group


def _command_name(registered: CommandInfo) -> str:
    assert registered.callback is not None  # noqa: S101 - as typer itself asserts
    return registered.name or typer.main.get_command_name(registered.callback.__name__)


def _make_command(registered: CommandInfo) -> Any:
    registered.cls = Command
    alone = _empty_app()
    alone.registered_commands.append(registered)
    return typer.main.get_group(alone).commands[_command_name(registered)]


def _empty_app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    return app


class _Root(Group):
    """The top-level command group."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands({name: partial(_load, name) for name in _COMMANDS})

    def summary(self, name: str) -> tuple[str | None, str]:
        """Return no panel, and the command's summary without loading the command."""
        return None, _COMMANDS[name].about


app = typer.Typer(
    name="twinbench",
    cls=_Root,
    help="The reference harness for LLM routing in agents: it scores a router on every call of a trajectory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        import twinbench

        typer.echo(f"twinbench {twinbench.__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The reference harness for LLM routing in agents: it scores a router on every call of a trajectory."""


def run() -> NoReturn:
    """Run the command line of this process, and end the process with its exit code."""
    _end_process(run_in_process())


def run_in_process() -> int:
    """Run the command line as this process's main function, which signals interrupt, and return its exit code."""
    _open_closed_streams()
    # Importing modules makes many objects and no garbage; collecting at the default threshold takes a tenth of a short
    # command's time.
    gc.set_threshold(200_000)
    # Idle threads of numpy's OpenBLAS would spin for a tenth of a second on a core that DuckDB needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    with interrupt_on_signals():
        return exit_code()


def _end_process(code: int) -> NoReturn:
    """End this process as ``sys.exit`` does, but without freeing its objects one by one; mypy ends in the same way.

    Freeing them takes as long as scoring a router, and the system frees the memory anyway.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    if not all(thread.daemon for thread in others):  # only the interpreter can wait for the threads of other libraries
        gc.freeze()
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # reported already, by exit_code
            stream.flush()
    os._exit(code)


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are printed as messages, never as a traceback.

    Args:
        arguments: the arguments after ``twinbench``; default: the arguments of this process.

    Returns:
        0 success, 1 failure, 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
    """
    _set_output_to_utf8()
    code = _run_app(arguments)
    if code == INTERRUPTED:
        with contextlib.suppress(OSError):  # the terminal may be gone
            typer.echo("interrupted", err=True)
        code = received_exit_code() or code
    written = _flush_stdout(tell=code == 0)
    return code or written


def _run_app(arguments: Sequence[str] | None) -> int:
    try:
        app(arguments, prog_name="twinbench")
    except SystemExit as ended:  # typer always ends this way, also on success
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except TwinbenchError as error:
        _print_error(str(error), error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: tell the user what to do
        # Libraries turn the KeyboardInterrupt that ends them into errors of their own.
        if received_exit_code() is not None or str(error) == _QUERY_INTERRUPTED:
            return INTERRUPTED
        # An OSError is for example an unreadable file, or a full disk behind standard output.
        return _report_os_error(error) if isinstance(error, OSError) else _report_unexpected(error)
    return 0


def _flush_stdout(*, tell: bool) -> int:
    """Flush standard output, whose errors the interpreter would otherwise report in its own words at exit."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard the rest
        return _report_os_error(error) if tell and not isinstance(error, BrokenPipeError) else 1
    return 0


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that was closed when this process started.

    Otherwise the next file that is opened would take the stream's place, and what is printed would be written into it.
    ``sys.stdin`` stays None, so a command that needs it can say that it is closed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            if name != "stdin":
                setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - open to the end


def _set_output_to_utf8() -> None:
    """Write files and pipes as UTF-8 whatever the locale, and escape characters that cannot be encoded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _report_os_error(error: OSError) -> int:
    _print_error(f"cannot read or write {error.filename or 'standard output'} ({error.strerror or error})", error)
    return 1


def _report_unexpected(error: Exception) -> int:
    _print_error(
        f"unexpected {type(error).__name__}: {error}\nThis is a bug in twinbench. Please report it with the "
        f"traceback that {DEBUG_VARIABLE}=1 shows.",
        error,
    )
    return 1


def _print_error(text: str, error: Exception) -> None:
    from twinbench.cli.output import make_printable

    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    typer.echo(f"error: {make_printable(text)}", err=True)
