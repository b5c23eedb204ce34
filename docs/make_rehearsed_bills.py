"""Writes the section on rehearsals of docs/trained-routers.md: bills of routers on tasks that they were not trained on.

python -m docs.make_rehearsed_bills FOLDER [ROUTER…] [--bank NAME] [--folds K] [--seeds N] [--only TASK…]

The tasks of the bank are dealt to folds. For each fold, every router that learns is trained on the rows of the other
folds' tasks, and what came of that rehearses the fold's own tasks: real containers and tests, simulated models, no
spend. Bills are added up over all folds, beside those of rules and constants on the same tasks. Needs a Docker engine.
``FOLDER`` keeps models and runs, and the same command goes on where it was ended. With ``--only``, which takes the
names of tasks, the section is printed and not written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist

import twinbench as tb
from docs.make_trained_routers import BILLS, read_sections, write_sections
from dynamic_track.rehearsal.rehearsal_runs import RehearsalRun
from dynamic_track.rehearsal.standings import RouterPair, RouterStanding, Standings, compute_standings
from dynamic_track.running.runner import RunSummary
from dynamic_track.running.score import give_up_usd, score_trials
from static_track.banks.opening import open_bank
from static_track.banks.splits import BankPart
from static_track.evaluator import Evaluator
from static_track.folds import Folds, folds_by_group
from static_track.training import train
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.plugins.training import NotTrainableError
from twinbench.routing.built_in import CONSTANTS
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import DEFAULT_POWER
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.storage.store import Store

ROUTERS = (
    *("ordinal", "knn", "clusters", "boosting", "guard", "ordinal?layer=topsis"),
    *("cascade", "stage", "stall", "periodic", "session-aware"),
)
_LEVEL = 0.05
_SMALLEST_P = 0.001


def rehearse_out_of_fold(
    judge: Evaluator, routers: Sequence[str], folds: Folds, seeds: int, only: Sequence[str], folder: Path
) -> tuple[Standings, LiveManifest, int]:
    """Train each router once a fold, and let it run the tasks of that fold.

    Returns:
        The results over all folds, the pool that was simulated, and the number of tasks.
    """
    groups = judge.bank.groups()
    asked = [*routers, *CONSTANTS]
    found: dict[tuple[str, str], list[RehearsalRun]] = {}
    tasks = 0
    for fold in folds.folds:
        own = sorted({groups[number] for number in fold.test} & {*(only or groups)})
        if not own:
            continue
        tasks += len(own)
        models = [_model(judge, spec, BankPart(None, fold.train), folder / f"fold-{fold.name}") for spec in asked]
        result = tb.rehearse(
            models,
            tb.TaskChoice(only=own),
            runs=folder / f"fold-{fold.name}" / "runs",
            seeds=seeds,
            resampling=None,
            progress=_tell,
        )
        for number, run in enumerate(result.runs):  # router by router, and for each seed by seed
            found.setdefault((asked[number // seeds], run.seed), []).append(run)
    pool = live_manifest()
    joined = [
        RehearsalRun(router, seed, _joined(router, runs, pool))
        for router in asked
        for (name, seed), runs in found.items()
        if name == router
    ]
    return compute_standings(joined, pool, Resampling()), pool, tasks


def _model(judge: Evaluator, spec: str, part: BankPart, folder: Path) -> str:
    """Return the folder of a router that was trained on a part, or its own name if it learns nothing."""
    out = folder / "models" / "".join(each if each.isalnum() else "-" for each in spec)
    if not (out / MANIFEST).is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            train(judge, spec, out, part=part)
        except NotTrainableError:
            return spec
    return str(out)


def _joined(router: str, runs: Sequence[RehearsalRun], pool: LiveManifest) -> RunSummary:
    """Return the runs of a router's folds, under one seed, as one run."""
    not_loaded = next((why for run in runs if (why := run.summary.score.not_loaded) is not None), None)
    trials = [trial for run in runs for trial in run.summary.trials]
    return RunSummary(router, score_trials(trials, pool, not_loaded=not_loaded))


