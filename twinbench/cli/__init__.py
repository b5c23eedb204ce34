"""The command line: a thin skin over the library. Each command imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from twinbench.cli import bank, demo, pool, router, static
from twinbench.errors import TwinbenchError

DEBUG_VARIABLE = "TWINBENCH_DEBUG"
INTERRUPTED = 130

app = typer.Typer(
    name="twinbench",
    help="The reference harness for LLM routing in agents: every call of a trajectory is judged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(static.app, name="static")
app.add_typer(bank.app, name="bank")
app.add_typer(pool.app, name="pool")
app.add_typer(router.app, name="router")
app.command("demo")(demo.demo)


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
    """Run the command line: errors are printed for people, never as a traceback.

    Exit codes: 0 ok, 1 the thing asked about failed, 2 wrong usage.
    """
    try:
        app()
    except TwinbenchError as error:
        _complain(str(error), error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person is told what to do
        _complain(
            f"unexpected {type(error).__name__}: {error}\nThis is a bug in twinbench. Please report it with the "
            f"traceback that {DEBUG_VARIABLE}=1 shows.",
            error,
        )
        sys.exit(1)


def _complain(text: str, error: Exception) -> None:
    from twinbench.cli.output import printable

    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    typer.echo(f"error: {printable(text)}", err=True)
