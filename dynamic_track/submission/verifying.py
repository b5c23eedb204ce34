"""The live part of a submission, verified without trust and without a container."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dynamic_track.auditing.audit import Audit, audit
from dynamic_track.results.live_score import LiveScore, live_score
from dynamic_track.results.loading import LoadedRun, load_run
from dynamic_track.running.committing import COMMITMENTS_FOLDER, MOST_COMMITMENT_BYTES
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.saved_run import SavedRun, read_run
from dynamic_track.submission.packing import division_of, shipped_pool
from dynamic_track.submission.reading import find_excess, read_untrusted_plan
from dynamic_track.submission.tasks_here import TasksHere, check_in_sample
from dynamic_track.tasks.sources import ids_of_named_set
from twinbench.calls.lines import RunExecution
from twinbench.calls.recording import lines_of_kinds
from twinbench.checks import Status
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.input_files import InputError, read_regular
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.fields import bounded_json
from twinbench.submissions.findings import Findings
from twinbench.submissions.manifest import Division, JournalHead, LivePart, SubmittedRouter
from twinbench.submissions.report import VerifiedResult
from twinbench.submissions.trained import TrainedRouter

_MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The exceptions that may be raised by reading data that no run writes."""
_EQUAL = 1e-9
_CLOCK_SLACK_S = 5.0
"""How far clocks of one machine may be apart between a commitment and the first line of its execution; a commitment
has whole seconds."""


@dataclass(frozen=True)
class VerifiedRun:
    """A run of a submission as far as it could be read."""

    part: LivePart
    folder: Path
    """The copy of its directory, which names nothing of this machine but what the maintainer named."""
    plan: RunPlan
    pool: LiveManifest
    pool_source: str
    """The pool's name, or its file."""
    score: LiveScore | None
    """None where it could not be scored."""
    result: VerifiedResult | None


def verify_run(
    part: LivePart,
    folder: Path,
    router: SubmittedRouter,
    findings: Findings,
    *,
    pool_file: Path | None = None,
    here: TasksHere | None = None,
    posted: Path | None = None,
    against: Sequence[Path] = (),
    trained: Sequence[TrainedRouter] = (),
    recorded: bool = True,
    progress: Progress = no_progress,
) -> VerifiedRun | None:
    """Verify a run from a copy of its directory.

    Args:
        part: the part of the submission, with its claims.
        folder: the copy, whose files are plain; its plan is written anew.
        router: the submission's router.
        findings: collects the checks.
        pool_file: the pool's manifest out of the archive.
        here: the tasks on this machine.
        posted: the maintainer's folder of commitments that were posted.
        against: directories of other runs, which must not have the same responses.
        trained: the trained routers among the submission's files.
        recorded: whether the record of each is what training on its bank records.
        progress: called as the work proceeds.

    Returns:
        None where the run cannot be read.
    """
    subject, here = part.run, here or TasksHere()
    if not findings.judge("bounds", subject, find_excess(folder), "no file and no packed text is too large"):
        return None
    found = _find_pool(part, pool_file)
    if isinstance(found, str):
        findings.add("pool", subject, Status.failed, found)
        return None
    pool, source = found
    try:
        plan = read_untrusted_plan(folder, pool=source, tasks=here.tasks, dataset=here.dataset)
        kept = read_run(folder)
        _check_pool(part, plan, pool, findings)
        _check_router(part, plan, router, findings)
        _add_audit(audit(folder, pool, against=against, progress=progress), subject, findings)
        run = load_run(folder)
        _check_set(part, kept, here, posted, findings)
        in_sample = check_in_sample(part, plan, kept.cases, here, trained, findings, recorded=recorded)
        division = division_of(plan, pool, simulated=run.simulated)
        findings.judge(
            "division",
            subject,
            []
            if division is part.division
            else [f"claimed is {part.division}, the run's division is {division}: {run.origin.value}"],
            f"{division}: {run.origin.value}",
        )
        commitments = _check_commitments(part, kept, posted, division, findings)
        score = live_score(run)
        result = _result(part, score, division, commitments, in_sample=in_sample)
    except TwinbenchError as error:
        findings.add("readable", subject, Status.failed, str(error).replace(str(folder), subject))
        return None
    except _MALFORMED as error:
        what = f"something that no run writes keeps it from being read: {error!r}".replace(str(folder), subject)
        findings.add("readable", subject, Status.failed, what)
        return None
    findings.judge(
        "result", subject, _claim_problems(part, score, kept), "cases, verdicts, costs and bill are as claimed"
    )
    return VerifiedRun(part, folder, plan, pool, source, score, result)


