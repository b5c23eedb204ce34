"""The directory of a run out of an archive: bounded, and without a path to anything of this machine."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from dynamic_track.running.folders import PLAN_FILE
from dynamic_track.running.plan import RunPlan, read_plan
from dynamic_track.tasks.sources import ids_of_named_set
from twinbench.calls.journal import JOURNAL_FILE
from twinbench.calls.packing import PACKED_PREFIX
from twinbench.reading.input_files import format_mib

MOST_JOURNAL_BYTES = 256 * 2**20
MOST_FILE_BYTES = 64 * 2**20
"""Maximum size of a file of a run, other than the journal."""
MOST_PACKED_BYTES = 64 * 2**20
"""Maximum size of one packed text in a journal, unpacked: no provider's response is larger."""
MOST_UNPACKED_BYTES = 2**30
"""Maximum size of all packed texts of a journal, unpacked."""
MOST_LINES = 1_000_000

_PACKED_TEXT = re.compile(rb'"' + PACKED_PREFIX.encode() + rb'([A-Za-z0-9+/=]*)"')
_BLOCK_BYTES = 2**16


def find_excess(folder: Path) -> Iterator[str]:
    """Find what no run has so much of, before anything else is read: nothing that is unpacked here is kept.

    Args:
        folder: a run's directory, whose files are plain.

    Yields:
        Each excess as a sentence.
    """
    for path in sorted(folder.rglob("*")):
        is_journal = path.name == JOURNAL_FILE
        most = MOST_JOURNAL_BYTES if is_journal else MOST_FILE_BYTES
        if path.is_file() and path.stat().st_size > most:
            yield f"{path.relative_to(folder)} is larger than {format_mib(most)}, which is the most that it may have"
    journal = folder / "journal" / JOURNAL_FILE
    if not journal.is_file() or journal.stat().st_size > MOST_JOURNAL_BYTES:
        return
    total = 0
    with journal.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number > MOST_LINES:
                yield f"the journal has more than {MOST_LINES:,} lines"
                return
            for match in _PACKED_TEXT.finditer(line):
                size = _unpacked_size(match[1])
                total += size
                if size > MOST_PACKED_BYTES or total > MOST_UNPACKED_BYTES:
                    limit = format_mib(MOST_PACKED_BYTES)
                    yield f"journal, line {number}: data that expands to more than {limit} a line"
                    return


def _unpacked_size(text: bytes) -> int:
    """Return how much a packed text unpacks to, at most a little more than is allowed; damaged data counts as far as it
    goes.
    """
    unpacker = zlib.decompressobj()
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return 0
    size = 0
    while data and size <= MOST_PACKED_BYTES:
        try:
            size += len(unpacker.decompress(data, _BLOCK_BYTES))
        except zlib.error:
            break
        if unpacker.eof:
            break
        data = unpacker.unconsumed_tail
    return size


def read_untrusted_plan(folder: Path, *, pool: str, tasks: str | None, dataset: str | None) -> RunPlan:
    """Read the plan of a run out of an archive, and let it name nothing of this machine but what the caller names.

    Where tasks and pool are is not part of a run's identity, so the plan that is written instead is the same plan.

    Args:
        folder: the run's directory, which is a copy.
        pool: the pool's name, or its file on this machine.
        tasks: the source of the tasks on this machine; None: the set's name, if the plan has one.
        dataset: the source of the data set.

    Raises:
        UsageError: there is no plan.
        ContentError: it is damaged.
    """
    plan = read_plan(folder)
    told = plan.sources.get("tasks")
    named = told if isinstance(told, str) and ids_of_named_set(told) is not None else None
    kept = {name: plan.sources[name] for name in ("division", "shard") if name in plan.sources}
    where = {"tasks": tasks or named or "unknown", "dataset": dataset, "pool": pool, **kept}
    content = {"identity": plan.identity, "where": where, "cases": list(plan.cases)}
    (folder / PLAN_FILE).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return RunPlan(plan.identity, where, plan.cases)
