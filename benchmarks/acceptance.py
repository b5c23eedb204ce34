"""What is too long for the suite, in parts of at most 40 minutes: ``make acceptance`` or ``make acceptance PART=…``.

``python -m benchmarks.acceptance [PART…]`` runs the named parts, or all, and writes the evidence of each to
``docs/evidence/acceptance-PART.md``; that of ``repeat`` is ``docs/evidence/repeat.md``, that of ``mutants``
``docs/evidence/mutants.md``. Exit code 1 where a part fails, 2 where there is no such part.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import debian13, evidence, mutants, repeat
from tests.cli.forked import OWN_PROCESSES_VARIABLE
from tests.examples import ALL_VARIABLE


@dataclass(frozen=True)
class Part:
    """Tests that are run together."""

    what: str
    marked: str
    """The expression of markers that chooses them."""
    paths: Sequence[str]
    alone: bool = False
    """Whether nothing may run beside a test."""
    variables: dict[str, str] = field(default_factory=dict)
    chosen: str = ""
    """The expression of names that chooses among them; empty: all."""

    def command(self, workers: int) -> list[str]:
        """The command that runs the part."""
        at_once = [] if self.alone else ["-n", str(workers), "--dist", "worksteal"]
        return [
            sys.executable,
            "-m",
            "pytest",
            *at_once,
            "-rpPs",
            "-o",
            "faulthandler_timeout=2400",
            "-m",
            self.marked,
            *(["-k", self.chosen] if self.chosen else []),
            *self.paths,
        ]


_LONG = "acceptance and not alone"
PARTS = {
    "alone": Part("time and memory of long runs, nothing beside them", "acceptance and alone", ["tests"], alone=True),
    "scores": Part(
        "intervals that hold what they say, all banks of the oracle",
        _LONG,
        ["tests/static_track", "tests/twinbench", "tests/plugins", "tests/benchmarks"],
    ),
    "simulated-banks": Part(
        "intervals of small and grouped banks, against a known truth", _LONG, ["tests/simulations/test_banks.py"]
    ),
    "simulated-cases": Part(
        "runs compared, and their intervals, against a known truth", _LONG, ["tests/simulations/test_cases.py"]
    ),
    "outcomes": Part(
        "tables of outcomes with a known truth: coverage, power, pilots",
        _LONG,
        ["tests/outcomes", "tests/simulations/test_outcomes.py"],
    ),
    "runs": Part("live runs: killed, poisoned, stopped", _LONG, ["tests/dynamic_track/running"]),
    "machines": Part(
        "runs on three machines, of which one is lost; all tasks beside threads",
        f"{_LONG} and not disaster",
        ["tests/cluster"],
        alone=True,
    ),
    "machines-lost": Part(
        "six tasks on three machines, of which one is lost, or gives up Ray, at ten moments",
        f"{_LONG} and disaster",
        ["tests/cluster/test_disasters.py"],
        chosen="raylet or link",
        alone=True,
    ),
    "machines-hung": Part(
        "six tasks on three machines, of which one has an engine that hangs, at ten moments",
        f"{_LONG} and disaster",
        ["tests/cluster/test_disasters.py"],
        chosen="engine",
        alone=True,
    ),
    "machines-killed": Part(
        "six tasks on three machines: the driver killed, or a machine that joins, at ten moments",
        f"{_LONG} and disaster",
        ["tests/cluster/test_disasters.py"],
        chosen="driver or joins",
        alone=True,
    ),
    "rehearsals": Part(
        "all tasks of our own, labels by execution, exports, audits",
        _LONG,
        [f"tests/dynamic_track/{room}" for room in ("rehearsal", "constructing", "exporting", "importing", "auditing")],
    ),
    "verdicts": Part(
        "gradings, scores of runs, tasks",
        _LONG,
        [f"tests/dynamic_track/{room}" for room in ("grading", "results", "tasks")],
    ),
    "submissions": Part(
        "submissions verified, leaderboards built and shown, the action's commands",
        _LONG,
        ["tests/submissions", "tests/leaderboard", "tests/github"],
    ),
    "skills": Part("what rehearsals' skill tables are worth to a router", _LONG, ["tests/dynamic_track/skills"]),
    "answers": Part(
        "whatever providers, agents and containers do",
        _LONG,
        ["tests/calls", "tests/providers", "tests/containers", "tests/executing", "tests/scripted", "tests/cli"],
    ),
    "pages": Part(
        "reports in a browser, the notebook, examples of the documentation", _LONG, ["tests/reports", "tests/docs"]
    ),
    "examples": Part(
        "examples of the documentation, each command in a process of its own",
        "docker or slow",
        ["tests/docs/test_docs.py"],
        variables={OWN_PROCESSES_VARIABLE: "1"},
    ),
    "processes": Part(
        "the command line, each command that runs beside a test in a process that was started for it",
        "not acceptance and not alone",
        ["tests/cli", "tests/plugins", "tests/twinbench/test_tokens.py"],
        variables={OWN_PROCESSES_VARIABLE: "1"},
    ),
    "properties": Part(
        "property tests with all their examples",
        "(hypothesis or drawn) and not acceptance",
        ["tests"],
        variables={ALL_VARIABLE: "1"},
    ),
}
REPEAT = "repeat"
DEBIAN = "debian-13"
MUTANTS = "mutants"
NAMES = (*PARTS, DEBIAN, MUTANTS, REPEAT)


def default_workers() -> int:
    """More than there are cores, since tests wait for containers more than they compute."""
    return max(2, 3 * (os.cpu_count() or 1) // 2)


def run_part(name: str, workers: int, folder: Path = evidence.FOLDER) -> bool:
    """Run a part, keep its evidence, and say whether it passed."""
    title = f"make acceptance PART={name}"
    if name == DEBIAN:
        what, command, variables = debian13.WHAT, [sys.executable, "-m", "benchmarks.debian13"], {}
    else:
        part = PARTS[name]
        what, command, variables = part.what, part.command(workers), part.variables
    code, path = evidence.keep(f"acceptance-{name}", title, command, variables, folder)
    print(f"\nRan: {title}: {what}. Written: {path.name} in docs/evidence.", flush=True)
    return code == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named parts, or all."""
    whats = {name: part.what for name, part in PARTS.items()} | {
        DEBIAN: debian13.WHAT,
        MUTANTS: mutants.WHAT,
        REPEAT: repeat.WHAT,
    }
    known = "\n".join(f"  {name:17}{what}" for name, what in whats.items())
    parser = ArgumentParser(
        "python -m benchmarks.acceptance",
        description=f"What is too long for the suite. Parts:\n{known}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all of them, one after the other")
    parser.add_argument("--workers", type=int, default=default_workers(), help="tests at once")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.parts if name not in NAMES]:
        print(f"error: there is no part {', '.join(unknown)}. There are:\n{known}", file=sys.stderr)
        return 2
    # Else every process that is started compiles all modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    failed = []
    for name in asked.parts or NAMES:
        if name == REPEAT:
            # All parts at once have no limit; a part that is asked for by its name ends in time.
            passed = repeat.main(["--workers", str(asked.workers), *([] if asked.parts else ["--minutes", "inf"])]) == 0
        elif name == MUTANTS:
            passed = mutants.main(["--draw", str(mutants.DRAWN), "--minutes", str(mutants.MINUTES), "--write"]) == 0
        else:
            passed = run_part(name, asked.workers)
        failed += [] if passed else [name]
    print(f"\nRan: {', '.join(asked.parts or NAMES)}. Failed: {', '.join(failed) or 'none'}. Try next: make bench.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
