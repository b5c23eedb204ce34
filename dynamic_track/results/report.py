"""A single-file HTML report of live runs: table, bills, causes, and every trajectory call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track.results.live_score import GIVE_UP, bill_ranks, score_intervals
from dynamic_track.results.report_data import RunView, make_run_view
from dynamic_track.running.origin import Origin
from dynamic_track.running.run_dir import common_folder, run_names
from dynamic_track.running.saved_run import read_run
from dynamic_track.running.score import give_up_usd
from twinbench.causes import CAUSES, Cause
from twinbench.display.html.page import format_number, render_page
from twinbench.display.html.plots import Mark, Plot, colour_of, draw_plot
from twinbench.display.wording import format_count, remove_folders
from twinbench.errors import UsageError
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import rank_text
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest

_TEMPLATE = Path(__file__).resolve().parent / "report.html"
_RESAMPLING = Resampling()
_VERDICTS = ("resolved", "unresolved")
_VERDICT_SECTIONS = ("bill", "causes")
"""Sections that imported runs do not have."""
_OTHER_STATES = ("infra", "cap", "grading", "running", "planned")


@dataclass(frozen=True)
class Report:
    """The content of a report."""

    runs: Sequence[RunView]
    pool: LiveManifest
    folder: str | None
    """The folder that contains all runs under their names."""

    @property
    def origin(self) -> Origin:
        """The origin of the runs' numbers."""
        return self.runs[0].state.origin

    @property
    def is_imported(self) -> bool:
        """Whether the runs were imported from an agent's files, and so have no router, tests or bills."""
        return self.runs[0].plan.is_imported

    def html(self, command: str) -> str:
        """Render the report as HTML.

        Args:
            command: the command line that reproduces it.

        Raises:
            PlotsMissingError: the plotting library is not installed.
        """
        return render_page(_TEMPLATE, _content(self) | {"command": command})


def make_report(run_dirs: Sequence[Path], *, cut: int | None = 2000, pool: str | None = None) -> Report:
    """Collect everything about runs for a report.

    Args:
        run_dirs: the run directories.
        cut: the largest number of characters of a long text; None for no limit.
        pool: the runs' pool, by name or file; None: the one that their plans name.

    Raises:
        UsageError: one is not a run, or the runs cannot be in one table: rehearsals or imported runs with real runs, or
            different pools.
        ContentError, JournalError: one is damaged.
    """
    if len(set(run_dirs)) < len(run_dirs):
        raise UsageError("a run is given twice")
    kept = [read_run(path) for path in run_dirs]
    manifests = [live_manifest(pool or run.plan.pool) for run in kept]
    for path, run, manifest in zip(run_dirs, kept, manifests, strict=True):
        if run.origin is not kept[0].origin:
            told = f"{run_dirs[0]}: {kept[0].origin}; {path}: {run.origin}"
            raise UsageError(f"these runs cannot be in one report: {told}")
        if manifest.fingerprint != manifests[0].fingerprint:
            raise UsageError(
                f"{path} and {run_dirs[0]} have different pools, {manifest.name} and {manifests[0].name}: "
                "their bills cannot be in one table"
            )
    names = run_names(run_dirs)
    runs = [make_run_view(run, name, manifests[0], cut) for run, name in zip(kept, names, strict=True)]
    return Report(tuple(runs), manifests[0], common_folder(run_dirs))


