"""Runs: cases one after the other, each continued where a killed run left it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynamic_track.agent import AgentEnd
from dynamic_track.run_dir import RunDirectory
from dynamic_track.score import RunScore, scored
from dynamic_track.tasks import Task
from dynamic_track.trial import Bench, Trial, concluded, work
from dynamic_track.verdict import Verdict, grade
from dynamic_track.verdict_store import VerdictStore
from twinbench.calls.journal import Journal, unpacked
from twinbench.calls.recording import DivergedError, Recording, TrialLog
from twinbench.causes import CAUSES, Cause, CausedError, Counts
from twinbench.fingerprint import sha256_text

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class RunSummary:
    """What became of a run so far."""

    run: str
    score: RunScore

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in the order of the plan."""
        return self.score.trials

    def to_json(self) -> dict[str, Any]:
        """The summary that a run ends with."""
        told = ("cases", "resolved", "unresolved", "infra", "cap", "cost_usd", "spend_usd")
        score = self.score.to_json()
        return {"run": self.run, **{name: score[name] for name in told}}


def run_cases(
    bench: Bench,
    tasks: Sequence[Task],
    run: RunDirectory,
    journal: Journal,
    recorded: Mapping[tuple[str, int], Recording],
    *,
    trials: int = 1,
    images_failed: Mapping[str, CausedError] | None = None,
    verdicts: VerdictStore,
    graded: bool = True,
    progress: Progress | None = None,
) -> RunSummary:
    """Run cases that are not finished, and go on with those that were begun.

    Args:
        bench: what they have in common.
        tasks: the cases.
        run: where files of ended trials go.
        journal: of the run, open.
        recorded: what stood in it.
        trials: how often each case is run.
        images_failed: the errors of images that cannot be had.
        verdicts: kept verdicts.
        graded: whether patches are graded.
        progress: told of each case.
    """
    done: list[Trial] = []
    planned = [(task, number) for task in tasks for number in range(1, trials + 1)]
    for task, number in planned:
        if progress is not None:
            progress(f"running {task.id}", len(done), len(planned))
        recording = recorded.get((task.id, number)) or Recording(task.id, number)
        log = bench.log(recording, journal)
        failed = (images_failed or {}).get(task.image)
        done.append(_run_case(bench, task, log, run, verdicts, failed=failed, graded=graded))
    return RunSummary(str(run.path), scored(done, bench.pool))


def _run_case(
    bench: Bench,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    *,
    failed: CausedError | None,
    graded: bool,
) -> Trial:
    log.settle_lost()
    if not _is_over(log.recording):
        if failed is None:
            _work_to_the_end(bench, task, log, run)
        else:
            _log_end(log, failed.cause, str(failed))
    if graded and _wants_verdict(log.recording):
        _grade(bench, task, log, run, verdicts)
    trial = concluded(bench.pool, log.recording)
    run.write(task.id, log.recording.trial, "case.json", _json(trial.to_json()))
    return trial


def _grade(bench: Bench, task: Task, log: TrialLog, run: RunDirectory, verdicts: VerdictStore) -> None:
    assert log.recording.end is not None  # noqa: S101 - seen by the caller
    verdict = grade(bench.engine, task, _patch(log.recording.end), verdicts, bench.grading)
    run.write(task.id, log.recording.trial, "verdict.json", _json(_portable(verdict)))
    log.write(
        "verdict",
        sync=True,
        resolved=verdict.resolved,
        cause=verdict.cause,
        detail=verdict.detail,
        fingerprint=verdict.fingerprint,
    )


def _work_to_the_end(bench: Bench, task: Task, log: TrialLog, run: RunDirectory) -> None:
    try:
        ended = _worked(bench, task, log)
    except CausedError as error:
        _log_end(log, error.cause, str(error))
        return
    # Before the end is in the journal: where it stands there, the files are there too.
    run.write(task.id, log.recording.trial, "trajectory.json", _json(dict(ended.trajectory)))
    run.write(task.id, log.recording.trial, "patch.diff", ended.patch)
    if ended.error is not None:
        _log_end(log, ended.error.cause, str(ended.error))
        return
    log.write(
        "end",
        sync=True,
        exit_status=ended.exit_status,
        patch=ended.patch.encode("utf-8", "surrogateescape"),
        patch_sha256=sha256_text(ended.patch),
        cause=None,
        detail=None,
    )


def _worked(bench: Bench, task: Task, log: TrialLog) -> AgentEnd:
    """Go on with a trial, or begin it again where it does something else than is recorded: then nothing is."""
    try:
        return work(bench, task, log)
    except DivergedError as diverged:
        log.start_over(diverged)
        return work(bench, task, log)


def _log_end(log: TrialLog, cause: Cause, detail: str) -> None:
    log.write(
        "end", sync=True, exit_status=str(cause), patch=b"", patch_sha256=sha256_text(""), cause=cause, detail=detail
    )


def _is_over(recording: Recording) -> bool:
    """Whether the agent has ended for good; what infrastructure or the cap ended goes on."""
    if recording.end is None:
        return False
    cause = recording.end["cause"]
    return cause is None or CAUSES[Cause(cause)].counts is Counts.unresolved


def _wants_verdict(recording: Recording) -> bool:
    """Whether there is a patch that nobody has judged; where infrastructure kept us from it, it is tried again."""
    if recording.end is None or recording.end["cause"] is not None:
        return False
    cause = None if recording.verdict is None else recording.verdict["cause"]
    return recording.verdict is None or (cause is not None and CAUSES[Cause(cause)].counts is Counts.infra)


def _patch(end: Mapping[str, Any]) -> str:
    patch = end["patch"]
    content = patch if isinstance(patch, bytes) else unpacked(patch)
    return content.decode("utf-8", "surrogateescape")


def _portable(verdict: Verdict) -> dict[str, Any]:
    """A verdict without paths of this machine."""
    return replace(verdict, log=None).to_json()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, default=str) + "\n"
