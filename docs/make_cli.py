"""Writes docs/cli.md: every command of the command line with its help.

python docs/make_cli.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from twinbench.cli import app

PAGE = Path(__file__).resolve().parent / "cli.md"

INTRODUCTION = """\
# Command line

Written by `python docs/make_cli.py` from the commands themselves; a test compares.

What holds for all commands:

- Results go to standard output, errors, warnings and progress to standard error. What takes over a second shows its
progress.
- `--json` writes one JSON document and nothing else, on standard output or where `-o FILE` says; [json.md](json.md)
shows each.
- `--format` on every command that prints a table, with `-o FILE` for where it goes. `csv`, `parquet` and `jsonl` are
  for programs: all digits, names without marks, ranges of ranks and intervals as two numbers, and in Parquet columns of
  numbers also where no row has one. `table`, `markdown` and `latex` are for people: rounded, with notes below. A
  terminal that is too narrow for a table gets fewer columns, and is told which are missing.
- Exit codes: 0 all went well; 1 the content is bad, or a router failed on every row or ten times in a row; 2 wrong
usage (a flag, name or spec that does not exist); 130, 143 and 129 ended by Ctrl-C, SIGTERM and SIGHUP: the first signal
lets a command clean up, the second ends it at once.
- A router spec with arguments needs quotes in a shell, which would read `?` and `&` itself:
`'random?seed=1&mix=3:1:1:1'`.
- `TWINBENCH_STORE` names the store where `--store` does not. `TWINBENCH_DEBUG=1` adds a traceback to an error.
  `TWINBENCH_NAMESPACE` names the [namespace](live.md#what-a-container-may-do) of containers.
- `RUN` is the directory of a run; `--run RUN` names one that is made.
- `twinbench --install-completion` sets up completion for the current shell; names of routers, banks, parts (`--split`),
pools, tasks (`--only`) and run directories are completed too.
"""


def page() -> str:
    """The page's text."""
    parts = [INTRODUCTION]
    for path in command_paths():
        result = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, [*path, "--help"], prog_name="twinbench")
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## {' '.join(('twinbench', *path))}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def command_paths() -> list[tuple[str, ...]]:
    """The commands as the words that name them, each group before what is in it."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))

    return list(walk(get_command(app), ()))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