def _content(report: Report) -> dict[str, Any]:
    runs, pool = report.runs, report.pool
    tiers = pool.tiers
    routers = ", ".join(dict.fromkeys(run.router for run in runs))
    what = runs[0].router if len(runs) == 1 else format_count(len(dict.fromkeys(run.router for run in runs)), "router")
    if report.is_imported:
        title = "Imported run" if len(runs) == 1 else f"{len(runs)} imported runs"
    else:
        kind = "Rehearsal" if report.origin is Origin.rehearsal else "Live run" if len(runs) == 1 else "Live runs"
        title = f"{kind} of {what}" + (", simulated models" if report.origin is Origin.simulated else "")
    sections = [
        ("runs", "Runs"),
        ("bill", "Bill against resolved"),
        ("causes", "Causes"),
        ("trajectories", "Trajectories"),
        ("reading", "How to read this"),
        ("made", "How it was made"),
    ]
    lines = _table_rows(runs, pool, tiers)
    return {
        "title": title,
        "routers": routers,
        "said_first": f"{report.origin.heading}.",
        "simulated": report.origin.is_simulated,
        "rehearsed": report.origin is Origin.rehearsal,
        "imported": report.is_imported,
        "pool": pool,
        "facts": _facts(report),
        "sections": [each for each in sections if not report.is_imported or each[0] not in _VERDICT_SECTIONS],
        "runs": runs,
        "lines": lines,
        "tiers": tiers,
        "tier_colours": {tier: place for place, tier in enumerate(tiers, 1)},
        "notes": [*pool.division_notes] if report.is_imported else [*_notes(runs, pool), *_interval_notes(lines)],
        "bill": None if report.is_imported else _bill_plot(runs, pool),
        "causes": _causes(runs),
        "penalty": float(pool.unresolved_penalty_usd),
        "ttl_s": pool.wallclock_ttl_seconds,
    }


def _facts(report: Report) -> list[tuple[str, str]]:
    plan = report.runs[0].plan
    prices = [
        ("Pool", f"{report.pool.name}, {report.pool.division} division"),
        ("Fingerprint of the pool", report.pool.fingerprint),
    ]
    if report.is_imported:
        return [*prices, ("Agent", str(plan.agent.get("scaffold")))]
    return [
        *prices,
        ("Task set", str(plan.identity.get("tasks"))),
        ("Agent", f"{plan.agent.get('scaffold')} {plan.agent.get('version')}"),
        ("Grader", ", ".join(f"{name} {version}" for name, version in plan.grader.items())),
        ("Seed", ", ".join(dict.fromkeys(str(run.plan.seed) for run in report.runs))),
        *([] if report.folder is None else [("Folder of the runs", report.folder)]),
    ]


