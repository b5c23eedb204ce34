"""Put finished builds where the embedded banks ship from: ``python -m benchmarks.embedding DIR [DIR…]``.

Each build is made again from its recordings first, which has to give the same bytes in under a minute. The recordings
of all embedded banks together may take 8 MB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from static_track.banks.build_output import MANIFEST_FILE, ROWS_FILE
from static_track.banks.embedded import DATA
from static_track.construction.building import rebuild
from static_track.construction.recordings import RECORDINGS_FILE

FEWEST_ROWS = 300
MOST_RECORDINGS_BYTES = 8_000_000
LONGEST_REBUILD_S = 60.0

SHIPPED = (ROWS_FILE, MANIFEST_FILE, RECORDINGS_FILE)
"""What ships of a build; the evidence follows from the recordings."""


@dataclass(frozen=True)
class Checked:
    """What was found of one build."""

    name: str
    rows: int
    rebuild_s: float
    same: bool
    """Whether the rebuilt files have the same bytes."""

    def problems(self) -> Iterator[str]:
        """Yield what forbids to ship it."""
        if self.rows < FEWEST_ROWS:
            yield f"{self.name} has {self.rows:,} rows: {FEWEST_ROWS} are needed"
        if not self.same:
            yield f"{self.name} is another bank when it is built again from its recordings"
        if self.rebuild_s > LONGEST_REBUILD_S:
            yield f"{self.name} took {self.rebuild_s:.0f} s to be built again: {LONGEST_REBUILD_S:.0f} s is the most"


def check(build: Path) -> Checked:
    """Build a bank again from its recordings, and compare."""
    manifest = json.loads((build / MANIFEST_FILE).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        again = Path(folder) / "again"
        rebuild(build / RECORDINGS_FILE, again)
        took = time.monotonic() - began
        same = all((again / name).read_bytes() == (build / name).read_bytes() for name in SHIPPED)
    return Checked(manifest["name"], manifest["rows"], took, same)


def embed(builds: list[Path], data: Path = DATA) -> list[str]:
    """Check builds, and copy what ships of them.

    Args:
        builds: the directories of finished builds.
        data: where embedded banks ship from.

    Returns:
        What forbids to ship them; then nothing was copied.
    """
    checked = {build: check(build) for build in builds}
    for build, each in checked.items():
        size = (build / RECORDINGS_FILE).stat().st_size
        print(f"{each.name}: {each.rows:,} rows, {size:,} bytes of recordings, built again in {each.rebuild_s:.1f} s")
    problems = [problem for each in checked.values() for problem in each.problems()]
    replaced = {each.name for each in checked.values()}
    sizes = [(build / RECORDINGS_FILE).stat().st_size for build in builds]
    sizes += [path.stat().st_size for path in data.glob(f"*/{RECORDINGS_FILE}") if path.parent.name not in replaced]
    if sum(sizes) > MOST_RECORDINGS_BYTES:
        problems.append(f"recordings of {sum(sizes):,} bytes: {MOST_RECORDINGS_BYTES:,} are the most")
    if not problems:
        for build, each in checked.items():
            (data / each.name).mkdir(parents=True, exist_ok=True)
            for name in SHIPPED:
                shutil.copyfile(build / name, data / each.name / name)
    return problems


def main() -> None:
    """Check and copy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("builds", nargs="+", type=Path, metavar="DIR", help="a finished build")
    problems = embed(parser.parse_args().builds)
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main()