def _find_pool(part: LivePart, pool_file: Path | None) -> tuple[LiveManifest, str] | str:
    """Return the pool that a run is said to be made with, and where it is; a text says why there is none."""
    if (shipped := shipped_pool(part.pool_fingerprint)) is not None:
        return shipped, shipped.name
    if pool_file is None:
        return (
            f"no pool that ships with twinbench has the fingerprint {part.pool_fingerprint}, and the archive has none"
        )
    try:
        found = live_manifest(str(pool_file))
    except (UsageError, ContentError) as error:
        return str(error).replace(str(pool_file), str(part.pool_file))
    if found.fingerprint != part.pool_fingerprint:
        return f"{part.pool_file} has the fingerprint {found.fingerprint}, claimed is {part.pool_fingerprint}"
    return found, str(pool_file)


def _check_pool(part: LivePart, plan: RunPlan, pool: LiveManifest, findings: Findings) -> None:
    problems = []
    if plan.pool_fingerprint != pool.fingerprint:
        problems.append(
            f"the run was made with the pool {plan.pool_name} ({plan.pool_fingerprint}), claimed is "
            f"{part.pool} ({pool.fingerprint})"
        )
    if part.pool != pool.name:
        problems.append(f"the pool is called {part.pool}, and its manifest {pool.name}")
    if plan.fingerprint != part.plan:
        problems.append(f"the plan's fingerprint is {plan.fingerprint}, claimed is {part.plan}")
    told = "a locked pool, at its locked prices" if pool.division == "locked" else "a pool that is not locked"
    findings.judge("pool", part.run, problems, f"{pool.name}: {told}")


def _check_router(part: LivePart, plan: RunPlan, router: SubmittedRouter, findings: Findings) -> None:
    if router.closed:
        what = "the router is closed: nobody can tell whether it decided, and its decisions cannot be repeated"
        findings.add("router", part.run, Status.warned, what)
        return
    problems = []
    if plan.router_fingerprint != router.fingerprint:
        problems.append(
            f"the run was made with the router {plan.router_fingerprint}, submitted is {router.fingerprint}: other "
            "files, arguments or versions decided"
        )
    findings.judge("router", part.run, problems, "the run was made with the router that is submitted")


def _add_audit(found: Audit, subject: str, findings: Findings) -> None:
    findings.add_results(
        (replace(check, subject=subject) if check.subject == str(found.run) else check for check in found.checks),
        subject,
    )


def _check_set(part: LivePart, kept: SavedRun, here: TasksHere, posted: Path | None, findings: Findings) -> None:
    """Check that the run covers a whole set of tasks, or cases that were named before it."""
    name, cases = str(kept.plan.sources["tasks"]), set(kept.cases)
    known = ids_of_named_set(name)
    ids: frozenset[str] | None
    if (tasks := here.load(name)) is not None:
        ids = frozenset(task.id for task in tasks.tasks)
        number = len(ids)
        if tasks.fingerprint != kept.plan.identity.get("tasks"):
            findings.add(
                "set", part.run, Status.failed, f"the run is not of the tasks of {name}: they differ in content"
            )
            return
    elif known is not None:
        number, ids = known
    else:
        what = "a set of tasks that is not here (--tasks): nobody can tell whether all of its tasks were run"
        findings.add("set", part.run, Status.warned, what)
        return
    strange = [] if ids is None else sorted(cases - ids)
    left_out = number - len(cases) + len(strange)
    if strange:
        what = f"{name} has no task {strange[0]}" + ("" if len(strange) == 1 else f", nor {len(strange) - 1:,} others")
        findings.add("set", part.run, Status.failed, what)
    elif not left_out:
        findings.add("set", part.run, Status.passed, f"all {number:,} tasks of {name}", value=len(cases))
    elif {case for each in _posted_commitments(part, posted) for case in each.cases} == cases:
        told = f"{len(cases):,} of {number:,} tasks of {name}, those that posted commitments name"
        findings.add("set", part.run, Status.passed, told, value=len(cases))
    else:
        what = (
            f"{len(cases):,} of {number:,} tasks of {name}, and no posted commitment names them: nobody can tell which "
            "were left out"
        )
        findings.add("set", part.run, Status.failed, what, value=left_out)


