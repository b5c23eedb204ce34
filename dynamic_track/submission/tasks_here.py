"""The tasks of a submission's runs, where they are on this machine, and whether the router was trained on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dynamic_track.running.plan import RunPlan
from dynamic_track.running.trained_routers import overlap_with_tasks
from dynamic_track.tasks.sources import REHEARSAL, ids_of_named_set, load_tasks
from dynamic_track.tasks.task import TaskSet
from twinbench.checks import Status
from twinbench.plugins.seen import Overlap, Seen, is_in_sample
from twinbench.submissions.findings import Findings
from twinbench.submissions.manifest import LivePart
from twinbench.submissions.trained import UNRECORDED, TrainedRouter


@dataclass(frozen=True)
class TasksHere:
    """Sources of the tasks of runs on the maintainer's machine."""

    tasks: str | None = None
    """A set's name, a file or a folder; None: under the name that the run has for it."""
    dataset: str | None = None

    def load(self, name: str) -> TaskSet | None:
        """Return the tasks of a set; None where they are not on this machine.

        Raises:
            UsageError, ContentError: what was named is not a set of tasks, or is damaged.
        """
        known = ids_of_named_set(name) is not None
        here = self.dataset is not None or name == REHEARSAL or (not known and self.tasks is not None)
        return load_tasks(name, self.dataset) if here else None


def check_in_sample(
    part: LivePart,
    plan: RunPlan,
    cases: Collection[str],
    here: TasksHere,
    trained: Sequence[TrainedRouter],
    findings: Findings,
    *,
    recorded: bool = True,
) -> bool:
    """Check that a router was not trained on the tasks that it was run on, or that the submission says so.

    Args:
        part: the part of the submission, with its claims.
        plan: the run's, in which such a router's name is marked.
        cases: ids of the run's cases.
        here: the tasks on this machine; missing ones are known by their ids alone.
        trained: the trained routers among the submission's files.
        findings: collects the checks.
        recorded: whether the record of each trained router is what training on its bank records.

    Returns:
        Whether the result is one on what the router was trained on, declared or not.
    """
    marked = is_in_sample(plan.router)
    tasks = here.load(str(plan.sources["tasks"])) if trained else None
    overlap = Overlap.union("tasks", (_overlap(each.seen, cases, tasks) for each in trained))
    if part.in_sample and marked:
        findings.add("in-sample", part.run, Status.passed, "declared: it is never ranked", value=len(overlap))
    elif part.in_sample or marked:
        who, other = ("the run", "the submission") if marked else ("the submission", "the run")
        what = f"{who} is marked as of tasks that the router was trained on, and {other} is not"
        findings.add("in-sample", part.run, Status.failed, what, value=len(overlap))
    elif overlap:
        what = f"the router was trained on what it was run on ({overlap}), and the submission does not say so"
        findings.add("in-sample", part.run, Status.failed, what, value=len(overlap))
    elif trained and not recorded:
        findings.add("in-sample", part.run, Status.warned, f"{UNRECORDED} these tasks")
    elif trained:
        known = "nor on near-duplicates of them" if tasks else "by their ids; their texts are not here (--dataset)"
        findings.add("in-sample", part.run, Status.passed, f"the router was trained on none of these tasks, {known}")
    return part.in_sample or marked or bool(overlap)


def _overlap(seen: Seen, cases: Collection[str], tasks: TaskSet | None) -> Overlap:
    if tasks is None:
        return Overlap("tasks", tuple(seen.instances() & set(cases)))
    return overlap_with_tasks(seen, (task for task in tasks.tasks if task.id in cases))
