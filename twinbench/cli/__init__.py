"""The command line: a thin skin over the library. Each command imports what it needs when it runs."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from twinbench.cli import (
    auditing,
    bank,
    curve,
    demo,
    dynamic,
    explain,
    imports,
    live,
    live_export,
    live_scores,
    pool,
    rehearse,
    report,
    router,
    running,
    runs,
    static,
)
from twinbench.cli.options import INTERRUPTED
from twinbench.errors import TwinbenchError

DEBUG_VARIABLE = "TWINBENCH_DEBUG"
_QUERY_INTERRUPTED = "Query interrupted"
"""All that DuckDB leaves of a KeyboardInterrupt that comes while one of its queries runs."""


class Command(TyperCommand):
    """A command whose usage line writes an argument as manuals do: PATH, where typer has {PATH}."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The pieces of the usage line."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]


app = typer.Typer(
    name="twinbench",
    help="The reference harness for LLM routing in agents: every call of a trajectory is judged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
static.app.command("explain")(explain.explain)
static.app.command("diff")(explain.diff)
static.app.command("curve")(curve.curve)
static.app.command("report")(report.static)
app.add_typer(static.app, name="static")
dynamic.app.command("run")(running.run)
dynamic.app.command("replay")(live.replay)
dynamic.app.command("audit")(auditing.audit)
dynamic.app.command("score")(live_scores.score)
dynamic.app.command("compare")(live_scores.compare)
dynamic.app.command("export")(live_export.export)
dynamic.app.command("status")(runs.status)
dynamic.app.command("stop")(runs.stop)
dynamic.app.command("merge")(runs.merge)
dynamic.app.add_typer(runs.app, name="runs")
dynamic.app.command("import")(imports.import_)
dynamic.app.command("report")(report.dynamic)
app.add_typer(dynamic.app, name="dynamic")
app.add_typer(rehearse.app, name="rehearse")
app.add_typer(bank.app, name="bank")
app.add_typer(pool.app, name="pool")
app.add_typer(router.app, name="router")
app.command("demo")(demo.demo)
for group in (app, static.app, bank.app, pool.app, router.app):
    for registered in group.registered_commands:
        registered.cls = Command


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
    code = exit_code()
    gc.freeze()
    sys.exit(code)


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: errors are printed for people, never as a traceback.

    Args:
        arguments: what stands behind ``twinbench``; default: the arguments of this process.

    Returns:
        0 ok, 1 the thing asked about failed, 2 wrong usage, 130 interrupted.
    """
    _write_utf8()
    try:
        app(arguments, prog_name="twinbench")
    except SystemExit as ended:  # how typer ends, when all is well too
        if ended.code == INTERRUPTED:
            typer.echo("interrupted", err=True)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except TwinbenchError as error:
        _complain(str(error), error)
        return error.exit_code
    except OSError as error:  # a file that may not be read, a full disk behind standard output
        _complain(f"cannot read or write {error.filename or 'standard output'} ({error.strerror or error})", error)
        return 1
    except RuntimeError as error:
        if str(error) == _QUERY_INTERRUPTED:
            typer.echo("interrupted", err=True)
            return INTERRUPTED
        return _unexpected(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person is told what to do
        return _unexpected(error)
    return 0


def _write_utf8() -> None:
    """Write files and pipes as UTF-8 whatever the locale says, and let no text from outside fail the writing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


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
