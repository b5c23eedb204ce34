"""Folders and configurations for ``shell_executor``: small tasks that scripts solve, well or badly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

EXECUTOR = f"{Path(__file__).with_name('shell_executor.py')}:open_shell"

STEADY = '[ "$STEP" = 3 ] && echo "good done" || echo good'
"""Says something good in each of three steps."""
WEAK = f'[ "$STEP" = 2 ] && echo "bad {{}}" && exit; {STEADY}'
"""Says something bad in the second."""
NOTHING_BAD = 'for line in "$@"; do case "$line" in bad*) exit 1;; esac; done'
"""Passes where nothing bad was said."""

CANDIDATES = {"low-1": WEAK.format("low"), "mid-1": f"{STEADY} # mid", "high-1": f"{STEADY} # high"}
TASKS = {"a-1": NOTHING_BAD, "a-2": NOTHING_BAD, "b-1": "exit 1"}
"""The labels of the first two are low, mid, low; the last one never passes."""


def configuration(
    folder: Path,
    *,
    candidates: Mapping[str, str] = CANDIDATES,
    tasks: Mapping[str, str] = TASKS,
    usd_a_call: str = "0",
    search: str = "",
) -> Path:
    """A folder of scripts, and the file of a configuration that executes them."""
    for kind, scripts in (("candidates", candidates), ("tasks", tasks)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, script in scripts.items():
            (folder / kind / f"{name}.sh").write_text(script + "\n", "utf-8")
    path = folder / "build.toml"
    path.write_text(
        f"""
[bank]
name = "shell"
licence = "CC0-1.0"
caveat = "Said by scripts."
[search]
{search}
[executor]
kind = "{EXECUTOR}"
folder = "{folder}"
usd_a_call = "{usd_a_call}"
""",
        "utf-8",
    )
    return path
