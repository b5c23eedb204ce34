"""Parts of a submission's runs done again: patches graded, cases replayed, cases run with real models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from dynamic_track.auditing.evidence import read_evidence
from dynamic_track.auditing.tokens import other_ratios
from dynamic_track.grading.patches import grade_all
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.results.live_score import live_score
from dynamic_track.results.loading import LoadedRun, load_run
from dynamic_track.running.preparing import RunRequest, prepare_run
from dynamic_track.running.rerun import replay_run
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.saved_run import read_run
from dynamic_track.submission.verifying import VerifiedRun
from dynamic_track.tasks.selection import TaskChoice
from dynamic_track.tasks.sources import load_tasks
from twinbench.calls.recording import Recording
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.checks import Status
from twinbench.containers.engine import Engine
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count, format_p
from twinbench.errors import TwinbenchError
from twinbench.plugins.limits import PluginLimits
from twinbench.storage.store import Store
from twinbench.storage.temporary_folders import temporary_folder
from twinbench.submissions.findings import Findings
from twinbench.submissions.repetition import (
    RepeatedCase,
    describe_power,
    level_of,
    p_of_costs,
    p_of_resolved,
)
from twinbench.submissions.report import Level
from twinbench.submissions.sampling import draw

_TESTS_OF_A_RUN = 2
_FAR_LATENCY = 3.0
"""Times of decisions that differ by more than this factor are reported: machines differ by less."""


@dataclass(frozen=True)
class Sampling:
    """What the samples are drawn with."""

    digest: str
    nonce: str

    def draw(self, names: Sequence[str], number: int, purpose: str) -> list[str]:
        """Draw ``number`` of the names; 0 for all."""
        return draw(names, number or None, digest=self.digest, nonce=self.nonce, purpose=purpose)


def grade_again(
    run: VerifiedRun,
    number: int,
    sampling: Sampling,
    findings: Findings,
    *,
    workers: int,
    build: bool,
    progress: Progress = no_progress,
) -> None:
    """Grade patches of a run again, and compare the verdicts.

    Args:
        run: the run.
        number: how many trials; 0 for all with a verdict.
        sampling: from what the sample follows.
        findings: collects the checks.
        workers: how many patches are graded in parallel.
        build: build images from the tasks' Dockerfiles.
        progress: called with the number of graded patches.

    Raises:
        CausedError: the engine does not answer.
    """
    subject = run.part.run
    if not _has_tasks(run, findings, Level.grade):
        return
    graded = {f"{each.case}/{each.trial}": each for each in _graded(run)}
    chosen = sampling.draw(list(graded), number, f"grade {subject}")
    tasks = load_tasks(run.plan.sources["tasks"], run.plan.sources.get("dataset")).tasks
    by_trial: dict[int, dict[str, str]] = defaultdict(dict)
    for name in chosen:
        recording = graded[name]
        assert recording.end is not None  # noqa: S101 - it has a verdict
        by_trial[recording.trial][recording.case] = recording.end.diff
    different, without = [], []
    with Engine.connect() as engine, temporary_folder() as anew:
        for trial, patches in sorted(by_trial.items()):
            wanted = [task for task in tasks if task.id in patches]
            store = VerdictStore(Store(anew))
            found = grade_all(engine, wanted, patches, store, workers=workers, build=build, progress=progress)
            for verdict in found.verdicts:
                name = f"{verdict.id}/{trial}"
                line = graded[name].verdict
                assert line is not None  # noqa: S101 - only graded trials were drawn
                if not verdict.is_verdict:
                    without.append(f"{name}: {verdict.detail}")
                elif verdict.resolved != line.resolved:
                    different.append(
                        f"{name}: recorded is {_word(line.resolved)}, graded again {_word(verdict.resolved)}"
                    )
    for problem in without:
        findings.add("grade", subject, Status.warned, f"no verdict here: {problem}", level=Level.grade)
    told = f"{format_count(len(chosen) - len(without), 'verdict')} of {len(graded):,}, graded again, are as recorded"
    findings.judge("grade", subject, different, told, value=len(chosen), level=Level.grade)


def replay_again(
    run: VerifiedRun,
    number: int,
    sampling: Sampling,
    findings: Findings,
    *,
    router: str | None,
    plugins: PluginLimits | None,
    build: bool,
    progress: Progress = no_progress,
) -> None:
    """Replay cases of a run: commands are run again, patches graded, and the router is called if it is available.

    Args:
        run: the run.
        number: how many cases; 0 for all.
        sampling: what the sample is drawn with.
        findings: collects the checks.
        router: the router's spec, from where its files are now; None: its decisions are taken from the recording.
        plugins: limits of the router's process, of strict isolation.
        build: build images from the tasks' Dockerfiles.
        progress: called with the number of replayed trials.

    """
    subject = run.part.run
    if not _has_tasks(run, findings, Level.replay):
        return
    if run.plan.overrides.get("network") or "image" in run.plan.overrides:
        what = "its containers had a network or another image: commands that strangers chose are not run with either"
        findings.add("replay", subject, Status.warned, what, level=Level.replay)
        return
    ended = sorted({each.case for each in read_run(run.folder).trials.values() if each.end is not None})
    chosen = sampling.draw(ended, number, f"replay {subject}")
    try:
        found = replay_run(
            run.folder,
            route=router is not None,
            only=[escape(case) for case in chosen],
            tasks=run.plan.sources["tasks"],
            dataset=run.plan.sources.get("dataset"),
            pool=run.pool_source,
            router=router,
            build=build,
            plugins=plugins,
            progress=progress,
        )
    except Exception as error:  # noqa: BLE001 - what a stranger wrote must not keep the report from being written
        what = f"cannot be replayed: {error if isinstance(error, TwinbenchError) else repr(error)}"
        findings.add("replay", subject, Status.failed, what, level=Level.replay)
        return
    problems = []
    for each in found.differences:
        told = f"{each.case}/{each.trial}, step {each.step}: {each.what} was {each.recorded!r}, is {each.replayed!r}"
        if each.what == "cause" and _is_infra(each.replayed):
            findings.add("replay", subject, Status.warned, f"not replayed: {told}", level=Level.replay)
        else:
            problems.append(told)
    asked = "" if router is None else ", and the router decides alike"
    cases = f"{format_count(len(chosen), 'case')} of {len(ended):,}"
    told = f"{cases} give the same commands, observations and verdicts{asked}"
    findings.judge("replay", subject, problems, told, value=len(chosen), level=Level.replay)


@dataclass(frozen=True)
class Rerun:
    """How cases are run again with real models."""

    number: int
    """How many cases; 0 for all."""
    router: str
    """The router's spec, from where its files are now."""
    plugins: PluginLimits
    api_base: str
    api_key_env: str | None
    run_usd: str | None
    folder: Path
    """Where the reruns' own run directories go."""
    runs: int
    """How many runs of the submission are run again, over which the chance of a false alarm is divided."""
    workers: int = 1
    build: bool = False


