"""Greedy labels beside the cheapest of all assignments, executed by any executor: how far a search is from the best.

    python -m benchmarks.exhaustive CONFIG DIR [--only GLOB…] [--most-steps N] [--cascade N] [--usd USD] [--write NAME]

Executes, of each task of a build's configuration whose seed has few steps, every assignment of tiers to steps, and
prints for each step rule how often labels are equal to those of the cheapest that passes, higher and lower, and what
they cost. ``DIR`` keeps the executions, so that the same command continues. ``--write`` keeps the table as evidence.

Of the bank small-models: ``--only 'repair*'`` (``python -m benchmarks.small_models DIR`` serves the models). Of the
rehearsal: ``benchmarks/banks/rehearsal.toml``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks import evidence
from static_track.construction.building import open_executor
from static_track.construction.execution_log import EXECUTIONS_FILE, ExecutionLog
from static_track.construction.exhaustive import MOST_STEPS, ExhaustiveComparison, compare_exhaustively
from static_track.construction.settings import read_settings
from twinbench.construction.execution import Assignment, ConstructionTask, Execution, ExecutorContext, TaskExecutor
from twinbench.display.markup import TextTable, markdown_table
from twinbench.display.wording import format_count
from twinbench.storage.files import make_folder


@dataclass(frozen=True)
class Chosen:
    """Some tasks of an executor; each whole execution is kept, and not executed again."""

    executor: TaskExecutor
    log: ExecutionLog
    only: Sequence[str]
    """Globs over the ids of tasks; empty for all."""

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """The chosen tasks."""
        return [
            task
            for task in self.executor.tasks
            if not self.only or any(fnmatchcase(task.id, pattern) for pattern in self.only)
        ]

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """The candidates by tier."""
        return self.executor.tiers

    @property
    def identity(self) -> Mapping[str, object]:
        """The identity of the executor."""
        return self.executor.identity

    @property
    def spent_usd(self) -> Decimal:
        """What was paid so far."""
        return self.executor.spent_usd

    def worst_case_usd(self, task: str) -> Decimal:
        """Return the most that one execution of a task can cost."""
        return self.executor.worst_case_usd(task)

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Execute a task, or return what is kept of that."""
        found = self.log.find(task, assignment, repeat)
        if found is None:
            found = self.executor.execute(task, assignment, repeat)
            if found.passed is not None:
                found = self.log.add(found)
            print(f"{task}: {', '.join((*assignment.first, assignment.rest))}: {found.passed}", flush=True)
        return found


def compare(
    config: Path, folder: Path, only: Sequence[str], *, most_steps: int, cascade: int, usd: Decimal | None
) -> ExhaustiveComparison:
    """Execute all assignments of the chosen tasks, or continue."""
    make_folder(folder)
    executor_folder = folder / "executor"
    make_folder(executor_folder)
    with (
        open_executor(read_settings(config), ExecutorContext(executor_folder, usd)) as executor,
        ExecutionLog(folder / EXECUTIONS_FILE) as log,
    ):
        return compare_exhaustively(Chosen(executor, log, only), cascade=cascade, most_steps=most_steps)


def report(found: ExhaustiveComparison) -> list[str]:
    """Return the table of all step rules, as lines of Markdown."""
    heads = (
        "Step rule",
        "Tasks",
        "Steps",
        "Equal",
        "Higher",
        "Lower",
        "Tasks as cheap",
        "Cost, × cheapest",
        "Executions",
    )
    rows = [
        [
            str(row["step_rule"]),
            *(f"{row[name]:,}" for name in ("tasks", "steps", "equal", "higher", "lower", "tasks_as_cheap")),
            "–" if row["cost_ratio"] is None else f"{row['cost_ratio']:.2f}",
            f"{row['executions']:,}",
        ]
        for row in found.records()
    ]
    table = TextTable("", heads, [False] + [True] * (len(heads) - 1), rows, [False] * len(rows), ())
    left_out = f"Left out, because the seed fails or has more steps: {format_count(len(found.left_out), 'task')}."
    return [markdown_table(table), left_out]


def main() -> None:
    """Execute, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a configuration of bank build")
    parser.add_argument("folder", type=Path, help="keeps the executions")
    parser.add_argument("--only", nargs="+", default=[], help="globs over the ids of tasks")
    parser.add_argument("--most-steps", type=int, default=MOST_STEPS)
    parser.add_argument("--cascade", type=int, default=1, help="candidates of a tier")
    parser.add_argument("--usd", type=Decimal, default=None, help="the most that may be spent")
    parser.add_argument("--write", metavar="NAME", default=None, help="keep the table as docs/evidence/NAME.md")
    options = parser.parse_args()
    found = compare(
        options.config,
        options.folder,
        options.only,
        most_steps=options.most_steps,
        cascade=options.cascade,
        usd=options.usd,
    )
    lines = report(found)
    print("\n".join(lines))
    if options.write is not None:
        evidence.write(options.write, "Greedy labels beside all assignments", lines)


if __name__ == "__main__":
    main()
