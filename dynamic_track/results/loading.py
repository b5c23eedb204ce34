"""Load a run directory for scoring: plan, pool, trials and their calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from dynamic_track.running.origin import Origin
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.saved_run import read_run
from dynamic_track.running.score import RunScore, score_trials
from dynamic_track.running.trial import TrialOutcome, summarise_trial
from twinbench.calls.billing import bill_usd
from twinbench.calls.lines import DecisionLine
from twinbench.calls.recording import RecordedAttempt, Recording
from twinbench.causes import Cause
from twinbench.display.wording import display_spec, remove_folders
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.routing.usage import UnpricedTokensError, Usage
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest


@dataclass(frozen=True)
class LoadedRun:
    """A run loaded for scoring."""

    path: Path
    plan: RunPlan
    pool: LiveManifest
    """The run's pool, or another one whose prices are applied."""
    recordings: tuple[Recording, ...]
    """The recordings of the trials that ended."""
    unended: int
    """The number of trials that have started but not ended."""
    trials: tuple[TrialOutcome, ...]
    """The outcomes of ``recorded``, in the same order."""
    cases: tuple[str, ...]
    """The ids of the run's cases."""
    origin: Origin = Origin.real
    """The origin of its numbers."""
    missing: tuple[tuple[str, int], ...] = ()
    """Planned trials without any line in the journal, as case and trial number."""
    begun_usd: Decimal = Decimal(0)
    """What was spent on trials that have not ended, at the run's own prices."""
    not_loaded: str | None = None
    """Why the router could not be loaded the last time; None if it was."""

    @property
    def router(self) -> str:
        """The router's spec."""
        return self.plan.router

    @property
    def display_router(self) -> str:
        """The router's spec without folders of the machine that it ran on."""
        return display_spec(self.router)

    @property
    def name(self) -> str:
        """The run's own name (see ``run_dir.run_names``)."""
        return RunDirectory(self.path).name

    @property
    def simulated(self) -> bool:
        """Whether simulated models answered."""
        return self.origin.is_simulated

    @property
    def score(self) -> RunScore:
        """The run's score."""
        return score_trials(self.trials, self.pool, self.begun_usd, self.not_loaded)

    @cached_property
    def table_fingerprint(self) -> str:
        """Fingerprint of everything that runs in one table share: the plan without the router, prices, origin."""
        return fingerprint(
            {**self.plan.identity_without_router, "pool": self.pool.fingerprint, "origin": self.origin.name}
        )

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the plan, the prices and the outcome of every trial."""
        return fingerprint(
            {
                "identity": self.plan.identity,
                "pool": self.pool.fingerprint,
                "trials": [trial.to_json() for trial in self.trials],
            }
        )

    def calls(self) -> Iterator[AnsweredCall]:
        """Yield the answered calls of all trials in order, each with the previous one of its trial."""
        for recording in self.recordings:
            earlier: RecordedAttempt | None = None
            for number in sorted(recording.steps):
                step = recording.steps[number]
                answer = step.answer
                if answer is not None:
                    yield AnsweredCall(recording.case, recording.trial, number, step.decision, answer, earlier)
                    earlier = answer


@dataclass(frozen=True)
class AnsweredCall:
    """One answered call of a trial."""

    case: str
    trial: int
    step: int
    decision: DecisionLine | None
    """The router's decision; None if the journal lacks it."""
    answer: RecordedAttempt
    earlier: RecordedAttempt | None
    """The previous answered call of the trial."""

    @property
    def candidate(self) -> str:
        """The id of the candidate that answered."""
        return self.answer.reserve.candidate

    @property
    def usage(self) -> Usage:
        """The billed tokens."""
        return self.answer.usage or Usage()


def load_run(path: Path, prices: LiveManifest | None = None) -> LoadedRun:
    """Load a run from its directory.

    Args:
        path: the run directory, or a copy of it.
        prices: another pool whose prices are applied to the recorded usage.

    Raises:
        UsageError: it is not a run directory, it has imported runs, or ``prices`` lacks one of its candidates.
        ContentError, JournalError: it is damaged, or has trials of cases that are not the run's.
    """
    run = read_run(path)
    plan = run.plan
    if plan.is_imported:
        raise UsageError(f"{path} has imported runs, which have no verdicts; use twinbench dynamic replay {path}")
    pool = live_manifest(plan.pool)
    if (was := plan.pool_fingerprint) != pool.fingerprint and prices is None:
        raise UsageError(
            f"the pool {plan.pool} has changed since {path} was made ({str(was)[:12]}…, now "
            f"{pool.fingerprint[:12]}…): name the pool whose prices to apply with --prices"
        )
    found = run.trials
    if strange := [f"{each.case}: {each.detail}" for each in run.unplanned]:
        problems = [Problem(str(path), None, None, each) for each in strange]
        raise ContentError(problems, hint=f"The run was not scored; for details: twinbench dynamic audit {path}")
    recorded = tuple(found[key] for key in sorted(found) if found[key].end is not None)
    trials = tuple(summarise_trial(pool, recording) for recording in recorded)
    if prices is not None:
        trials = tuple(_reprice(each, trial, prices) for each, trial in zip(recorded, trials, strict=True))
    return LoadedRun(
        path,
        plan,
        prices or pool,
        recorded,
        len(found) - len(recorded),
        trials,
        run.cases,
        run.origin,
        tuple(run.missing),
        run.unfinished_usd,
        run.directory.not_loaded,
    )