def run_again(
    run: VerifiedRun,
    rerun: Rerun,
    sampling: Sampling,
    findings: Findings,
    *,
    tell: Callable[[str], None],
    progress: Progress = no_progress,
) -> None:
    """Run cases again with real models, and test the claim: resolved cases, costs, tokens, times.

    Args:
        run: the run.
        rerun: how the cases are run again.
        sampling: from what the sample follows.
        findings: collects the checks.
        tell: called with the power before anything is spent.
        progress: called as images are fetched or built.

    Raises:
        TwinbenchError: the cases cannot be run here.
    """
    subject = run.part.run
    if run.result is None or run.score is None or run.plan.is_simulated:
        what = "a rehearsal is not run again: its models are a function of what they are asked, which --replay shows"
        findings.add("rerun", subject, Status.warned, what, level=Level.rerun)
        return
    if not _has_tasks(run, findings, Level.rerun):
        return
    claimed = _claimed(run.score.run)
    chosen = sampling.draw(list(claimed), rerun.number, f"rerun {subject}")
    level = level_of(_TESTS_OF_A_RUN * rerun.runs)
    told = describe_power(len(chosen), level, _noise(run.score.run))
    tell(f"{subject}: {told}")
    findings.add("power", subject, Status.passed, told, value=len(chosen), level=Level.rerun)
    again = rerun.folder / subject.replace("/", "-")
    request = RunRequest(
        router=rerun.router,
        run_dir=again,
        api_base=rerun.api_base,
        api_key_env=rerun.api_key_env,
        choice=TaskChoice(
            tasks=run.plan.sources["tasks"],
            dataset=run.plan.sources.get("dataset"),
            only=[escape(case) for case in chosen],
        ),
        pool=run.pool_source,
        run_usd=rerun.run_usd,
        action_format=str(run.plan.agent.get("actions")),
        seed=str(run.plan.seed),
        on_router_error=run.plan.overrides.get("on_router_error"),
        workers=rerun.workers,
        build=rerun.build,
        plugins=rerun.plugins,
    )
    prepare_run(request, progress).execute(progress=progress)
    _compare(run, claimed, load_run(again), level, findings)


