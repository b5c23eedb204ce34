"""Exports a run as a log of inspect_ai: for ``inspect view``, its data frames, and other programs that read such logs.

A log covers one run. A sample is a case, and an epoch of it is a trial. Its score is our verdict; a trial that
infrastructure or the cap ended has an error and no score. A model event is a step's call with the conversation before
it; retries are in its metadata. A tool event is a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamic_track.exporting.conversation import patch_text
from dynamic_track.exporting.inspect_events import EventBuilder, to_datetime, to_model_usage, trial_times
from dynamic_track.results.loading import LoadedRun, shown_content
from dynamic_track.running.trial import TrialOutcome
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.recording import Recording
from twinbench.causes import CAUSES, OutcomeClass
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import display_path
from twinbench.errors import TwinbenchError
from twinbench.routing.usage import Usage

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ModelUsage

SUFFIX = ".eval"
"""The suffix by which inspect_ai recognises a log. As JSON, a log is ten times as large, and is only listed if its name
contains its time."""

SCORER = "resolved"


def write_inspect_log(run: LoadedRun, path: Path, progress: Progress = no_progress) -> None:
    """Write a run as a log of inspect_ai.

    Args:
        run: a loaded run.
        path: the file, with any name; inspect_ai finds files that end in ``SUFFIX``.
        progress: called with the number of trials that are done.

    Raises:
        TwinbenchError: inspect_ai is not installed.
        OSError: the file cannot be written.
    """
    _require_inspect_ai()
    from inspect_ai.log import write_eval_log

    log = to_inspect_log(run, progress)
    path.touch()  # fails if the file cannot be written; inspect_ai would create missing folders
    write_eval_log(log, str(path.absolute()), format="eval")


def to_inspect_log(run: LoadedRun, progress: Progress = no_progress) -> EvalLog:
    """Convert a run to inspect_ai's log object.

    Args:
        run: a loaded run.
        progress: called with the number of trials that are done.

    Raises:
        TwinbenchError: inspect_ai is not installed, or no trial has ended.
    """
    _require_inspect_ai()
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalPlan, EvalPlanStep, EvalSpec, EvalStats

    if not run.trials:
        raise TwinbenchError(f"no trial of {run.path} has ended")
    agent, scaffold = run.plan.agent, run.plan.scaffold
    cases = list(dict.fromkeys(trial.id for trial in run.trials))
    spans = [trial_times(recording) for recording in run.recordings]
    begun, ended = to_datetime(min(span[0] for span in spans)), to_datetime(max(span[1] for span in spans))
    samples = []
    for recording, trial in zip(run.recordings, run.trials, strict=True):
        samples.append(_sample(run, recording, trial))
        progress("exporting, trials", len(samples), len(run.trials))
    tags = ["twinbench", *([] if not run.simulated else ["rehearsal"] if run.plan.is_simulated else ["simulated"])]
    tasks = display_path(str(run.plan.sources["tasks"]))
    packages = {"twinbench": version("twinbench")}
    if "version" in agent:
        packages[scaffold] = str(agent["version"])
    spec = EvalSpec(
        eval_id=run.fingerprint[:22],
        run_id=run.fingerprint[:22],
        task_id=run.table_fingerprint[:22],
        created=begun.isoformat(),
        task=f"{tasks} (simulated models)" if run.simulated else tasks,
        task_description=run.origin.value if run.simulated else None,
        solver=scaffold,
        tags=tags,
        dataset=EvalDataset(name=tasks, samples=len(cases), sample_ids=list(cases), shuffled=False),
        model=f"twinbench/{run.display_router}",
        config=EvalConfig(epochs=max(trial.trial for trial in run.trials)),
        packages=packages,
        metadata=_run_metadata(run),
    )
    totals = _usages(run.recordings)
    return EvalLog(
        status="success",
        eval=spec,
        plan=EvalPlan(name=scaffold, steps=[EvalPlanStep(solver=scaffold, params=dict(agent))]),
        results=_results(run),
        stats=EvalStats(started_at=begun.isoformat(), completed_at=ended.isoformat(), model_usage=totals),
        tags=tags,
        metadata=_run_metadata(run),
        samples=samples,
    )


def _require_inspect_ai() -> None:
    """Raise an error that says what to install if inspect_ai is missing."""
    try:
        import inspect_ai.event
        import inspect_ai.log  # noqa: F401
    except ImportError as error:
        raise TwinbenchError(
            f"inspect_ai cannot be imported ({error}): logs for it need pip install 'twinbench[inspect]'"
        ) from None


def _run_metadata(run: LoadedRun) -> dict[str, Any]:
    """Return what a log says about the run as a whole; the money figures are those of ``dynamic score``."""
    score = shown_content(run.score)
    models = score.pop("models")
    about = {
        "simulated": run.simulated,
        "about": run.origin.value,
        "time": "virtual" if run.origin.has_virtual_time else "wall",
        "run": run.name,
        "router": run.display_router,
        "fingerprint": run.fingerprint,
        "pool": run.pool.name,
        "pool_fingerprint": run.pool.fingerprint,
        "division": run.pool.division,
        "seed": run.plan.seed,
        **score,
        "calls": models,
        "unended": run.unended,
    }
    return dict(replace_surrogates(about))


def _results(run: LoadedRun) -> Any:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    score = run.score
    resolved, decided = score.count("resolved"), score.count("resolved") + score.count("unresolved")
    numbers: dict[str, float] = {} if not decided else {"accuracy": resolved / decided}
    numbers |= {
        "bill_usd": float(score.bill_usd),
        "cost_usd": float(score.cost_usd),
        "spend_usd": float(score.spend_usd),
        "penalty_usd": float(score.penalty_usd),
    }
    metrics = {name: EvalMetric(name=name, value=value) for name, value in numbers.items()}
    return EvalResults(
        total_samples=len(run.trials),
        completed_samples=decided,
        scores=[
            EvalScore(
                name=SCORER,
                scorer=SCORER,
                scored_samples=decided,
                unscored_samples=len(run.trials) - decided,
                metrics=metrics,
            )
        ],
    )


def _sample(run: LoadedRun, recording: Recording, trial: TrialOutcome) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.scorer import Score

    maker = EventBuilder(run, recording)
    said = maker.messages
    first = min(maker.said.messages_before.values(), default=len(said))
    events = maker.step_events()
    begun, ended = trial_times(recording)
    handling = None if trial.cause is None else CAUSES[trial.cause]
    content = shown_content(trial)
    detail = content["detail"]
    error = None
    if handling is not None and handling.outcome_class is not OutcomeClass.unresolved:
        told = f"{trial.outcome_class}: {trial.cause}, {handling.meaning}" + (f" ({detail})" if detail else "")
        error = EvalError(message=replace_surrogates(told), traceback="", traceback_ansi="")
    scores = None
    if error is None and trial.resolved is not None:
        why = "the tests decided" if handling is None else f"{trial.cause}: {handling.meaning}"
        scores = {
            SCORER: Score(
                value="C" if trial.resolved else "I",
                answer=replace_surrogates(patch_text(recording)),
                explanation=replace_surrogates(why + (f" ({detail})" if detail else "")),
            )
        }
    buckets = content.pop("usage")
    del content["id"], content["trial"]
    calls = content.pop("models")
    metadata = {
        "simulated": run.simulated,
        "router": run.display_router,
        "counts": trial.outcome_class,
        **content,
        **buckets,
        "calls": calls,
        "conversation": maker.said.source,
    }
    return EvalSample(
        id=trial.id,
        epoch=trial.trial,
        input=list(said[:first]),
        target="",
        messages=list(said),
        output=maker.last,
        scores=scores,
        metadata=replace_surrogates(metadata),
        events=[*events, *maker.final_events(scores, error, ended)],
        model_usage=_usages([recording]),
        started_at=to_datetime(begun).isoformat(),
        completed_at=to_datetime(ended).isoformat(),
        total_time=round(ended - begun, 6),
        working_time=round(ended - begun, 6),
        uuid=maker.next_id("sample"),
        error=error,
        turn_count=trial.steps,
    )


def _usages(recorded: Sequence[Recording]) -> dict[str, ModelUsage]:
    """Return the four token counts of the answered calls, and their cost, by candidate."""
    usages: dict[str, Usage] = {}
    costs: dict[str, Decimal] = {}
    for answer in (answer for recording in recorded for answer in recording.answers):
        name = answer.reserve.candidate
        usages[name] = usages.get(name, Usage()) + (answer.usage or Usage())
        costs[name] = costs.get(name, Decimal(0)) + answer.spent_usd
    return {name: to_model_usage(total, float(costs[name])) for name, total in usages.items()}
