"""Makes the first entries of the leaderboard by the commands that anybody uses.

    python -m benchmarks.first_entries [--results DIR] [--rehearse]

The built-in routers and constants on the embedded bank, each packed, verified with its router asked about every row
under strict isolation, and listed; with ``--rehearse`` three of them rehearsed too. Needs a Docker engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROUTERS = {
    "always-low": ("Always low", "always-low", "Every call goes to the cheapest tier."),
    "always-mid": ("Always mid", "always-mid", "Every call goes to the second tier."),
    "always-mid_high": ("Always mid_high", "always-mid_high", "Every call goes to the third tier."),
    "always-high": ("Always high", "always-high", "Every call goes to the dearest tier."),
    "random": ("Random", "random", "Every call goes to a tier by lot."),
    "round-robin": ("Round robin", "round-robin", "Tiers take turns within a conversation."),
    "depth-rule": ("Depth rule", "depth-rule", "The tier follows from how far the conversation has come."),
    "sticky-mid": ("Sticky, at least mid", "sticky?at_least=mid", "Stays at a tier whose cache is warm."),
}
"""By the name of the entry: its title, the router's spec, what it does."""

REHEARSED = ("always-low", "always-high", "depth-rule")
BANKS = ("starter",)

_INFO = """\
name = {name}
title = {title}
description = {description}
licence = "Apache-2.0"

[contact]
name = "The twinbench developers"
"""


def run(folder: Path, *arguments: str | Path) -> None:
    """Run a command of twinbench; it ends with what that prints where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "twinbench", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"twinbench {' '.join(map(str, arguments))}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def make_entry(name: str, results: Path, folder: Path, *, rehearse: bool) -> None:
    """Pack, verify and list one router."""
    title, spec, description = ROUTERS[name]
    words = {"name": name.replace("_", "-"), "title": title, "description": description}
    info, file, report = folder / "info.toml", folder / f"{name}.zip", folder / f"{name}.json"
    info.write_text(_INFO.format(**{key: json.dumps(value) for key, value in words.items()}), "utf-8")
    parts = [word for bank in BANKS for word in ("--bank", bank)]
    if rehearse:
        run(folder, "rehearse", spec, "--runs", folder / "runs" / name)
        [plan] = (folder / "runs" / name).rglob("plan.json")
        parts += ["--run", str(plan.parent)]
    run(folder, "submit", "pack", spec, *parts, "--info", info, "-o", file)
    run(folder, "submit", "verify", file, "--ask", "all", "--json", "-o", report)
    run(folder, "leaderboard", "add", file, "--report", report, "--results", results)


def main(arguments: Sequence[str]) -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--rehearse", action="store_true", help="also rehearse three of them")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for name in ROUTERS:
            make_entry(name, given.results.resolve(), Path(folder), rehearse=given.rehearse and name in REHEARSED)
            print(f"{name}: listed")


if __name__ == "__main__":
    main(sys.argv[1:])
