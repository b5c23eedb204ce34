"""Execute the trials of a run, each continued where an interrupted execution left it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar

from dynamic_track.grading.verdict import GradingLimits, Verdict, grade, no_verdict
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.running.agent import AgentEnd
from dynamic_track.running.breaker import Breaker
from dynamic_track.running.nodes import CaseExecutor, Job, LeasedNodes, Node
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.score import RunScore, score_trials
from dynamic_track.running.stopping import StoppedError
from dynamic_track.running.trial import TrialContext, TrialOutcome, run_trial_agent, summarise_trial
from dynamic_track.running.unexpected_errors import TRACEBACK_FILE, record_end, record_unexpected
from dynamic_track.tasks.task import Task
from twinbench.calls.completion import SIMULATED
from twinbench.calls.journal import Journal
from twinbench.calls.lines import End, VerdictLine
from twinbench.calls.recording import DivergedError, Recording
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import CAUSES, CausedError, OutcomeClass
from twinbench.containers.engine import Engine
from twinbench.containers.labels import Lease
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError
from twinbench.fingerprint import sha256_text
from twinbench.unexpected import describe_error


@dataclass(frozen=True, repr=False)
class RunSummary(Tabular):
    """The result of a run so far."""

    run: str
    score: RunScore
    left: int = 0
    """Trials that are left because a stop was requested."""
    stopped: str | None = None
    """Why the run stopped by itself, and what to do; None if it did not."""
    simulated: bool = False
    """Whether a response says that a simulated model gave it."""

    @property
    def trials(self) -> tuple[TrialOutcome, ...]:
        """The trials, in the order of the plan."""
        return self.score.trials

    @property
    def router_failure(self) -> str | None:
        """How the router failed as a whole, as the end of a sentence; None if it did not."""
        return self.score.router_failure

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        told = ("cases", "resolved", "unresolved", "infra", "cap", "cost_usd", "spend_usd")
        score = self.score.to_json()
        return {
            "run": self.run,
            "simulated": self.simulated,
            **{name: score[name] for name in told},
            **self.score.failures(),
            "stopped": self.stopped,
            "trials": [trial.summary_fields() for trial in self.trials],
        }

    number_columns: ClassVar = frozenset({"bill_usd"})

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each trial; money is in USD."""
        return [
            {
                "id": trial.id,
                "trial": trial.trial,
                "counts": trial.outcome_class,
                "cause": None if trial.cause is None else str(trial.cause),
                "agent_end": trial.agent_end,
                "router_errors": trial.router_errors,
                "steps": trial.steps,
                "cost_usd": float(trial.cost_usd),
                "spend_usd": float(trial.spend_usd),
                "bill_usd": None if trial.bill_usd is None else float(trial.bill_usd),
                "models": ", ".join(f"{name} ×{calls}" for name, calls in trial.models.items()) or None,
                "detail": trial.detail,
            }
            for trial in self.trials
        ]


