"""Describe results on a table of outcomes in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from twinbench.display.wording import format_count
from twinbench.outcomes.headroom import Headroom
from twinbench.outcomes.noise import Agreement
from twinbench.outcomes.pilot import Pilot
from twinbench.outcomes.power import PairOfModels, Power
from twinbench.statistics.planning import MAX_TASKS

_MAX_LISTED_TASKS = 10

HINDSIGHT = (
    "this is a choice in hindsight and partly chance, so it is an upper bound and not a router; routers that switch "
    "models within a task are not covered by such a table"
)


def headroom_notes(found: Headroom) -> list[str]:
    """Return the notes below the table of policies."""
    saving, inverted, kinds = found.saving, found.inversions, found.kinds
    best = found.tiers[saving.against]
    share = "" if saving.share is None else f", {saving.share:.0f} %"
    between = "" if saving.interval is None else f" [{saving.interval[0]:.2f}, {saving.interval[1]:.2f}]"
    notes = [
        (
            f"a model chosen for each task could save at most {saving.usd:.2f} USD{between}{share} of the bill of "
            f"always {saving.against} ({best}), over {format_count(saving.tasks, 'task')} at a penalty of "
            f"{found.penalty_usd:g} USD; {HINDSIGHT}"
            if saving.usd is not None
            else f"what a model chosen for each task could save is not known: {saving.reason}"
        ),
        (
            f"{format_count(kinds['solved_by_all'], 'task')} solved by all tiers, {kinds['contested']:,} contested, "
            f"{kinds['hopeless']:,} by none, {kinds['unknown']:,} unknown"
        ),
        f"a lower tier beats a higher one on {inverted.tasks:,} of {format_count(inverted.known, 'task')}: "
        + ", ".join(f"{each['lower']} without {each['higher']} {each['lower_only']:,}" for each in inverted.pairs),
        "the cheapest single model by bill: "
        + _join_by_tier([(float(each["penalty_usd"]), each["tier"]) for each in found.best_single]),
    ]
    prices = [each.mean_cost_usd for each in found.of_kind("constant") if each.mean_cost_usd is not None]
    if prices != sorted(prices):
        notes.append("a lower tier costs more here than a higher one, and a cascade begins with the lowest tier")
    if len({each.tasks for each in found.of_kind("constant")}) > 1 or found.kinds["unknown"]:
        notes.append("bills only include tasks with a known verdict and cost; compare the means per task")
    notes += [
        f"on the {each['tasks']:,} tasks of {each['name']}: "
        + ", ".join(
            f"{model['tier']} {model['resolved']:g} resolved, bill {model['bill_usd']:.2f} USD"
            if model["bill_usd"] is not None and model["resolved"] is not None
            else f"{model['tier']} not known"
            for model in each["models"]
        )
        for each in found.splits
    ]
    return notes


def _join_by_tier(best: Sequence[tuple[float, str | None]]) -> str:
    """Format the best tier by penalty, with neighbouring penalties of the same tier joined."""
    parts: list[tuple[str | None, list[float]]] = []
    for penalty, tier in best:
        if parts and parts[-1][0] == tier:
            parts[-1][1].append(penalty)
        else:
            parts.append((tier, [penalty]))
    return ", ".join(
        f"{tier or 'none'} at {penalties[0]:g}{f' to {penalties[-1]:g}' if len(penalties) > 1 else ''} USD"
        for tier, penalties in parts
    )


def power_notes(found: Power) -> list[str]:
    """Return the notes below the table of models."""
    plan = found.plan
    notes = [
        (
            f"{found.told_apart:,} of {format_count(found.all_pairs, 'pair')} of models differ significantly in "
            f"resolved tasks, corrected for all pairs (Holm), at level {plan.level:g}; models of a group do not differ "
            "significantly from its best model"
        )
    ]
    if found.differing is not None:
        least = (
            "no difference"
            if found.detectable is None
            else f"a difference of {found.detectable:.1f} points or more with a chance of {100 * plan.power:.0f} %"
        )
        detect = "detects" if plan.tasks == 1 else "detect"
        needed = f"more than {MAX_TASKS:,} tasks" if found.needed is None else format_count(found.needed, "task")
        notes.append(
            f"two models differ on {found.differing:.1f} % of tasks (the median of pairs): "
            f"{format_count(plan.tasks, 'task')} {detect} {least}; "
            f"a difference of {plan.difference:g} points needs {needed}"
        )
    notes += [_pair_note(each) for each in found.pairs]
    notes += [_agreement_note(each) for each in found.agreement]
    if found.pilot is not None:
        notes += _pilot_notes(found.pilot)
    notes += [
        f"the text of tasks predicts what {each.model} solves with AUC {each.auc:.2f}"
        + ("" if each.interval is None else f" [{each.interval[0]:.2f}, {each.interval[1]:.2f}]")
        + f" ({format_count(each.tasks, 'task')}; 0.5 is chance)"
        for each in found.text
        if each.auc is not None
    ]
    return notes


def _pair_note(pair: PairOfModels) -> str:
    if pair.difference is None:
        return f"{pair.first} less {pair.second}: not known, since no task has a verdict of both"
    between = "" if pair.interval is None else f" [{pair.interval[0]:.1f}, {pair.interval[1]:.1f}]"
    p = "" if pair.p_holm is None else f", p {pair.p_holm:.2g}"
    said = f"{pair.first} minus {pair.second}: {pair.difference:+.1f} points{between}{p}"
    for what, money in (("cost", pair.cost), ("bill", pair.bill)):
        if money:
            ends = money["interval"]
            between = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
            p = "" if money["p"] is None else f", p {money['p_holm']:.2g}"
            said += f"; {what} of a task {money['difference_usd']:+.3f} USD{between}{p}"
    return said


def _agreement_note(each: Agreement) -> str:
    if each.share is None:
        return f"no task has two results of {each.model} to compare"
    whose = f"two trials of {each.model}" if each.model == each.other else f"{each.model} and {each.other} there"
    between = "" if each.interval is None else f" [{each.interval[0]:.1f}, {each.interval[1]:.1f}]"
    return f"{whose} agree on {each.share:.1f} %{between} of {format_count(each.tasks, 'task')}"


def _pilot_notes(pilot: Pilot) -> list[str]:
    shown = ", ".join(pilot.tasks[:_MAX_LISTED_TASKS])
    more = len(pilot.tasks) - _MAX_LISTED_TASKS
    notes = [f"pilot of {format_count(len(pilot.tasks), 'task')}: {shown}" + (f" and {more} more" if more > 0 else "")]
    if pilot.agreement is None or pilot.random_agreement is None or pilot.random_between is None:
        notes.append("too few models to leave any out, so the pilot could not be validated on other models")
    else:
        low, high = pilot.random_between
        notes.append(
            f"on models left out, tasks chosen like these rank as all tasks do with a tau of {pilot.agreement:.2f}; "
            f"as many random tasks with {pilot.random_agreement:.2f} (90 % within {low:.2f} to {high:.2f})"
        )
    return notes