def _posted_commitments(part: LivePart, posted: Path | None) -> list[Commitment]:
    found = []
    for digest in part.commitments if posted is not None else ():
        commitment = _read_commitment((posted or Path()) / f"{digest}.json")
        if isinstance(commitment, Commitment) and commitment.digest == digest:
            found.append(commitment)
    return found


def _read_commitment(path: Path) -> Commitment | str | None:
    """Return a commitment; a text says what is wrong with it, None that there is no such file."""
    try:
        return Commitment.parse(read_regular(path, MOST_COMMITMENT_BYTES), path.name)
    except FileNotFoundError:
        return None
    except (ContentError, OSError, InputError) as error:
        return str(error)


def _check_commitments(
    part: LivePart, kept: SavedRun, posted: Path | None, division: Division, findings: Findings
) -> tuple[str, ...]:
    if division is Division.rehearsal:
        return ()
    problems: list[str] = []
    made: dict[str, Commitment] = {}
    for path in sorted((kept.directory.path / COMMITMENTS_FOLDER).glob("*")):
        read = _read_commitment(path)
        if isinstance(read, Commitment):
            made[read.digest] = read
        else:
            problems.append(f"{COMMITMENTS_FOLDER}/{path.name}: {read or 'is missing'}")
    if set(made) != set(part.commitments):
        problems.append("the commitments in the run's directory are others than the manifest names")
    sittings = [each.line for each in lines_of_kinds(kept.entries, RunExecution)]
    named = [each.commitment for each in sittings if each.commitment is not None]
    if not made and not named and not problems:
        what = "no commitment was written before the run: it may be the best of many"
        findings.add("commitment", part.run, Status.warned, what)
        return ()
    problems += _contradictions(kept.plan, kept.cases, sittings, made)
    missing: list[str] = []
    for digest in part.commitments if posted is not None else ():
        there = _read_commitment((posted or Path()) / f"{digest}.json")
        if there is None:
            missing.append(digest)
        elif not isinstance(there, Commitment) or there.digest != digest:
            problems.append(f"what was posted as {digest}.json is another commitment")
    findings.judge(
        "commitment", part.run, problems, f"the run is what {format_count(len(made), 'commitment')} said it would be"
    )
    if posted is None:
        what = "not looked up: --commitments names the folder of those that were posted, and when is in its history"
        findings.add("posted", part.run, Status.warned, what)
    elif missing:
        what = f"{format_count(len(missing), 'commitment')} never posted, such as {missing[0]}.json: it says nothing"
        findings.add("posted", part.run, Status.warned, what, value=len(missing))
    else:
        findings.add("posted", part.run, Status.passed, "each was posted; when, the folder's history says")
    return tuple(digest for digest in part.commitments if digest in made and digest not in missing)