def _compare(
    run: VerifiedRun,
    claimed: dict[str, tuple[bool, float]],
    again: LoadedRun,
    level: float,
    findings: Findings,
) -> None:
    subject = run.part.run
    found = _claimed(again)
    cases = [
        RepeatedCase(case, claimed[case][0], resolved, claimed[case][1], usd)
        for case, (resolved, usd) in sorted(found.items())
        if case in claimed
    ]
    if missing := len(again.cases) - len(cases):
        what = f"{format_count(missing, 'case')} without a verdict in the rerun, left out of the comparison"
        findings.add("rerun", subject, Status.warned, what, value=missing, level=Level.rerun)
    if not cases:
        return
    before = sum(each.claimed_resolved for each in cases)
    now = sum(each.resolved for each in cases)
    p = p_of_resolved(cases)
    told = f"{before:,} of {len(cases):,} cases are claimed to be resolved, {now:,} are when run again ({format_p(p)})"
    findings.add("rerun-resolved", subject, _status(p, level), told, value=p, level=Level.rerun)
    p = p_of_costs(cases)
    spent, cost = sum(each.claimed_usd for each in cases), sum(each.cost_usd for each in cases)
    told = f"{spent:.4f} USD are claimed for {len(cases):,} cases, {cost:.4f} are billed when run again ({format_p(p)})"
    findings.add("rerun-cost", subject, _status(p, level), told, value=p, level=Level.rerun)
    one, other = (read_evidence(RunDirectory(path), run.pool) for path in (run.folder, again.path))
    findings.judge(
        "rerun-tokens",
        subject,
        (each.detail.replace(str(again.path), "the rerun") for each in other_ratios(one, other)),
        "models are billed the same tokens for the same text",
        level=Level.rerun,
    )
    _compare_latency(run, again, findings)


def _compare_latency(run: VerifiedRun, again: LoadedRun, findings: Findings) -> None:
    assert run.score is not None  # noqa: S101 - only scored runs are run again
    subject = run.part.run
    then, now = run.score.latency_ms["p50"], live_score(again, None).latency_ms["p50"]
    if not then or not now:
        return
    far = max(then, now) > _FAR_LATENCY * max(min(then, now), 1.0)
    told = f"half of the decisions took {then:.1f} ms or less, when run again {now:.1f} ms: machines differ"
    findings.add(
        "rerun-latency", subject, Status.warned if far else Status.passed, told, value=now / then, level=Level.rerun
    )


def _status(p: float, level: float) -> Status:
    return Status.failed if p <= level else Status.passed


def _claimed(run: LoadedRun) -> dict[str, tuple[bool, float]]:
    """Return verdict and cost of the first trial of each case that has one: one draw of a case, as a rerun is."""
    found: dict[str, tuple[bool, float]] = {}
    for trial in sorted(run.trials, key=lambda trial: trial.trial):
        if trial.bill_usd is not None:
            found.setdefault(trial.id, (bool(trial.resolved), float(trial.cost_usd)))
    return found


def _noise(run: LoadedRun) -> float | None:
    """Return the share of cases on which two trials of a run disagree; None where cases have one trial."""
    by_case: dict[str, list[bool]] = defaultdict(list)
    for trial in run.trials:
        if trial.bill_usd is not None:
            by_case[trial.id].append(bool(trial.resolved))
    several = [trials for trials in by_case.values() if len(trials) > 1]
    if not several:
        return None
    shares = [2 * sum(trials) * (len(trials) - sum(trials)) / (len(trials) * (len(trials) - 1)) for trials in several]
    return sum(shares) / len(shares)


def _graded(run: VerifiedRun) -> list[Recording]:
    return [
        each
        for each in read_run(run.folder).trials.values()
        if each.end is not None and each.verdict is not None and each.verdict.resolved is not None
    ]


def _has_tasks(run: VerifiedRun, findings: Findings, level: Level) -> bool:
    """Return whether the tasks of a run are here; if not, the check of that level is a warning."""
    if run.plan.sources["tasks"] != "unknown":
        return True
    what = "the tasks are not here: name them with --tasks"
    findings.add(str(level), run.part.run, Status.warned, what, level=level)
    return False


def _is_infra(told: object) -> bool:
    cause = str(told).partition(":")[0]
    return cause in list(Cause) and CAUSES[Cause(cause)].outcome_class is OutcomeClass.infra


def _word(resolved: bool | None) -> str:
    return "resolved" if resolved else "unresolved"