def run_jobs(
    executor: CaseExecutor,
    jobs: Sequence[Job],
    context: TrialContext,
    run: RunDirectory,
    journal: Journal,
    recorded: Mapping[tuple[str, int], Recording],
    *,
    lease: Lease,
    verdicts: VerdictStore,
    graded: bool = True,
    breaker: bool = True,
    progress: Progress = no_progress,
) -> RunSummary:
    """Run unfinished trials, and continue those that were started, until all are done or a stop is requested.

    An unexpected error ends its trial with cause ``internal``. Only an error that prevents recording (a journal that
    cannot be written, a full disk) stops the run.

    Args:
        executor: runs the jobs on nodes.
        jobs: the trials.
        context: the common context of the trials.
        run: the run directory, for files of ended trials.
        journal: the run's journal, open for writing.
        recorded: the recordings of trials so far.
        lease: the lease of this execution, for the labels of containers.
        verdicts: the store of verdicts.
        graded: whether submitted patches are graded.
        breaker: whether to stop if the first trials are all lost to one infrastructure cause (``Breaker``).
        progress: called for each trial.

    Raises:
        TwinbenchError, OSError: a trial cannot be recorded; the others are stopped so that the run can be continued.
    """
    names = [(job.task.id, job.trial) for job in jobs]
    known = {name: recorded.get(name) or Recording(*name) for name in names}
    finished = {name for name, recording in known.items() if _is_finished(recording, graded)}
    watch = Breaker(context.stop)
    nodes = LeasedNodes(lease)

    def work_on(job: Job, node: Node) -> TrialOutcome | None:
        log = context.make_log(known[job.task.id, job.trial], journal)
        try:
            with node.admission.admit(context.stop):
                context.stop.raise_if_requested()
                if node.name is not None and (job.task.id, job.trial) not in finished:
                    run.note_node(job.task.id, job.trial, node.name)
                return run_trial(context, nodes.with_lease(node), job.task, log, run, verdicts, graded=graded)
        except StoppedError:
            return None

    trials: dict[tuple[str, int], TrialOutcome | None] = {}

    def ended(job: Job, trial: TrialOutcome | None) -> None:
        name = (job.task.id, job.trial)
        trials[name] = trial
        if breaker and trial is not None and name not in finished:
            watch.add(trial)
        progress("cases", len(trials), len(jobs))

    progress("cases", 0, len(jobs))
    # An exception of a job affects the whole run, so the other jobs stop too.
    executor.run(jobs, work_on, ended, context.stop.request)
    in_order = [trial for name in names if (trial := trials.get(name)) is not None]
    # What the run has spent minus the spend of ended trials was spent on unfinished trials.
    elsewhere = sum((each.spend_usd for name, each in recorded.items() if name not in known), Decimal(0))
    ended_usd = sum((trial.spend_usd for trial in in_order), Decimal(0))
    begun = max(context.budget.spent_usd - ended_usd - elsewhere, Decimal(0))
    return RunSummary(
        str(run.path),
        score_trials(in_order, context.pool, begun),
        len(jobs) - len(in_order),
        watch.reason,
        simulated=any(recording.is_simulated for recording in known.values()),
    )


def run_trial(
    bench: TrialContext,
    node: Node,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    *,
    graded: bool = True,
) -> TrialOutcome:
    """Run a trial to its end, starting where its recording ends; an unexpected error ends it with cause ``internal``.

    Args:
        bench: what trials have in common.
        node: the node with its containers.
        task: the case's task.
        log: the trial's log.
        run: the run directory.
        verdicts: the store of verdicts.
        graded: whether the submitted patch is graded.

    Raises:
        StoppedError: a stop was requested; the trial can be continued.
        TwinbenchError, OSError: the trial cannot be recorded.
    """
    try:
        log.settle_in_flight()
        _run_and_grade(bench, node, task, log, run, verdicts, graded)
        trial = summarise_trial(bench.pool, log.recording)
        write_case(run, trial)
        run.remove(task.id, log.recording.trial, TRACEBACK_FILE)  # from an earlier execution
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - an error in one trial must not affect others
        record_unexpected(error, log, run, bench.secrets)
        trial = _summarise_after_error(error, bench, log)
        with suppress(OSError):  # the disk may be the cause of the error
            write_case(run, trial)
    return trial


def _run_and_grade(
    bench: TrialContext,
    node: Node,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    graded: bool,
) -> None:
    over = has_agent_ended(log.recording)
    wanted = not over or (graded and _wants_verdict(log.recording))
    failed = node.images.get(task) if wanted else None
    if not over:
        if failed is None:
            _run_agent_to_end(bench, node.engine, task, log, run)
        else:
            record_end(log, failed.cause, str(failed))
    if graded and _wants_verdict(log.recording):
        give_verdict(
            node.engine,
            bench.grading,
            task,
            log,
            run,
            verdicts,
            no_image=failed,
            checkpoint=bench.stop.raise_if_requested,
        )


def _summarise_after_error(error: Exception, bench: TrialContext, log: TrialLog) -> TrialOutcome:
    try:
        return summarise_trial(bench.pool, log.recording)
    except Exception:  # noqa: BLE001 - reported below
        name = f"{log.recording.case}, trial {log.recording.trial}"
        raise TwinbenchError(
            f"{name}: its journal cannot be summarised ({describe_error(error)}); the journal is unchanged. Report "
            f"this with the traceback in the case's folder, and exclude the case (--only, --slice) to continue"
        ) from error