def _table_rows(runs: Sequence[RunView], pool: LiveManifest, tiers: Sequence[str]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    standing = {str(place): run.state.score for place, run in enumerate(runs, 1) if run.state.score.is_ranked}
    trials = {name: score.trials for name, score in standing.items()}
    ranks = (bill_ranks(trials, pool.unresolved_penalty_usd, _RESAMPLING) if trials else None) or {}
    for place, run in enumerate(runs, 1):
        score = run.state.score
        shares = score.tier_shares(pool)
        with_verdict = sum(run.count(what) for what in _VERDICTS)
        intervals, no_interval = score_intervals(score, _RESAMPLING)
        lines.append(
            {
                "key": str(place),
                "router": run.router,
                "rank": rank_text(ranks[str(place)]) if str(place) in ranks else "–",
                "give_up_rank": rank_text(ranks[GIVE_UP]) if ranks else "–",
                "run": run.name,
                "trials": len(run.trials),
                "resolved": run.count("resolved"),
                "unresolved": run.count("unresolved"),
                "apart": ", ".join(f"{run.count(what)} {what}" for what in _OTHER_STATES if run.count(what)),
                "cost_usd": float(score.cost_usd),
                "spend_usd": float(score.spend_usd),
                "penalty_usd": float(score.penalty_usd),
                "bill_usd": float(score.bill_usd),
                "give_up_usd": float(give_up_usd(with_verdict, pool)),
                "avg_steps": score.avg_steps,
                "intervals": intervals,
                "no_interval": no_interval,
                "calls": " / ".join(format_number(100 * shares.get(tier, 0.0)) for tier in tiers) if shares else "–",
            }
        )
    return lines


def _interval_notes(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return notes that describe the intervals, or why there are none."""
    level = f"{100 * _RESAMPLING.level:g} %"
    notes = []
    if any(line["no_interval"] is None for line in lines):
        notes.append(
            f"In brackets: {level} intervals of bill, cost and resolved share "
            f"({_RESAMPLING.resamples:,} resamples of cases, seed {_RESAMPLING.seed})."
        )
    notes.append(
        f"Rank by bill among these runs and giving up ({lines[0]['give_up_rank']}): the range from best to worst "
        "that the data allow. A run is behind another only if their difference is significant on the common cases, "
        "corrected for all pairs (Holm)."
    )
    without: dict[str, list[str]] = {}
    for line in lines:
        if line["no_interval"] is not None:
            without.setdefault(line["no_interval"], []).append(line["run"])
    notes += [f"No intervals of {', '.join(names)}: {reason}." for reason, names in without.items()]
    return notes


def _notes(runs: Sequence[RunView], pool: LiveManifest) -> list[str]:
    notes = [note for run in runs for note in _failures(run)]
    notes += pool.division_notes
    found = [{(trial.case, trial.trial) for trial in run.trials if trial.state in _VERDICTS} for run in runs]
    verdicts = [each for each in found if each]
    if any(each != verdicts[0] for each in verdicts):
        notes.append(_on_common_cases({place: runs[place - 1] for place, each in enumerate(found, 1) if each}))
    if different := sorted({name for run in runs for name in runs[0].plan.differences(run.plan)} - {"router"}):
        notes.append(f"Beside the router, these runs differ in: {', '.join(different)}.")
    notes += [f"{run.name} is still active." for run in runs if run.state.active]
    return notes


def _failures(run: RunView) -> list[str]:
    """Return notes on the router's failures, and on agents that did not submit."""
    score = run.state.score
    return [f"{remove_folders(each)}." for each in score.failure_notes(run.router, bill_usd=float(score.bill_usd))]


def _on_common_cases(runs: Mapping[int, RunView]) -> str:
    """Return a sentence comparing the runs, given by their place in the table, on the cases they have in common."""
    judged = [{trial.id for trial in run.state.score.trials if trial.bill_usd is not None} for run in runs.values()]
    common = set.intersection(*judged)
    differ = "These runs do not have verdicts on the same cases, so their bills cannot be compared directly."
    if not common:
        return f"{differ} They have no common case with a verdict."
    told = []
    for place, run in runs.items():
        trials = tuple(trial for trial in run.state.score.trials if trial.id in common)
        score = replace(run.state.score, trials=trials, begun_usd=Decimal(0))
        resolved = f"{score.count('resolved')} of {format_count(len(trials), 'trial')} resolved"
        told.append(f"{place} {run.router}: {resolved}, bill {format_number(float(score.bill_usd), 4)} USD")
    return f"{differ} On their {format_count(len(common), 'common case')}: {'; '.join(told)}."


def _bill_plot(runs: Sequence[RunView], pool: LiveManifest) -> dict[str, Any]:
    marks: list[Mark] = []
    legend: list[tuple[str, str, int | None]] = []
    for place, run in enumerate(runs):
        if not any(map(run.count, _VERDICTS)):
            continue  # it has no bill, and is not the cheapest
        bill, resolved = float(run.state.score.bill_usd), run.count("resolved")
        marks.append(Mark(run.router, str(place + 1), [(bill, resolved)], series=place))
        legend.append((str(place + 1), f"{run.router} ({run.name})", colour_of(place)))
    bills = dict.fromkeys(float(give_up_usd(sum(run.count(what) for what in _VERDICTS), pool)) for run in runs)
    marks += [Mark("give up", "g", [(bill, 0)], is_hollow=True) for bill in bills if bill]
    if any(bills):
        legend.append(("g", "give up: the bill of submitting nothing, computed", None))
    said = "; ".join(f"{mark.label}: {mark.points[0][0]:.4f} USD, {mark.points[0][1]:.0f} resolved" for mark in marks)
    plot = Plot(
        "bill",
        "Bill against resolved cases",
        f"One point per run; up and to the left is better. {said}.",
        "Bill, USD",
        "Resolved",
        marks,
        is_count=True,
    )
    caption = (
        f"Up and to the left is better. The bill is the cost of the answers plus {pool.unresolved_penalty_usd:.2f} USD "
        "for each unresolved case; cases that infrastructure or the cap ended are in neither."
    )
    return {"svg": draw_plot(plot), "caption": caption, "legend": legend}


def _causes(runs: Sequence[RunView]) -> list[tuple[str, str, str, list[int]]]:
    """Return each cause that occurred: how it is counted, what it means, and how often it ended a trial, by run."""
    found = [
        Counter(trial.outcome.cause for trial in run.trials if trial.outcome is not None and trial.outcome.cause)
        for run in runs
    ]
    return [
        (str(cause), str(CAUSES[cause].outcome_class), CAUSES[cause].meaning, [each[cause] for each in found])
        for cause in Cause
        if any(each[cause] for each in found)
    ]
