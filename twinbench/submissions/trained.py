"""Trained routers among a submission's files: what they say that they were trained on, read within bounds."""

from __future__ import annotations

from dataclasses import dataclass

from twinbench.plugins.artefact import MOST_MANIFEST_BYTES, SEEN, Manifest, parse_manifest
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.plugins.seen import Seen
from twinbench.submissions.archive import Archive
from twinbench.submissions.router_files import ROUTER_FOLDER

MOST_SEEN_BYTES = 32 * 2**20
"""Maximum total size of the training data records of a submission's trained routers: 7,000 long first messages."""
MOST_SKETCHES = 100_000
"""Maximum number of first messages in all of them together."""

UNRECORDED = "what the router was trained on is its own word (training), so nobody can tell whether it was trained on"
"""The beginning of the reason why a check is none; what it is scored on follows."""


@dataclass(frozen=True)
class TrainedRouter:
    """The folder of a trained router in a submission."""

    folder: str
    """Its path in the archive."""
    manifest: Manifest
    seen: Seen


def read_trained_routers(archive: Archive) -> list[TrainedRouter]:
    """Read what the trained routers among a submission's files say about their training; nothing else of them is read.

    Raises:
        ValueError: a file is missing or is not what training writes, or all are larger than together they may be.
        ArchiveError: data is damaged.
    """
    found: list[TrainedRouter] = []
    left = MOST_SEEN_BYTES
    sketches = 0
    for name in sorted(archive.sizes):
        folder, _, base = name.rpartition("/")
        seen_file = f"{folder}/{SEEN}"
        if base != MANIFEST or not name.startswith(f"{ROUTER_FOLDER}/"):
            continue
        if seen_file not in archive.sizes:
            raise ValueError(f"{seen_file}: missing, and without it nobody can tell what the router was trained on")
        try:
            manifest = parse_manifest(archive.read(name, MOST_MANIFEST_BYTES))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        data = archive.read(seen_file, left)
        left -= len(data)
        try:
            seen = Seen.parse(data)
        except ValueError as error:
            raise ValueError(f"{seen_file}: {error}") from None
        sketches += len(seen.sketches)
        if sketches > MOST_SKETCHES:
            raise ValueError(f"{seen_file}: more than {MOST_SKETCHES:,} first messages")
        found.append(TrainedRouter(folder, manifest, seen))
    return found
