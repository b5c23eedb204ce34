"""Commitments of a run: what it will be of, written into its directory before its first call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from twinbench.display.wording import display_spec
from twinbench.errors import ContentError
from twinbench.fingerprint import fingerprint
from twinbench.reading.input_files import InputError, read_regular
from twinbench.storage.files import atomic_write, make_folder
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.fields import printable_line
from twinbench.submissions.sampling import make_nonce

COMMITMENTS_FOLDER = "commitments"
MOST_COMMITMENT_BYTES = 2**24

_FORMAT = "twinbench commitment 1"


def commit(run: RunDirectory, plan: RunPlan, cases: Sequence[str]) -> Commitment:
    """Return the commitment to run these cases; it is written where the run has none for them yet.

    Args:
        run: the run's directory, which exists.
        plan: its plan.
        cases: the cases that the next execution is to run.

    Raises:
        TwinbenchError: it cannot be written.
    """
    fresh = _make(plan, cases)
    for known in read_commitments(run.path):
        if _content(known) == _content(fresh):
            return known
    folder = run.path / COMMITMENTS_FOLDER
    make_folder(folder)
    with atomic_write(folder / fresh.file_name) as path:
        path.write_text(fresh.text(), "utf-8")
    return fresh


def read_commitments(run: Path) -> list[Commitment]:
    """Return the commitments in a run's directory, in the order in which they were made; files that are none are left
    out.
    """
    found = []
    for path in sorted((run / COMMITMENTS_FOLDER).glob("*.json")):
        try:
            commitment = Commitment.parse(read_regular(path, MOST_COMMITMENT_BYTES), path.name)
        except (ContentError, OSError, InputError):
            continue
        found.append(commitment)
    return sorted(found, key=lambda each: (each.made_at, each.digest))


def _make(plan: RunPlan, cases: Sequence[str]) -> Commitment:
    content = {
        "format": _FORMAT,
        "plan": plan.fingerprint_with(cases),
        "router": printable_line(display_spec(plan.router)),
        "router_fingerprint": plan.router_fingerprint,
        "pool": plan.pool_name,
        "pool_fingerprint": plan.pool_fingerprint,
        "tasks": plan.identity.get("tasks"),
        "cases": list(cases),
        "trials": plan.trials,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "nonce": make_nonce(),
    }
    return Commitment.model_validate({**content, "digest": fingerprint(content)})


def _content(commitment: Commitment) -> dict[str, object]:
    """Return what a commitment is about, without when it was made."""
    return commitment.model_dump(exclude={"made_at", "nonce", "digest"})
