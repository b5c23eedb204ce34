"""``python -m benchmarks [NAME…]``: measure, show the table, keep it in docs/evidence/bench.md.

Exit code 1 where a limit is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import evidence, plugins, static
from benchmarks.measuring import HEAD, Measurement

SUITES: dict[str, Callable[[], Iterator[Measurement]]] = {
    "static": static.measurements,
    "plugins": plugins.measurements,
}


def main(names: list[str]) -> int:
    """Run the named suites, or all."""
    unknown = set(names) - set(SUITES)
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    found = []
    for name in names or SUITES:
        for measurement in SUITES[name]():
            print(" | ".join(measurement.row()), flush=True)
            found.append(measurement)
    missed = [measurement for measurement in found if not measurement.ok]
    print(f"\nRan: {len(found)} measurements, {len(missed)} limits missed.")
    if not names:
        table = [HEAD, ["---"] * len(HEAD), *(measurement.row() for measurement in found)]
        path = evidence.write("bench", "make bench", [f"| {' | '.join(row)} |" for row in table])
        print(f"Written: {path.relative_to(evidence.ROOT)}.")
    print("Try next: make acceptance for the long checks, python -m benchmarks static for one part.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
