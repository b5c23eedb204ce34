"""A live run as a submission has it: which of its files, and what is claimed of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamic_track.results.loading import LoadedRun, load_run
from dynamic_track.running.committing import COMMITMENTS_FOLDER, read_commitments
from dynamic_track.running.folders import PLAN_FILE
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.saved_run import read_run
from dynamic_track.tasks.sources import ids_of_named_set
from twinbench.calls.journal import JOURNAL_FILE
from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.plugins.seen import is_in_sample
from twinbench.storage.manifest_files import load_manifest, manifest_names
from twinbench.storage.manifests import LiveManifest
from twinbench.submissions.manifest import Division, JournalHead, LivePart

RUNS_FOLDER = "runs"
POOLS_FOLDER = "pools"

_FILES = (PLAN_FILE, f"journal/{JOURNAL_FILE}", "provider.jsonl")
_FOLDERS = ("cases", "verdicts", COMMITMENTS_FOLDER)


@dataclass(frozen=True)
class PackedRun:
    """A run as a submission has it."""

    part: LivePart
    router_fingerprint: str | None
    files: Mapping[str, Path]
    """Its files, and those of its pool unless the pool ships with twinbench, by their paths in the archive."""
    notes: tuple[str, ...]
    """What a reviewer will find missing or strange."""


def pack_run(path: Path, name: str) -> PackedRun:
    """Gather the files of a run, and say what it came to.

    Args:
        path: the run's directory; nothing in it is changed.
        name: the run's name in the archive.

    Raises:
        UsageError: there is no such run, it was imported, or it has a link, a pipe or a device.
        ContentError, JournalError: it is damaged.
    """
    run = load_run(path)
    entries = read_run(path).entries
    folder = f"{RUNS_FOLDER}/{name}"
    files = {f"{folder}/{inner}": path / inner for inner in _inner_files(path)}
    pool_file = None
    if shipped_pool(run.pool.fingerprint) is None:
        pool_file = f"{POOLS_FOLDER}/{_file_name(run.pool.name)}.toml"
        files[pool_file] = Path(run.plan.pool)
    score = run.score
    part = LivePart(
        run=folder,
        spec=run.display_router,
        plan=run.plan.fingerprint,
        pool=run.pool.name,
        pool_fingerprint=run.pool.fingerprint,
        pool_file=pool_file,
        cases=len(run.cases),
        trials=run.plan.trials,
        resolved=score.count("resolved"),
        unresolved=score.count("unresolved"),
        infra=score.count("infra") + score.count("cap"),
        cost_usd=float(score.cost_usd),
        bill_usd=float(score.bill_usd),
        head=JournalHead(line=entries[-1].number, sha256=entries[-1].sha256) if entries else None,
        commitments=tuple(each.digest for each in read_commitments(path)),
        in_sample=is_in_sample(run.plan.router),
        division=division_of(run.plan, run.pool, simulated=run.simulated),
    )
    return PackedRun(part, run.plan.router_fingerprint, files, tuple(_notes(path, run, part)))


def shipped_pool(pool_fingerprint: str) -> LiveManifest | None:
    """Return the live pool with this fingerprint that ships with twinbench; None where there is none."""
    for name in manifest_names():
        manifest = load_manifest(name)
        if isinstance(manifest, LiveManifest) and manifest.fingerprint == pool_fingerprint:
            return manifest
    return None


def division_of(plan: RunPlan, pool: LiveManifest, *, simulated: bool) -> Division:
    """Return the division that a run belongs to: ``live`` is for real models of a locked pool, on a set of tasks that
    everybody has, without overrides.

    Args:
        plan: its plan.
        pool: its pool.
        simulated: whether simulated models answered.
    """
    if simulated or plan.is_simulated:
        return Division.rehearsal
    overridden = bool(plan.overrides.get("network")) or "image" in plan.overrides
    own_tasks = ids_of_named_set(str(plan.sources.get("tasks"))) is None
    return Division.open if pool.division == "open" or own_tasks or overridden else Division.live


def _inner_files(path: Path) -> Iterator[str]:
    for name in _FILES:
        if (path / name).is_file():
            yield name
    for folder in _FOLDERS:
        for each in sorted((path / folder).rglob("*")):
            if each.is_symlink() or not (each.is_file() or each.is_dir()):
                raise UsageError(f"{each} is neither a file nor a folder: a run has no links, pipes and devices")
            if each.is_file() and not each.name.startswith("."):
                yield each.relative_to(path).as_posix()


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "pool"


def _notes(path: Path, run: LoadedRun, part: LivePart) -> Iterator[str]:
    if run.unended or run.missing:
        number = format_count(run.unended + len(run.missing), "trial")
        yield f"{path}: {number} not over: a run that is not complete is not accepted"
    if part.infra:
        yield f"{path}: {format_count(part.infra, 'trial')} ended by infrastructure or the cap, without a verdict"
    if ungraded := run.score.count("ungraded"):
        yield f"{path}: {format_count(ungraded, 'trial')} not graded: twinbench dynamic grade {path}"
    if run.score.router_failure is not None:
        yield f"{path}: the router {run.score.router_failure}: it gets no rank"
    if part.division is not Division.rehearsal and not part.commitments:
        yield f"{path}: no commitment was written before it, so nobody can tell whether it is the first of many"
    known = ids_of_named_set(str(run.plan.sources.get("tasks")))
    if known is not None and len(run.cases) < known[0] and not part.commitments:
        yield (
            f"{path}: {len(run.cases):,} of {known[0]:,} tasks, and no commitment names them: verification fails, "
            "since nobody can tell which were left out"
        )
    for name in ("pool", "tasks", "dataset"):
        if (told := run.plan.sources.get(name)) is not None and str(told).startswith("/"):
            yield f"{path}/{PLAN_FILE}: names a folder of your machine ({told})"
    if run.plan.router.startswith("/"):
        yield f"{path}/{PLAN_FILE}: names a folder of your machine ({run.plan.router})"
