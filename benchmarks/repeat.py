"""The whole suite, ten times in a row in random order, without a failure and without a container left.

``python -m benchmarks.repeat`` runs it as often as fits into ``--minutes`` and adds a line for each run to
``docs/evidence/repeat.md``, from which the next call goes on. A failure, or a change of the code, starts the count
anew; what was before stays listed. Exit code 1 where a run failed; 0 also where ten are not reached yet.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks import evidence

WHAT = "the whole suite ten times in a row in random order; a call runs what fits into its time, the next goes on"
WANTED = 10
MINUTES = 38.0
CODE = ("twinbench", "static_track", "dynamic_track", "tests", "pools", "results/published", "pyproject.toml")
"""What a run is a run of; with another content of it, earlier runs do not count."""

_LEFT = re.compile(r"CONTAINER LEFT BEHIND|left containers behind")
_ROW = re.compile(r"^\| *\d+ \|")


@dataclass(frozen=True)
class Run:
    """One run of the whole suite."""

    number: int
    date: str
    code: str
    seed: int
    passed: int
    failed: int
    skipped: int
    seconds: int
    left: int
    """Containers that were left behind."""
    exit_code: int
    names: str
    """Of the tests that failed."""

    @property
    def clean(self) -> bool:
        """Whether all passed and nothing was left."""
        return self.exit_code == self.failed == self.left == 0 < self.passed

    def row(self) -> str:
        """The run as a row of the table."""
        return f"| {' | '.join(map(str, astuple(self)))} |"

    @classmethod
    def of_row(cls, line: str) -> Run:
        """The run of a row."""
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        texts = {"date", "code", "names"}
        named = zip((each.name for each in fields(cls)), cells, strict=True)
        return cls(**{name: cell if name in texts else int(cell) for name, cell in named})  # type: ignore[arg-type]


def kept_runs(path: Path) -> list[Run]:
    """The runs that the evidence lists."""
    if not path.is_file():
        return []
    return [Run.of_row(line) for line in path.read_text("utf-8").splitlines() if _ROW.match(line)]


def in_a_row(runs: Sequence[Run], code: str) -> int:
    """How many of the last runs of this code had no failure and left nothing."""
    count = 0
    for run in reversed(runs):
        if not run.clean or run.code != code:
            break
        count += 1
    return count


def code_fingerprint(paths: Sequence[str] = CODE) -> str:
    """The content of all files of the project that a run depends on, in eight digits."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=evidence.ROOT,
        capture_output=True,
        check=True,
    )
    digest = hashlib.sha256()
    for name in sorted(set(listed.stdout.decode().split("\0")) - {""}):
        path = evidence.ROOT / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:8]


def run_once(number: int, code: str, workers: int, tests: Sequence[str]) -> Run:
    """Run the suite in an order of its own."""
    seed = random.SystemRandom().randrange(2**32)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-n", str(workers), "--dist", "worksteal", f"--randomly-seed={seed}"]
        began = time.monotonic()
        exit_code, shown = evidence.run_shown([*command, f"--junit-xml={results}", *tests])
        took = round(time.monotonic() - began)
        counts, names = _count_results(results)
    left = sum(bool(_LEFT.search(line)) for line in shown)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return Run(number, date, code, seed, *counts, took, left, exit_code, names)


def _count_results(results: Path) -> tuple[tuple[int, int, int], str]:
    """How many passed, failed and were skipped, and the names of those that failed."""
    if not results.is_file():
        return (0, 0, 0), "pytest did not come to its end"
    passed = skipped = 0
    failed: list[str] = []
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            name = re.sub(r"[|`]|\s+", " ", f"{case.get('classname')}::{case.get('name')}")
            failed.append(f"`{name}`")
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return (passed, len(failed), skipped), " ".join(failed)


def write(path: Path, runs: Sequence[Run], code: str, tests: Sequence[str]) -> None:
    """Write all runs."""
    row = in_a_row(runs, code)
    of = f"`pytest {' '.join(tests)}`" if tests else "the whole suite"
    said = (
        f"{row} runs of {of} in a row in random order without a failure and without a container left; {WANTED} wanted."
    )
    head = ["run", "date", "code", "seed", "passed", "failed", "skipped", "seconds", "containers left", "exit code", ""]
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(run.row() for run in runs)]
    again = "An order can be had again with `pytest --randomly-seed=SEED` and as many workers."
    evidence.write(path.stem, "make acceptance PART=repeat", [said, again, "", *table], path.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite as often as fits."""
    parser = ArgumentParser("python -m benchmarks.repeat", description=WHAT)
    parser.add_argument("--workers", type=int, default=3, help="tests at once")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no run is begun that would end later")
    parser.add_argument("--wanted", type=int, default=WANTED, help="how many in a row are enough")
    parser.add_argument("--evidence", type=Path, default=evidence.FOLDER / "repeat.md", help="where the runs are kept")
    parser.add_argument("tests", nargs="*", help="arguments of pytest that narrow the suite, to try this out")
    asked = parser.parse_args(arguments)
    if asked.tests and asked.evidence == evidence.FOLDER / "repeat.md":
        parser.error("runs of a part of the suite are no evidence of the whole: name another file with --evidence")
    end = time.monotonic() + 60 * asked.minutes
    runs = kept_runs(asked.evidence)
    took_s: list[float] = []
    while in_a_row(runs, code := code_fingerprint()) < asked.wanted:
        if took_s and time.monotonic() + 1.1 * max(took_s) > end:
            break
        number = max((run.number for run in runs), default=0) + 1
        runs.append(run_once(number, code, asked.workers, asked.tests))
        took_s.append(runs[-1].seconds)
        write(asked.evidence, runs, code, asked.tests)
        print(f"\nRun {number}: {runs[-1].row()}", flush=True)
        if not runs[-1].clean:
            return 1
    row = in_a_row(runs, code)
    more = "" if row >= asked.wanted else " The same command goes on."
    print(f"\n{row} of {asked.wanted} runs in a row without a failure.{more}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
