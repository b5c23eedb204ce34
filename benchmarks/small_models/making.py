"""All tasks of the bank small-models, as a file of tasks for the executor ``single-turn``."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from benchmarks.small_models import extraction, functions, numbers, repairs, texts, tools
from benchmarks.small_models.templates import MadeTask, Template, make_tasks

TEMPLATES: tuple[Template, ...] = (
    *tools.TEMPLATES,
    *extraction.TEMPLATES,
    *texts.TEMPLATES,
    *numbers.TEMPLATES,
    *functions.TEMPLATES,
    *repairs.TEMPLATES,
)
SEED = 1
"""Of the shipped bank."""


def is_shipped(template: Template) -> bool:
    """Return whether the tasks of a template are in the shipped bank."""
    return template not in repairs.TEMPLATES or template.name in repairs.SHIPPED


def shipped_ids(seed: int = SEED) -> list[str]:
    """Return the ids of the tasks from which the shipped bank was built."""
    return [str(each.row["id"]) for each in make_tasks([each for each in TEMPLATES if is_shipped(each)], seed)]


def all_tasks(seed: int = SEED) -> list[MadeTask]:
    """Every task, in the order of the templates."""
    return list(make_tasks(TEMPLATES, seed))


def write_tasks(path: Path, seed: int = SEED, only: Collection[str] | None = None) -> int:
    """Write the file of tasks.

    Args:
        path: of the file, which ends with ``.jsonl``.
        seed: from which they are drawn.
        only: ids of the tasks to write; default: all.

    Returns:
        How many were written.
    """
    rows = [each.row for each in all_tasks(seed) if only is None or each.row["id"] in only]
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return len(rows)