def _reprice(recording: Recording, trial: TrialOutcome, prices: LiveManifest) -> TrialOutcome:
    """Apply other prices to a trial's recorded usage; an attempt without usage keeps its reservation."""
    tables = {candidate.id: candidate.prices.prices() for candidate in prices.candidates}
    total = {"cost": Decimal(0), "router": Decimal(0), "lost": Decimal(0)}
    answers = {id(answer): "cost" for answer in recording.answers}
    answers |= {id(answer): "router" for answer in recording.router_answers}
    for step in recording.steps.values():
        for attempt in step.all_attempts:
            if (candidate := attempt.reserve.candidate) not in tables:
                raise UsageError(f"--prices {prices.name} has no {candidate}, which answered in {recording.case}")
            known = Decimal(0) if attempt.settle is None else attempt.settle.cost_usd
            try:
                usd = known if attempt.usage is None else attempt.usage.cost_usd(tables[candidate])
            except UnpricedTokensError as error:
                what = f"{error}: candidate {candidate} of --prices {prices.name} needs prices.cache_write_1h"
                raise UsageError(f"{recording.case}: {what}") from None
            total[answers.get(id(attempt), "lost")] += usd
    cost = total["cost"] + total["router"]
    bill = None if trial.resolved is None else bill_usd(cost, trial.resolved, prices.unresolved_penalty_usd)
    earlier = sum((each.spend_usd for each in recording.previous_recordings), start=Decimal(0))
    return replace(
        trial, cost_usd=cost, router_usd=total["router"], spend_usd=cost + total["lost"] + earlier, bill_usd=bill
    )


def portable_detail(trial: TrialOutcome) -> str | None:
    """Return a trial's detail without folders of the machine that it ran on; folders within containers stay."""
    on_this_side = trial.cause in (Cause.router, Cause.internal)
    return remove_folders(trial.detail) if trial.detail is not None and on_this_side else trial.detail


def shown_content(outcome: TrialOutcome | RunScore) -> dict[str, Any]:
    """A trial or a score as JSON, what a router said in it without folders of the machine that it ran on."""
    content = outcome.to_json()
    if content["first_router_error"] is not None:
        content["first_router_error"] = remove_folders(content["first_router_error"])
    if isinstance(outcome, TrialOutcome):
        content["detail"] = portable_detail(outcome)
    return content


def case_rows(run: LoadedRun) -> list[dict[str, Any]]:
    """Return each trial of a run as a flat row, for tables and data frames."""
    rows = []
    for trial in run.trials:
        content = shown_content(trial)
        usage = content.pop("usage")
        content.pop("models")
        buckets = asdict(Usage(**usage))
        rows.append(
            {"run": run.name, "router": run.display_router, **content, "counts": trial.outcome_class, **buckets}
        )
    return rows


def call_rows(run: LoadedRun) -> list[dict[str, Any]]:
    """Return each answered call of a run as a flat row."""
    rows = []
    for call in run.calls():
        settle, decision = call.answer.settle, call.decision
        assert settle is not None  # noqa: S101 - an answer is settled
        rows.append(
            {
                "run": run.name,
                "router": run.display_router,
                "case": call.case,
                "trial": call.trial,
                "step": call.step,
                "candidate": call.candidate,
                **asdict(call.usage),
                "cost_usd": float(settle.cost_usd),
                "reported_cost_usd": None if settle.reported_cost_usd is None else float(settle.reported_cost_usd),
                "latency_s": settle.latency_s,
                "decision_ms": None if decision is None else decision.latency_ms,
                "score": None if decision is None else decision.score,
                "rationale": None if decision is None else decision.rationale,
                "attempt": call.answer.reserve.attempt,
            }
        )
    return rows
