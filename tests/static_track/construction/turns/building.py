"""What tests of the executor ``single-turn`` build with: tasks, a pool, and the executor at a scripted provider."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from static_track.construction.turns.executor import SingleTurnExecutor
from twinbench.construction.execution import Assignment, ExecutorContext
from twinbench.construction.finding import EXECUTORS, find_factory

LOW, HIGH, JUDGE = "weak", "strong", "judge"
POOL = """\
kind = "live"
name = "turns"
version = 1
dated = 2026-11-30
source = "tests"
rules = "released-v1"
gateway = "openai-compatible"
wallclock_ttl_seconds = 300
unresolved_penalty_usd = 0.6
agent = { scaffold = "none", step_limit = 1, cost_limit_usd = 1, command_timeout_seconds = 1 }
"""
CANDIDATE = """
[[candidates]]
id = "{id}"
model = "{id}"
tier = "{tier}"
tier_default = {default}
context_window = 8000
max_output = 1000
max_tokens = 500
temperature = 0
prices = {{ input = {price}, cache_read = {price}, cache_write = {price}, output = {price} }}
served_as = ["{id}"]
parameters = {{ cache_prompt = false }}
"""


def task(name: str, check: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A row of a file of tasks."""
    messages = [{"role": "user", "content": f"Task {name}."}]
    return {"id": name, "workload": "letters", "group": f"of-{name}", "messages": messages, "check": check, **more}


def settings_of(folder: Path, api_base: str, tasks: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Settings of the executor, with files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file, pool = folder / "tasks.jsonl", folder / "pool.toml"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in tasks), "utf-8")
    candidates = (
        CANDIDATE.format(id=LOW, tier="low", price=1, default="true"),
        CANDIDATE.format(id=HIGH, tier="high", price=10, default="true"),
        CANDIDATE.format(id=JUDGE, tier="mid", price=5, default="true"),
    )
    pool.write_text(POOL + "".join(candidates), "utf-8")
    return {"tasks": str(file), "pool": str(pool), "api_base": api_base, **more}


@contextmanager
def opened(
    settings: Mapping[str, Any], folder: Path, cap_usd: Decimal | None = None, **more: Any
) -> Iterator[SingleTurnExecutor]:
    """The executor, as a build opens it: by its name."""
    with find_factory(EXECUTORS, "single-turn")(settings, ExecutorContext(folder, cap_usd, **more)) as executor:
        yield executor


def all_by(candidate: str) -> Assignment:
    """Every step by one candidate."""
    return Assignment((), candidate)
