"""Which shard a process runs, as schedulers say it."""

from __future__ import annotations

import pytest

from dynamic_track.running.shards import parse_shard
from twinbench.errors import UsageError

SLURM = {"SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "5"}


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (SLURM | {"SLURM_ARRAY_TASK_ID": "10"}, (1, 4)),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "25"}, (4, 4)),
        ({"JOB_COMPLETION_INDEX": "0", "TWINBENCH_SHARDS": "3"}, (1, 3)),
        ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "2"}, (2, 2)),
        ({"CIRCLE_NODE_INDEX": "1", "CIRCLE_NODE_TOTAL": "2"}, (2, 2)),
        ({"BUILDKITE_PARALLEL_JOB": "0", "BUILDKITE_PARALLEL_JOB_COUNT": "2"}, (1, 2)),
        ({"SYSTEM_JOBPOSITIONINPHASE": "1", "SYSTEM_TOTALJOBSINPHASE": "2"}, (1, 2)),
        ({"TWINBENCH_SHARD": "2", "TWINBENCH_SHARDS": "5"}, (2, 5)),
    ],
)
def test_schedulers_say_which_shard_a_process_runs(environment: dict[str, str], shard: tuple[int, int]) -> None:
    assert parse_shard("auto", environment) == shard


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "could not detect the shard"),
        ({"JOB_COMPLETION_INDEX": "0"}, "TWINBENCH_SHARDS is '': set it to a number"),
        ({"CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "2"}, "number 3 of 2, which is none of them"),
        ({"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "2"}, "number 0 of 2, which is none of them"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "12"}, "number 12 of 4, which is none of them"),
        (
            {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2", "TWINBENCH_SHARD": "2", "TWINBENCH_SHARDS": "2"},
            "GitLab CI says 1/2; TWINBENCH_SHARD says 2/2",
        ),
    ],
)
def test_what_schedulers_do_not_say_clearly_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_shard("auto", environment)


def test_a_shard_can_be_given() -> None:
    assert parse_shard("2/3") == (2, 3)
    for text in ("0/3", "4/3", "2", "a/b", "automatic"):
        with pytest.raises(UsageError, match="such as 1/4, or auto"):
            parse_shard(text)
