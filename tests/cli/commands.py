"""The command line as tests run it: in this process where output and exit code suffice, else in one of its own."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.forked import SCRIPT as SCRIPT
from tests.cli.forked import ForkedCommand
from twinbench.cli import app, exit_code


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: bytes
    err: str
    """Standard error without the lines that tell of progress, which a busy machine prints more of."""

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be, without NaN and infinities."""
        return json.loads(self.text, parse_constant=_no_number)

    def succeeded(self) -> Ran:
        """Itself, where the exit code is 0."""
        assert self.code == 0, self.err
        return self


def twinbench(*arguments: str | Path, stdin: bytes = b"") -> Ran:
    """Run the command line in this process."""
    out, err = io.BytesIO(), io.BytesIO()
    stdout, stderr = io.TextIOWrapper(out, "utf-8"), io.TextIOWrapper(err, "utf-8")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        code = exit_code([str(argument) for argument in arguments])
        stdout.flush()
        stderr.flush()
    return Ran(code, out.getvalue(), without_progress(err.getvalue().decode()))


def spawned(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    permissions_hold: bool = False,
) -> Ran:
    """Run the command in a process of its own."""
    variables = {**os.environ, **(environment or {})}
    with ForkedCommand(arguments, environment=variables, cwd=cwd, permissions_hold=permissions_hold) as command:
        return ended(command, stdin)


def ended(command: ForkedCommand, stdin: bytes = b"") -> Ran:
    """Wait for a command that runs, once it has read that."""
    out, err = command.communicate(stdin)
    assert command.returncode is not None
    return Ran(command.returncode, out, without_progress(err.decode()))


def in_a_terminal(columns: int, *arguments: str) -> str:
    """What a command writes to a terminal of that width, without its colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "xterm"}  # a dumb one has 80 columns, whatever it says
    with subprocess.Popen([SCRIPT, *arguments], stdout=its, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(its)
        written = b""
        try:
            while block := os.read(ours, 65536):
                written += block
        except OSError:  # it has gone, and so has its end of the terminal
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).replace("\r", "")


def files(root: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command of the command line, as it is typed, with its options."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
        if hasattr(command, "commands"):
            for each in command.commands.values():
                yield from walk(each, f"{name} {each.name}".strip())
        else:
            yield name, {option for parameter in command.params for option in parameter.opts}

    return walk(typer.main.get_command(app), "")


def without_progress(text: str) -> str:
    """Standard error without the lines that tell of progress."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.rstrip("\n").endswith(" …"))


def _no_number(name: str) -> float:
    raise AssertionError(f"{name} stands in JSON output")
