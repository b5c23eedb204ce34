"""Single-file HTML reports: the output option, writing, and the command line that reproduces them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from twinbench.cli.help import Panel
from twinbench.cli.output import make_printable, print_json, write_text
from twinbench.display.wording import display_path, display_spec

PageOption = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="FILE", help="HTML file to write, such as report.html.", rich_help_panel=Panel.OUTPUT
    ),
]


def check_output(output: str, *, json_: bool, option: str = "-o") -> None:
    """Check before the work begins that the report can be written.

    Args:
        output: the file, or ``-`` for standard output.
        json_: whether JSON is written to standard output.
        option: the name of the option, for error messages.

    Raises:
        UsageError: it cannot be written to that file.
    """
    from twinbench.errors import UsageError

    if output == "-" and json_:
        raise UsageError(f"{option} - and --json both write to standard output: name a file")
    folder = Path(output).parent
    if output != "-" and (Path(output).is_dir() or not folder.is_dir()):
        what = f"{folder} is not a folder" if not folder.is_dir() else "it is a folder"
        raise UsageError(f"{option} {output}: {what}; name a file, such as report.html")


def command_line(track: str, arguments: list[str], options: dict[str, Any], output: str) -> str:
    """Return the command that makes a report again, without folders of this machine; options that are None are left
    out.
    """
    target = {"-o": output if output == "-" else Path(output).name}
    return command_text(["twinbench", track, "report", *map(display_spec, arguments)], options | target)


def command_text(words: list[str], options: dict[str, Any]) -> str:
    """Words and options as they are typed, without folders of this machine; None is left out, lists are repeated."""
    more = [
        word
        for name, value in options.items()
        for each in (value if isinstance(value, list) else [] if value is None else [value])
        for word in (name, display_path(str(each)))
    ]
    return shlex.join([*words, *more])


def write_page(page: str, output: str, *, json_: bool) -> None:
    """Write a report, and print its path and size."""
    write_text(page, output)
    size = len(page.encode())
    if json_:
        print_json({"file": output, "bytes": size})
    elif output != "-":
        typer.echo(f"{make_printable(output)}: {size:,} bytes, opens offline")
