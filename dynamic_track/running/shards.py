"""The shard that a process runs: given as ``I/N``, or read from the variables of the scheduler that started it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from twinbench.errors import UsageError

AUTO = "auto"
COUNT_VARIABLE = "TWINBENCH_SHARDS"
"""The variable with the number of shards, for schedulers that only say which one a process is."""


@dataclass(frozen=True)
class _Scheduler:
    """The variables in which a scheduler says which of its processes this is."""

    name: str
    number: str
    count: str
    first: int = 0
    """The number of the first process."""
    first_variable: str | None = None
    """The variable with the number of the first process, if that may differ."""
    step_variable: str | None = None
    """The variable with the difference between two numbers, if that may differ from 1."""


_SCHEDULERS = (
    _Scheduler(
        "a Slurm array",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        first_variable="SLURM_ARRAY_TASK_MIN",
        step_variable="SLURM_ARRAY_TASK_STEP",
    ),
    _Scheduler("an indexed Kubernetes job", "JOB_COMPLETION_INDEX", COUNT_VARIABLE),
    _Scheduler("GitLab CI", "CI_NODE_INDEX", "CI_NODE_TOTAL", first=1),
    _Scheduler("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL"),
    _Scheduler("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT"),
    _Scheduler("Azure Pipelines", "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", first=1),
    _Scheduler("TWINBENCH_SHARD", "TWINBENCH_SHARD", COUNT_VARIABLE, first=1),
)


def parse_shard(text: str, environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return the number of a shard, from 1, and the number of shards.

    Args:
        text: ``1/4`` for the first of four, or ``auto``: what the scheduler's variables say.
        environment: the variables; default: those of this process.

    Raises:
        UsageError: the text is not of this form; or no scheduler, or several that differ, say which shard it is.
    """
    if text == AUTO:
        return _shard_of_scheduler(os.environ if environment is None else environment)
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(
            f"--shard {text}: give the shard's number and the number of shards, such as 1/4, or {AUTO} for what the "
            "scheduler says"
        )
    return int(number), int(of)


def _shard_of_scheduler(environment: Mapping[str, str]) -> tuple[int, int]:
    found = {each.name: _read(each, environment) for each in _SCHEDULERS if each.number in environment}
    if not found:
        known = ", ".join(each.number for each in _SCHEDULERS)
        raise UsageError(f"--shard {AUTO}: could not detect the shard: none of {known} is set; give I/N")
    if len(set(found.values())) > 1:
        told = "; ".join(f"{name} says {number}/{of}" for name, (number, of) in found.items())
        raise UsageError(f"--shard {AUTO}: {told}; give I/N")
    return next(iter(found.values()))


def _read(scheduler: _Scheduler, environment: Mapping[str, str]) -> tuple[int, int]:
    def whole(name: str) -> int:
        value = environment.get(name, "")
        if not value.isdecimal():
            raise UsageError(
                f"--shard {AUTO}: {scheduler.name} sets {scheduler.number}, but {name} is {value!r}: set it to a number"
            )
        return int(value)

    first = scheduler.first if scheduler.first_variable is None else whole(scheduler.first_variable)
    step = 1 if scheduler.step_variable is None else whole(scheduler.step_variable)
    place, of = whole(scheduler.number) - first, whole(scheduler.count)
    number = place // max(step, 1) + 1
    if place < 0 or place % max(step, 1) or number > of:
        said = f"{scheduler.name} says number {environment[scheduler.number]} of {of}, which is none of them"
        raise UsageError(f"--shard {AUTO}: {said}")
    return number, of
