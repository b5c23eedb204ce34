"""Evidence of runs that are too long for the suite: what was run, when, on what, and what came out.

Kept of a command are its closing lines, and every line that starts with ``evidence:``. No host, path or user is
written.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "evidence"
LIBRARIES = (
    "duckdb",
    "numpy",
    "scipy",
    "tokenizers",
    "tiktoken",
    "litellm",
    "pydantic",
    "typer",
    "rich",
    "psutil",
    "hypothesis",
    "pytest",
)

_MARK = "evidence:"
_CLOSING_LINES = 12
_SUMMARY = re.compile(r"=+ \d+ (passed|failed|skipped|deselected).* =+")
"""pytest's last line, where more than one was run."""


def environment() -> list[str]:
    """Date, CPU, cores, memory and library versions, as the lines of a Markdown list."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return [
        f"- date: {datetime.now(UTC):%Y-%m-%d}",
        f"- CPU: {_cpu()}, {os.cpu_count()} cores",
        f"- memory: {psutil.virtual_memory().total / 2**30:.0f} GiB",
        f"- {platform.system()}, Python {platform.python_version()}, {versions}",
    ]


def write(name: str, title: str, lines: Sequence[str], folder: Path = FOLDER) -> Path:
    """Write ``docs/evidence/NAME.md`` and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text("\n".join([f"# {title}", "", *environment(), "", *lines, ""]), "utf-8")
    return path


def run_shown(command: Sequence[str], variables: Mapping[str, str] | None = None) -> tuple[int, list[str]]:
    """Run a command whose output is shown and kept.

    Args:
        command: the command and its arguments; it is started at the root of the checkout.
        variables: environment variables beside those of this process.

    Returns:
        The exit code, and the lines of standard output and standard error.
    """
    shown: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        encoding="utf-8",
        env={**os.environ, **(variables or {})},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            shown.append(line.rstrip())
    return process.returncode, shown


def keep(
    name: str, title: str, command: Sequence[str], variables: Mapping[str, str] | None = None, folder: Path = FOLDER
) -> tuple[int, Path]:
    """Run a command, and write what it shows as evidence.

    Args:
        name: of the evidence, without ``.md``.
        title: what a person types to run this.
        command: the command and its arguments.
        variables: environment variables beside those of this process.
        folder: where the evidence goes.

    Returns:
        The command's exit code, and the file of the evidence.
    """
    began = time.monotonic()
    code, shown = run_shown(command, variables)
    marked = [line.partition(_MARK)[2].strip() for line in shown if _MARK in line]
    others = [line for line in shown if _MARK not in line]
    closing = [line for line in others[:-_CLOSING_LINES] if _SUMMARY.fullmatch(line)] + others[-_CLOSING_LINES:]
    closing = [line.replace(str(ROOT), ".") for line in closing]
    said = f"`{title}`: exit code {code}, after {(time.monotonic() - began) / 60:.0f} min"
    return code, write(
        name, title, [said, "", *(f"- {line}" for line in marked), "", "```text", *closing, "```"], folder
    )


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
