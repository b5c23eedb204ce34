"""Runs: cases side by side, each continued where a killed run left it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from dynamic_track.admission import Admission, Images
from dynamic_track.agent import AgentEnd
from dynamic_track.run_dir import RunDirectory
from dynamic_track.score import RunScore, scored
from dynamic_track.stopping import StoppedError
from dynamic_track.tasks import Task
from dynamic_track.trial import Bench, Trial, concluded, work
from dynamic_track.verdict import GradingLimits, Verdict, grade
from dynamic_track.verdict_store import VerdictStore
from twinbench.calls.journal import Journal, unpacked
from twinbench.calls.recording import DivergedError, Recording, TrialLog
from twinbench.causes import CAUSES, Cause, CausedError, Counts
from twinbench.containers.engine import Engine
from twinbench.fingerprint import sha256_text

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class RunSummary:
    """What became of a run so far."""

    run: str
    score: RunScore
    left: int = 0
    """Trials that the sitting did not end, because it was to stop."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in the order of the plan."""
        return self.score.trials

    def to_json(self) -> dict[str, Any]:
        """The summary that a run ends with."""
        told = ("cases", "resolved", "unresolved", "infra", "cap", "cost_usd", "spend_usd")
        score = self.score.to_json()
        return {"run": self.run, **{name: score[name] for name in told}}


@dataclass(frozen=True)
class Schedule:
    """How a sitting goes through its cases; none of it changes what comes of them."""

    workers: int = 1
    """Cases at once."""
    trials: int = 1
    """How often each case is run."""
    graded: bool = True
    admission: Admission = field(default_factory=Admission)


def run_cases(
    bench: Bench,
    tasks: Sequence[Task],
    run: RunDirectory,
    journal: Journal,
    recorded: Mapping[tuple[str, int], Recording],
    *,
    images: Images,
    verdicts: VerdictStore,
    schedule: Schedule | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run cases that are not finished, and go on with those that were begun; until all are done or the run is to stop.

    Args:
        bench: what they have in common.
        tasks: the cases.
        run: where files of ended trials go.
        journal: of the run, open.
        recorded: what stood in it.
        images: of the cases.
        verdicts: kept verdicts.
        schedule: how many at once, and how often.
        progress: told of each case.
    """
    schedule = schedule or Schedule()
    planned = [(task, number) for task in tasks for number in range(1, schedule.trials + 1)]
    done = 0
    counting = threading.Lock()

    def run_one(task: Task, number: int) -> Trial | None:
        nonlocal done
        recording = recorded.get((task.id, number)) or Recording(task.id, number)
        try:
            with schedule.admission.room(bench.stop):
                bench.stop.check()
                return _run_case(bench, task, bench.log(recording, journal), run, verdicts, images, schedule.graded)
        except StoppedError:
            return None
        except BaseException:
            bench.stop.request()  # what is no case's own failure ends the others too
            raise
        finally:
            images.over(task)
            with counting:
                done += 1
                if progress is not None:
                    progress("cases", done, len(planned))

    if progress is not None:
        progress("cases", 0, len(planned))
    with ThreadPoolExecutor(schedule.workers, "twinbench-case") as pool:
        futures = [pool.submit(run_one, task, number) for task, number in planned]
        found = [future.result() for future in futures]
    ended = [trial for trial in found if trial is not None]
    return RunSummary(str(run.path), scored(ended, bench.pool), len(planned) - len(ended))


def _run_case(
    bench: Bench,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    images: Images,
    graded: bool,
) -> Trial:
    log.settle_lost()
    over = _is_over(log.recording)
    wanted = not over or (graded and _wants_verdict(log.recording))
    failed = images.get(task) if wanted else None
    if not over:
        if failed is None:
            _work_to_the_end(bench, task, log, run)
        else:
            _log_end(log, failed.cause, str(failed))
    if graded and _wants_verdict(log.recording):
        give_verdict(bench.engine, bench.grading, task, log, run, verdicts)
    trial = concluded(bench.pool, log.recording)
    write_case(run, trial)
    return trial


def give_verdict(
    engine: Engine,
    limits: GradingLimits,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    *,
    fresh: bool = False,
) -> None:
    """Grade what a trial submitted, and write the verdict down.

    Args:
        engine: for containers.
        limits: of the grading.
        task: of the trial, whose image is there.
        log: of the trial, which has ended by itself.
        run: where the verdict's file goes.
        verdicts: kept verdicts.
        fresh: grade again, even where a verdict is kept.
    """
    assert log.recording.end is not None  # noqa: S101 - seen by the caller
    verdict = grade(engine, task, _patch(log.recording.end), verdicts, limits, fresh=fresh)
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


def write_case(run: RunDirectory, trial: Trial) -> None:
    """Write ``case.json`` of a trial."""
    run.write(trial.id, trial.trial, "case.json", _json(trial.to_json()))


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