def _contradictions(
    plan: RunPlan, cases: Sequence[str], sittings: Sequence[RunExecution], made: Mapping[str, Commitment]
) -> Iterator[str]:
    for each in made.values():
        told = {
            "router": (each.router_fingerprint, plan.router_fingerprint),
            "pool": (each.pool_fingerprint, plan.pool_fingerprint),
            "tasks": (each.tasks, plan.identity.get("tasks")),
            "trials": (each.trials, plan.trials),
            "plan": (each.plan, plan.fingerprint_with(each.cases)),
        }
        for name, (committed, found) in told.items():
            if committed != found:
                yield f"{each.digest[:12]}: the {name} that was committed to is {committed}, that of the run {found}"
    committed_cases = {case for each in made.values() for case in each.cases}
    if added := sorted(set(cases) - committed_cases):
        yield f"{format_count(len(added), 'case')} that no commitment names, such as {added[0]}"
    if dropped := sorted(committed_cases - set(cases)):
        missing = format_count(len(dropped), "case")
        yield f"{missing} that were committed to and are not in the run, such as {dropped[0]}"
    for number, sitting in enumerate(sittings, 1):
        if sitting.commitment is None:
            yield f"execution {number} has no commitment"
        elif (commitment := made.get(sitting.commitment)) is None:
            yield f"execution {number} names the commitment {sitting.commitment}, which is not in the run's directory"
        elif (at := _seconds(commitment.made_at)) is None or at > sitting.at + _CLOCK_SLACK_S:
            yield f"execution {number} began before its commitment was made, at {commitment.made_at}"
        elif not set(sitting.cases) <= set(commitment.cases):
            yield f"execution {number} was to run cases that its commitment does not name"
    if unused := set(made) - {each.commitment for each in sittings}:
        yield f"{format_count(len(unused), 'commitment')} that no execution names: {min(unused)}"


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _claim_problems(part: LivePart, score: LiveScore, kept: SavedRun) -> Iterator[str]:
    found = score.score
    told: dict[str, tuple[float | None, float | None]] = {
        "cases": (part.cases, len(kept.cases)),
        "trials a case": (part.trials, kept.plan.trials),
        "resolved": (part.resolved, found.count("resolved")),
        "unresolved": (part.unresolved, found.count("unresolved")),
        "without a verdict by infrastructure or the cap": (part.infra, found.count("infra") + found.count("cap")),
        "cost in USD": (part.cost_usd, float(found.cost_usd)),
        "bill in USD": (part.bill_usd, float(found.bill_usd)),
    }
    for name, (claimed, computed) in told.items():
        if claimed is None or computed is None or abs(claimed - computed) > _EQUAL * max(1.0, abs(computed)):
            yield f"{name}: claimed is {claimed}, computed from the journal is {computed}"
    if _without_folders(part.spec) != _without_folders(kept.plan.router):
        yield f"the router that is named is {part.spec}, the run's router is {_without_folders(kept.plan.router)}"
    entries = kept.entries
    head = JournalHead(line=entries[-1].number, sha256=entries[-1].sha256) if entries else None
    if part.head != head:
        yield "the journal ends with another line than the manifest names"


def _without_folders(spec: str) -> str:
    """Return a router's spec with the names of files alone: where they lay, each machine says otherwise."""
    target, mark, arguments = spec.partition("?")
    return target.rpartition("/")[2] + mark + re.sub(r"(?<==)[^&]*/", "", arguments)


def _result(
    part: LivePart, score: LiveScore, division: Division, commitments: tuple[str, ...], *, in_sample: bool
) -> VerifiedResult:
    run, plan = score.run, score.run.plan
    content = score.to_json()
    del content["by_case"]
    content |= {"run": part.run, "router": part.spec}
    setting: dict[str, Any] = {
        "pool": {"name": run.pool.name, "fingerprint": run.pool.fingerprint, "division": run.pool.division},
        "tasks": {"name": str(plan.sources["tasks"]).rpartition("/")[2], "fingerprint": plan.identity.get("tasks")},
        "agent": dict(plan.agent),
        "grader": dict(plan.grader),
        "seed": plan.seed,
        "on_router_error": plan.overrides.get("on_router_error"),
        "penalty_usd": float(run.pool.unresolved_penalty_usd),
        "cases": len(run.cases),
        "trials": plan.trials,
        "about": run.origin.value,
    }
    return VerifiedResult(
        division=division,
        kind="live",
        subject=part.run,
        comparable=_comparable(run),
        in_sample=in_sample,
        simulated=run.simulated,
        setting=bounded_json(setting),
        score=bounded_json(content),
        commitments=commitments,
    )


def _comparable(run: LoadedRun) -> str:
    """Return a fingerprint of what runs share that may be ranked together: all but the router, and the cases."""
    return fingerprint({"but_router": run.table_fingerprint, "cases": sorted(run.cases)})