def section(found: Standings, pool: LiveManifest, tasks: int, folds: Folds, bank: str, seeds: int) -> str:
    """Return the section of the page."""
    constants = [each for each in found.routers if each.router in CONSTANTS and each.failure is None]
    best = min(constants, key=_bill)
    pairs = {
        (other if one == best.router else one): pair
        for pair in found.pairs
        if best.router in (one := pair.first, other := pair.second)
    }
    give_up = float(give_up_usd(tasks, pool))
    about = (
        f"{tasks} tasks of `{bank}`, each under {seeds} seed{'' if seeds == 1 else 's'}; {folds.title}. Simulated "
        "models, real containers and tests: what this ranks is routers for these models, and it says nothing about "
        "real ones. Each learned router ran the tasks of a fold as it was trained on the tasks of the other folds."
    )
    rules = (
        f"The bill is the cost of one run of all tasks and {pool.unresolved_penalty_usd:g} USD for each that is not "
        f"resolved, on average over the seeds; submitting nothing costs {give_up:.2f} USD. Intervals (95 %) and tests "
        f"draw tasks, each with all its seeds; p-values are corrected for all pairs (Holm). The best constant is "
        f"`{best.router}`, chosen in hindsight by the same bills."
    )
    tested = [
        pair.bill.ends if pair.first == other else (-pair.bill.ends[1], -pair.bill.ends[0])
        for other, pair in pairs.items()
        if pair.bill.ends is not None
    ]
    lines = [
        f"## {BILLS}",
        "",
        about,
        "",
        rules,
        "",
        *([power_note(tested, len(found.pairs), tasks), ""] if tested else []),
        "| router | bill, USD | cost, USD | resolved, % | steps | less the best constant, USD |",
        "|---|---|---|---|---|---|",
    ]
    for each in sorted(found.routers, key=_bill):
        head = each.headline
        said = "is the best constant" if each is best else _difference(pairs.get(each.router), each, best)
        cells = [
            _with_interval(each, "bill_usd", 3),
            f"{head['cost_usd'] or 0.0:.3f}",
            _with_interval(each, "resolved", 0),
            "–" if head["avg_steps"] is None else f"{head['avg_steps']:.1f}",
        ]
        lines.append(f"| `{each.router}` | {' | '.join(cells)} | {said if each.failure is None else each.failure} |")
    return "\n".join((*lines, ""))


def power_note(intervals: Sequence[tuple[float, float]], pairs: int, tasks: int) -> str:
    """Say what the table can tell, and what it cannot.

    Args:
        intervals: of the differences from the best constant, in USD, each for one comparison.
        pairs: how many pairs of routers the p-values are corrected for.
        tasks: the number of tasks.
    """
    by_normal = NormalDist()
    single, corrected = (by_normal.inv_cdf(1 - _LEVEL / 2 / tests) for tests in (1, pairs))
    needed = [
        (corrected + by_normal.inv_cdf(DEFAULT_POWER)) / single * (high - low) / 2
        for low, high in intervals
        if low < high
    ]
    dearer, cheaper = sum(low > 0 for low, _ in intervals), sum(high < 0 for _, high in intervals)
    excluded = " and ".join(
        f"{count} {'lies' if count == 1 else 'lie'} wholly {side} 0"
        for count, side in ((dearer, "above"), (cheaper, "below"))
        if count
    )
    return (
        f'**"Not told apart" says little here.** {tasks} tasks are few, and the correction is for all {pairs} pairs of '
        f"the table, not for the {len(intervals)} with the best constant alone. To be told apart with a chance of "
        f"{100 * DEFAULT_POWER:.0f} %, a router's true bill has to differ from the best constant's by about "
        f"{min(needed):.1f} to {max(needed):.1f} USD (by the normal approximation, with the spread of this table). "
        "Intervals are those of one comparison by itself, without the correction: "
        f"{f'of {len(intervals)}, {excluded}' if excluded else 'all contain 0'}"
        f"{', beside corrected p-values up to 1' if excluded else ''}. Whoever had asked about one of these routers "
        "alone, before the run, would go by its interval; whoever picks one from the table may not."
    )


def _bill(standing: RouterStanding) -> float:
    return standing.headline["bill_usd"] or 0.0


def _with_interval(standing: RouterStanding, name: str, digits: int) -> str:
    value = standing.headline[name]
    shown = "–" if value is None else f"{value:.{digits}f}"
    ends: Mapping[str, tuple[float, float] | None] = standing.intervals or {}
    pair = ends.get(name)
    return shown if pair is None else f"{shown} [{pair[0]:.{digits}f}, {pair[1]:.{digits}f}]"


def _difference(pair: RouterPair | None, standing: RouterStanding, best: RouterStanding) -> str:
    """Say how a router's bill differs from the best constant's."""
    less = _bill(standing) - _bill(best)
    if pair is None or pair.p_holm is None or pair.bill.ends is None:
        return f"{less:+.3f}, not tested"
    ends = pair.bill.ends if pair.first == standing.router else (-pair.bill.ends[1], -pair.bill.ends[0])
    p = f"p < {_SMALLEST_P}" if pair.p_holm < _SMALLEST_P else f"p {pair.p_holm:.3f}"
    told = "not told apart" if pair.p_holm > _LEVEL else "cheaper" if less < 0 else "dearer"
    return f"{told} ({less:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}], {p})"


def _tell(what: str, done: int, total: int | None) -> None:
    print(f"\r{what}: {done}{'' if total is None else f' of {total}'}  ", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Rehearse, and write or print the section."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser("python -m docs.make_rehearsed_bills", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("routers", nargs="*", metavar="ROUTER", help=f"default: {', '.join(ROUTERS)}")
    parser.add_argument("--bank", default="rehearsal")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], metavar="TASK")
    asked = parser.parse_args(arguments)
    with open_bank(asked.bank, Store()) as bank:
        judge = Evaluator(bank, progress=_tell)
        folds = folds_by_group(bank, judge.split, asked.folds, 0)
        routers = asked.routers or ROUTERS
        found = rehearse_out_of_fold(judge, routers, folds, asked.seeds, asked.only, asked.folder)
    text = section(*found, folds, asked.bank, asked.seeds)
    print(f"\n{text}")
    if not asked.only:
        write_sections({**read_sections(), BILLS: text})


if __name__ == "__main__":
    main()
