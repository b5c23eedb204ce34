"""Makes the first entries of the leaderboard by the commands that anybody uses.

    python -m benchmarks.first_entries [--results DIR] [--rehearse [--only GLOB]] [NAME…]

Constants and rules on each embedded bank, and learned routers, each trained on one part of a bank and handed in for the
other; with ``--rehearse`` three of them rehearsed too. Each is packed, verified with its router asked about every row
under strict isolation, and listed; what was rehearsed on some tasks alone is tried and not listed. NAMEs are of
entries; default: all. Needs a Docker engine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from static_track.banks.embedded_names import EMBEDDED
from twinbench.storage.store import STORE_VARIABLE

PARTS = "train=60,test=40"


@dataclass(frozen=True)
class FirstEntry:
    """A router that is handed in."""

    name: str
    title: str
    router: str
    """Its spec; of a learned one as it is trained."""
    description: str
    learns: bool = False
    rehearsed: bool = False

    def on(self, bank: str) -> FirstEntry:
        """The entry of a learned router that is trained on a part of a bank."""
        words = f"{self.description} Trained on {PARTS.partition('=')[0]} of {bank} ({PARTS}, seed 0), scored on test."
        return FirstEntry(f"{self.name}-{bank}", f"{self.title}, trained on {bank}", self.router, words, learns=True)


ENTRIES = (
    FirstEntry("always-low", "Always low", "always-low", "Every call goes to the cheapest tier.", rehearsed=True),
    FirstEntry("always-mid", "Always mid", "always-mid", "Every call goes to the second tier."),
    FirstEntry("always-mid-high", "Always mid_high", "always-mid_high", "Every call goes to the third tier."),
    FirstEntry("always-high", "Always high", "always-high", "Every call goes to the dearest tier.", rehearsed=True),
    FirstEntry("random", "Random", "random", "Every call goes to a tier by lot."),
    FirstEntry("round-robin", "Round robin", "round-robin", "Tiers take turns within a conversation."),
    FirstEntry(
        "depth-rule", "Depth rule", "depth-rule", "The tier follows from how far the conversation is.", rehearsed=True
    ),
    FirstEntry("sticky-mid", "Sticky, at least mid", "sticky?at_least=mid", "Stays at a tier whose cache is warm."),
)
LEARNED = (
    FirstEntry("ordinal", "Ordinal", "ordinal", "Ordinal regression on words and steps; the cheapest likely tier."),
    FirstEntry("knn", "Nearest neighbours", "knn", "Does as the labels of the most similar calls say."),
    FirstEntry("clusters", "Clusters", "clusters", "The tier that was best for calls of the same cluster."),
    FirstEntry("boosting", "Boosting", "boosting", "Boosted trees on what a conversation shows of its work."),
    FirstEntry(
        "guard", "Guard", "guard", "Ordinal regression; what is unlike anything in training goes to the dearest tier."
    ),
)

_INFO = """\
name = {name}
title = {title}
description = {description}
licence = "Apache-2.0"

[contact]
name = "The twinbench developers"
"""


def entries() -> Iterator[tuple[FirstEntry, Sequence[str]]]:
    """Yield all of them, each with the banks or parts of banks that it is asked about."""
    for each in ENTRIES:
        yield each, tuple(EMBEDDED)
    for bank in EMBEDDED:
        for each in LEARNED:
            yield each.on(bank), (f"{bank}:test",)


def make_wheel(name: str, folder: Path) -> Path:
    """Make a wheel of a distribution that is installed here, for containers with the same version of Python."""
    distribution = importlib.metadata.distribution(name)
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{distribution.version}-{python}-{python}-linux.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in distribution.files or ():
            if ".." not in file.parts and "tests" not in file.parts and file.suffix != ".pyc":
                archive.write(file.locate(), file.as_posix())
    return wheel


class Office:
    """A folder of its own, with a store of its own, in which entries are made."""

    def __init__(self, folder: Path, results: Path) -> None:
        self.folder = folder
        self.results = results
        for bank in EMBEDDED:
            self.run("bank", "split", bank, "--parts", PARTS)
        self.wheels = make_wheel("numpy", folder / "wheels").parent

    def run(self, *arguments: str | Path, ends: Collection[int] = (0,)) -> None:
        """Run a command of twinbench; everything ends with what that prints where its exit code is another one."""
        done = subprocess.run(
            [sys.executable, "-m", "twinbench", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, STORE_VARIABLE: str(self.folder / "store")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in ends:
            told = f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
            raise SystemExit(f"twinbench {' '.join(map(str, arguments))}\n{told}")

    def make(self, entry: FirstEntry, banks: Sequence[str], *, rehearse: bool, only: Sequence[str]) -> None:
        """Train a router where it learns, rehearse it where that is wanted; pack, verify and list it."""
        words = {"name": entry.name, "title": entry.title, "description": entry.description}
        info, file, report = (self.folder / f"{entry.name}.{kind}" for kind in ("toml", "zip", "json"))
        info.write_text(_INFO.format(**{key: json.dumps(value) for key, value in words.items()}), "utf-8")
        router, more = entry.router, [word for bank in banks for word in ("--bank", bank)]
        if entry.learns:
            router = entry.name
            [part] = banks
            bank = part.partition(":")[0]
            self.run("router", "train", entry.router, "--bank", bank, "--split", "train", "--out", router)
        verify: list[str | Path] = ["--ask", "all", "--plugin-wheels", self.wheels]
        if rehearse:
            chosen = [word for glob in only for word in ("--only", glob)]
            runs = self.folder / "runs" / entry.name
            self.run("rehearse", router, "--runs", runs, *chosen)
            [plan] = runs.rglob("plan.json")
            more += ["--run", str(plan.parent)]
            verify += ["--grade", "all", "--replay", "2"]
        self.run("submit", "pack", router, *more, "--info", info, "-o", file)
        self.run("submit", "verify", file, *verify, "--json", "-o", report, ends=(0, 1))
        failed = [check for check in json.loads(report.read_text("utf-8"))["checks"] if check["status"] == "fail"]
        if rehearse and only and {check["name"] for check in failed} == {"set"}:
            print(f"{entry.name}: not listed, since it was rehearsed on some tasks alone", flush=True)
            return
        if failed:
            raise SystemExit(f"{entry.name}: {json.dumps(failed, indent=1)}")
        self.run("leaderboard", "add", file, "--report", report, "--results", self.results)
        print(f"{entry.name}: listed", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Make all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries; default: all")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--rehearse", action="store_true", help="also rehearse three of them")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="rehearse these tasks alone, and list none of it"
    )
    given = parser.parse_args(arguments)
    known = dict.fromkeys(entry.name for entry, _ in entries())
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"there is no entry {unknown[0]}: {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder), given.results.resolve())
        for entry, banks in entries():
            if entry.name in (given.names or known):
                office.make(entry, banks, rehearse=given.rehearse and entry.rehearsed, only=given.only)


if __name__ == "__main__":
    main(sys.argv[1:])