def give_verdict(
    engine: Engine,
    limits: GradingLimits,
    task: Task,
    log: TrialLog,
    run: RunDirectory,
    verdicts: VerdictStore,
    *,
    no_image: CausedError | None = None,
    no_cache: bool = False,
    checkpoint: Callable[[], None] | None = None,
) -> None:
    """Grade the patch that a trial submitted, and record the verdict.

    Args:
        engine: the Docker engine.
        limits: limits of grading.
        task: the trial's task.
        log: the trial's log; its agent has ended by itself.
        run: the run directory, for the verdict's file.
        verdicts: the store of verdicts.
        no_image: why the task's image is not available, if it is not.
        no_cache: grade again even if a cached verdict exists.
        checkpoint: called while tests run; raises if a stop was requested.
    """
    assert log.recording.end is not None  # noqa: S101 - checked by the caller
    patch = log.recording.end.diff
    if no_image is not None and patch.strip():
        verdict = no_verdict(task, no_image.cause, str(no_image))
    else:
        verdict = grade(engine, task, patch, verdicts, limits, no_cache=no_cache, checkpoint=checkpoint)
    run.write(task.id, log.recording.trial, "verdict.json", _json(_portable(verdict)))
    log.write(
        VerdictLine(
            **log.stamp(),
            resolved=verdict.resolved,
            cause=verdict.cause,
            detail=verdict.detail,
            fingerprint=verdict.fingerprint,
        ),
        sync=True,
    )


def _run_agent_to_end(bench: TrialContext, engine: Engine, task: Task, log: TrialLog, run: RunDirectory) -> None:
    try:
        ended = _run_or_restart_agent(bench, engine, task, log)
    except CausedError as error:
        record_end(log, error.cause, str(error))
        return
    # Write the files before the end is in the journal, so that they exist whenever the journal says so.
    trajectory = dict(ended.trajectory)
    if log.recording.is_simulated:
        trajectory["info"] = {**trajectory["info"], SIMULATED: "simulated models answered, not real ones"}
    run.write(task.id, log.recording.trial, "trajectory.json", bench.secrets.redact(_json(trajectory)))
    run.write(task.id, log.recording.trial, "patch.diff", ended.patch)
    if ended.error is not None:
        record_end(log, ended.error.cause, str(ended.error))
        return
    log.write(
        End(
            **log.stamp(),
            exit_status=ended.exit_status,
            patch=ended.patch.encode("utf-8", "surrogateescape"),
            patch_sha256=sha256_text(ended.patch),
            cause=None,
            detail=None,
        ),
        sync=True,
    )


def _run_or_restart_agent(bench: TrialContext, engine: Engine, task: Task, log: TrialLog) -> AgentEnd:
    """Continue a trial, or start it over if it diverges from its recording."""
    try:
        return run_trial_agent(bench, engine, task, log)
    except DivergedError as diverged:
        log.start_over(diverged)
        return run_trial_agent(bench, engine, task, log)


def write_case(run: RunDirectory, trial: TrialOutcome) -> None:
    """Write a trial's ``case.json``."""
    run.write(trial.id, trial.trial, "case.json", _json(trial.to_json()))


def _is_finished(recording: Recording, graded: bool) -> bool:
    """Return whether nothing is left to do for a trial."""
    return has_agent_ended(recording) and not (graded and _wants_verdict(recording))


def has_agent_ended(recording: Recording) -> bool:
    """Return whether the agent has ended for good; a trial that infrastructure or the cap ended is continued."""
    return recording.end is not None and recording.end.is_final


def _wants_verdict(recording: Recording) -> bool:
    """Return whether there is a patch without a verdict; if infrastructure prevented one, grading is tried again."""
    if recording.end is None or recording.end.cause is not None:
        return False
    cause = None if recording.verdict is None else recording.verdict.cause
    return recording.verdict is None or (cause is not None and CAUSES[cause].outcome_class is OutcomeClass.infra)


def _portable(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict without paths of this machine."""
    return replace(verdict, log=None).to_json()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, default=str) + "\n"
