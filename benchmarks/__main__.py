"""``python -m benchmarks [--json] [NAME…]``: measure, show the table, keep it in docs/evidence/bench.md.

Exit code 1 where a limit is missed. Only a run of all parts is kept. With ``--json``, standard output is one list.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from functools import partial
from typing import TextIO

from benchmarks import cluster, containers, evidence, intervals, live, plugins, static
from benchmarks.measuring import HEAD, Measurement

SUITES: dict[str, Callable[[], Iterator[Measurement]]] = {
    "static": static.measurements,
    "intervals": intervals.measurements,
    "plugins": plugins.measurements,
    "containers": containers.measurements,
    "cluster": cluster.measurements,
    "live": live.measurements,
}


def main() -> int:
    """Run the named parts, or all."""
    parser = ArgumentParser("python -m benchmarks", description="Speed, as ratios against a named alternative.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SUITES)}; default: all of them")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(SUITES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    # Else every process that is started compiles all modules again, which no user's does after the first.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    people = sys.stderr if asked.json else sys.stdout
    measure = partial(_measure, people=people) if len(asked.names) == 1 else _measure_apart
    found = [measurement for name in asked.names or SUITES for measurement in measure(name)]
    missed = [measurement for measurement in found if not measurement.ok]
    if not asked.names:
        table = [HEAD, ["---"] * len(HEAD), *(measurement.row() for measurement in found)]
        path = evidence.write("bench", "make bench", [f"| {' | '.join(row)} |" for row in table])
        print(f"Written: {path.relative_to(evidence.ROOT)}.", file=people)
    if asked.json:
        print(json.dumps([measurement.to_json() for measurement in found], indent=1))
    else:
        print(f"\nRan: {len(found)} measurements, {len(missed)} limits missed.")
        print("Try next: make acceptance for the long checks, python -m benchmarks static for one part.")
    return 1 if missed else 0


def _measure(name: str, people: TextIO) -> list[Measurement]:
    """Run a part in this process."""
    found = []
    for measurement in SUITES[name]():
        print(" | ".join(measurement.row()), file=people, flush=True)
        found.append(measurement)
    return found


def _measure_apart(name: str) -> list[Measurement]:
    """Run a part in a process of its own: idle threads that other parts leave would take its cores now and then."""
    command = [sys.executable, "-m", "benchmarks", name, "--json"]
    done = subprocess.run(command, cwd=evidence.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    return [Measurement.from_json(each) for each in json.loads(done.stdout)]


if __name__ == "__main__":
    sys.exit(main())
