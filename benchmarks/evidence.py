"""Evidence of runs that are too long for the suite: what was run, when, on what, and what came out.

``python -m benchmarks.evidence NAME -- COMMAND…`` runs a command and writes ``docs/evidence/NAME.md``: its closing
lines, and every line that starts with ``evidence:``. No host, path or user is written.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
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


def write(name: str, title: str, lines: Sequence[str]) -> Path:
    """Write ``docs/evidence/NAME.md`` and say where."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.md"
    path.write_text("\n".join([f"# {title}", "", *environment(), "", *lines, ""]), "utf-8")
    return path


def main(arguments: Sequence[str]) -> int:
    """Run a command and keep what it shows."""
    name, separator, *command = arguments
    if separator != "--" or not command:
        raise SystemExit("usage: python -m benchmarks.evidence NAME -- COMMAND…")
    shown: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            shown.append(line.rstrip())
    marked = [line.partition(_MARK)[2].strip() for line in shown if _MARK in line]
    others = [line for line in shown if _MARK not in line]
    closing = [line for line in others[:-_CLOSING_LINES] if _SUMMARY.fullmatch(line)] + others[-_CLOSING_LINES:]
    closing = [line.replace(str(ROOT), ".") for line in closing]
    said = f"`make {name}`: exit code {process.returncode}"
    path = write(name, f"make {name}", [said, "", *(f"- {line}" for line in marked), "", "```text", *closing, "```"])
    print(
        f"\nRan: make {name}. Written: {path.relative_to(ROOT)}. Try next: make bench, or make test for the quick part."
    )
    return process.returncode


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
