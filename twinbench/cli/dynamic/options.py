"""Options that several commands of the live track share: tasks, containers, engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli import completion
from twinbench.cli.help import Panel
from twinbench.cli.output import progress

if TYPE_CHECKING:
    from dynamic_track.grading.verdict import GradingLimits
    from dynamic_track.tasks.selection import TaskChoice
    from dynamic_track.tasks.task import Task, TaskSet
    from twinbench.executing.ray_cluster import RayCluster

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", autocompletion=completion.runs)]
RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run directories.", autocompletion=completion.runs)
]
NewRunOption = Annotated[
    Path, typer.Option("--run", metavar="RUN", help="The run directory to create; must not exist, or be empty.")
]
TasksOption = Annotated[
    str,
    typer.Option(
        "--tasks",
        metavar="TASKS",
        help="verified, heldout100, rehearsal, a file of rows (.jsonl, .jsonl.gz, .json, .parquet), or a folder in "
        "task-repo format.",
        rich_help_panel=Panel.TASKS,
    ),
]
RouterErrorOption = Annotated[
    str | None,
    typer.Option(
        "--on-router-error",
        metavar="TIER",
        help="The tier that answers if the router fails; default: the case is unresolved. Part of the run's identity.",
        show_default=False,
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="FILE",
        help="A file to load verified or heldout100 from, instead of the Hugging Face hub.",
        show_default=False,
        rich_help_panel=Panel.TASKS,
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        help="Only tasks whose id matches; repeatable.",
        show_default=False,
        rich_help_panel=Panel.TASKS,
        autocompletion=completion.task_ids,
    ),
]
ShuffleOption = Annotated[
    int | None,
    typer.Option(
        "--shuffle",
        metavar="SEED",
        help="Shuffle the tasks with this seed.",
        show_default=False,
        rich_help_panel=Panel.TASKS,
    ),
]
SliceOption = Annotated[
    str | None,
    typer.Option(
        "--slice",
        metavar="A:B",
        help="After that, take only tasks A to B (a Python slice).",
        show_default=False,
        rich_help_panel=Panel.TASKS,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, help="Then only the first N.", show_default=False, rich_help_panel=Panel.TASKS
    ),
]
ActionFormatOption = Annotated[
    str,
    typer.Option(
        "--action-format",
        metavar="tool|text",
        help="How models give their commands: as tool calls or in text.",
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
MovedPoolOption = Annotated[
    str | None,
    typer.Option("--pool", metavar="POOL", help="The run's pool, if its file was moved.", show_default=False),
]
BuildOption = Annotated[
    bool,
    typer.Option(
        "--build", help="Build images from the tasks' Dockerfiles (rehearsal: always).", rich_help_panel=Panel.TASKS
    ),
]
WorkersOption = Annotated[int, typer.Option("--workers", metavar="N", min=1, help="How many to process in parallel.")]
TestsTimeoutOption = Annotated[
    float,
    typer.Option(
        "--tests-timeout",
        metavar="SECONDS",
        min=1,
        help="Time limit for the tests of a patch.",
        rich_help_panel=Panel.CONTAINERS,
    ),
]
EnginesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        metavar="URL",
        help="A Docker engine (unix:///run/node2.sock, tcp://node2:2376) to use instead of the one in DOCKER_HOST; "
        "repeatable.",
        show_default=False,
        rich_help_panel=Panel.CONTAINERS,
    ),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="threads|ray",
        help="Where containers run: on the engines that are named, or on the nodes of a Ray cluster.",
        rich_help_panel=Panel.CONTAINERS,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="With --executor ray: the cluster's head; default: RAY_ADDRESS, else the cluster of this machine.",
        show_default=False,
        rich_help_panel=Panel.CONTAINERS,
    ),
]
NodeWaitOption = Annotated[
    float,
    typer.Option(
        "--node-wait",
        metavar="SECONDS",
        min=0,
        help="With --executor ray: how long to wait for the first node, or for another when the last one is lost.",
        rich_help_panel=Panel.CONTAINERS,
    ),
]
MemoryOption = Annotated[
    int,
    typer.Option(
        "--memory",
        metavar="MIB",
        min=64,
        help="Memory limit of a container.",
        rich_help_panel=Panel.CONTAINERS,
    ),
]
MinFreeOption = Annotated[
    int,
    typer.Option(
        "--min-free-mib",
        metavar="MIB",
        min=0,
        help="Start nothing with less free disk space than this.",
        rich_help_panel=Panel.CONTAINERS,
    ),
]
NoBreakerOption = Annotated[
    bool,
    typer.Option(
        "--no-breaker",
        help="Continue even if the first three cases in a row are lost to the same infrastructure cause.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options that choose tasks of a set."""

    dataset: DatasetOption = None
    only: OnlyOption = None
    shuffle: ShuffleOption = None
    slice_: SliceOption = None
    limit: LimitOption = None

    def task_choice(self, tasks: str) -> TaskChoice:
        """Return the choice of tasks from a set."""
        from dynamic_track.tasks.selection import TaskChoice

        return TaskChoice(
            tasks=tasks,
            dataset=self.dataset,
            only=self.only or (),
            shuffle=self.shuffle,
            slice=self.slice_,
            limit=self.limit,
        )


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options that say on whose machines containers run."""

    executor: ExecutorOption = "threads"
    ray_address: RayAddressOption = None
    node_wait: NodeWaitOption = 300

    def request(self) -> RayCluster | None:
        """Return the requested cluster; None for engines that are known by address."""
        from twinbench.executing.ray_cluster import parse_executor

        return parse_executor(self.executor, self.ray_address, self.node_wait)


@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """Options that limit containers."""

    memory: MemoryOption = 8192
    tests_timeout: TestsTimeoutOption = 1800
    min_free_mib: MinFreeOption = 2048

    def grading_limits(self) -> GradingLimits:
        """Return the limits on time, memory and disk for grading that the options give."""
        from dynamic_track.grading.verdict import GradingLimits

        return GradingLimits(tests_s=self.tests_timeout, memory_mib=self.memory, min_free_mib=self.min_free_mib)


def load_tasks(choice: TaskChoice, swebench_setting: Sequence[str] | None = None) -> tuple[tuple[Task, ...], TaskSet]:
    """Load the chosen tasks and their set, showing progress.

    Args:
        choice: the task set and which of its tasks.
        swebench_setting: globs of tasks that are graded in swebench's own setting.
    """
    with progress() as shown:
        return choice.load(shown, swebench_setting=swebench_setting or ())


InSampleRunOption = Annotated[
    bool,
    typer.Option(
        "--in-sample",
        help="Also run trained routers on tasks that they were trained on; the router's name then says so everywhere.",
    ),
]
