"""Whether the live track can run here: the engine, the disk, the images, and whether tasks grade as they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dynamic_track.grading.together import Checkpoint, GivenUpError, work_on_all
from dynamic_track.grading.verdict import GradingLimits, judged, no_verdict, run_tests
from dynamic_track.harness import HarnessMissingError
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.task import GradingSetting, Task
from twinbench.causes import Cause, CausedError
from twinbench.containers.base_image import BASE_IMAGE
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.progress import Progress
from twinbench.unexpected import describe_error

_SLOW_DRIVER = "vfs"
_SMALL = ContainerLimits(memory_mib=512, processes=128)


class Status(StrEnum):
    """How a check went."""

    ok = "ok"
    warning = "warning"
    failed = "failed"


@dataclass(frozen=True)
class Finding:
    """One check and what came of it."""

    check: str
    status: Status
    detail: str
    advice: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"check": self.check, "status": self.status, "detail": self.detail, "advice": self.advice}


class GradesHere(StrEnum):
    """How a task grades here."""

    yes = "yes"
    with_swebench_setting = "with swebench's setting"
    no = "no"


@dataclass(frozen=True)
class TaskFinding:
    """Whether a task grades here: the gold patch resolves it, and no patch at all does not."""

    id: str
    grades: GradesHere
    reason: str | None
    seconds: float | None
    """How long the tests of the gold patch ran."""

    @property
    def status(self) -> Status:
        """The finding as the status of a check."""
        return {GradesHere.yes: Status.ok, GradesHere.no: Status.failed}.get(self.grades, Status.warning)

    @property
    def said(self) -> str:
        """The finding in words."""
        return self.reason or f"gold resolves it, no patch does not; tests {self.seconds or 0:.1f} s"

    @property
    def advice(self) -> str | None:
        """What to do about it."""
        if self.grades is GradesHere.with_swebench_setting:
            return f"grade it with --swebench-setting {self.id}, or say grading_setting: swebench in its row"
        return "leave it out of runs, or mend it" if self.grades is GradesHere.no else None

    def to_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"id": self.id, "grades": self.grades, "reason": self.reason, "seconds": self.seconds}


def check_engine(engine: Engine, limits: GradingLimits) -> list[Finding]:
    """The engine, its disk, and whether a container of a local image runs."""
    info = engine.info()
    found = [
        Finding(
            "engine",
            Status.ok,
            f"Docker {info.version}, {info.storage_driver}, cgroup v{info.cgroup_version}, "
            f"{info.cpus} CPUs, {info.memory_mib:,} MiB",
        )
    ]
    if info.storage_driver == _SLOW_DRIVER:
        found.append(
            Finding(
                "storage",
                Status.warning,
                "the driver vfs copies an image for every container: slow, and the disk fills up",
                "let the engine use overlay2",
            )
        )
    if info.free_mib is None:
        found.append(Finding("disk", Status.warning, "a remote engine: its disk cannot be seen from here"))
    elif info.free_mib < limits.min_free_mib:
        advice = "docker image prune, twinbench dynamic gc, or a lower --min-free-mib"
        found.append(Finding("disk", Status.failed, f"{info.free_mib:,} MiB free, below the watermark", advice))
    else:
        found.append(Finding("disk", Status.ok, f"{info.free_mib:,} MiB free"))
    return found


def check_container(engine: Engine, images: Sequence[str], limits: GradingLimits) -> Finding:
    """Whether a container runs: an engine may answer and still be of no use."""
    image = next((name for name in (*images, BASE_IMAGE) if engine.has_image(name)), None)
    if image is None:
        return Finding(
            "container",
            Status.warning,
            "no image is here to start a container from",
            "pull one, or let --build make those of the tasks",
        )
    try:
        with Sandbox(engine, image, "doctor", limits=replace(_SMALL, min_free_mib=limits.min_free_mib)) as sandbox:
            ran = sandbox.run_command("echo it runs")
            offline = sandbox.run_command('[ "$(ls /sys/class/net)" = lo ]')
    except CausedError as error:
        return Finding("container", Status.failed, str(error), "see what `docker run` says of the same image")
    if ran.output != "it runs\n":
        return Finding("container", Status.failed, f"a container of {image} said {ran.output[:200]!r}")
    if offline.exit_code != 0:
        return Finding("container", Status.failed, f"a container of {image} has a network that it should not have")
    return Finding("container", Status.ok, f"a container of {image} runs, without a network")


def check_tasks(
    engine: Engine,
    tasks: Sequence[Task],
    limits: GradingLimits,
    *,
    workers: int,
    build: bool,
    progress: Progress | None = None,
) -> list[TaskFinding]:
    """Whether tasks grade here, each with its gold patch and with none; nothing kept is asked."""
    failed = prepare_images(engine, tasks, build_them=build, progress=progress)

    def finding(task: Task, checkpoint: Checkpoint) -> TaskFinding:
        if (error := failed.get(task.image)) is not None:
            return TaskFinding(task.id, GradesHere.no, str(error), None)
        try:
            return _check_task(engine, task, limits, checkpoint)
        except (GivenUpError, HarnessMissingError):
            raise
        except Exception as unexpected:  # noqa: BLE001 - the other tasks can be checked all the same
            return TaskFinding(task.id, GradesHere.no, f"{Cause.internal}: {describe_error(unexpected)}", None)

    def done(number: int) -> None:
        if progress is not None:
            progress("grading gold patches", number, len(tasks))

    return work_on_all(finding, tasks, workers, "twinbench-doctor", done)


def _check_task(engine: Engine, task: Task, limits: GradingLimits, checkpoint: Checkpoint) -> TaskFinding:
    if not task.gold_patch.strip():
        return TaskFinding(task.id, GradesHere.no, "it has no gold patch to try", None)
    gold, seconds = _resolved(engine, task, task.gold_patch, limits, checkpoint)
    grades = GradesHere.yes
    if gold is not None and task.grading_setting is GradingSetting.closed:
        opened = replace(task, grading_setting=GradingSetting.swebench)
        if (second := _resolved(engine, opened, task.gold_patch, limits, checkpoint))[0] is None:
            task, grades, seconds = opened, GradesHere.with_swebench_setting, second[1]
            gold = None
    if gold is not None:
        return TaskFinding(task.id, GradesHere.no, f"its gold patch is not graded as resolved: {gold}", seconds)
    unpatched, _ = _resolved(engine, task, None, limits, checkpoint)
    if unpatched is None:
        return TaskFinding(task.id, GradesHere.no, "it is graded as resolved without any patch", seconds)
    reason = None
    if grades is GradesHere.with_swebench_setting:
        reason = "its gold patch needs a network or SYS_ADMIN"
    return TaskFinding(task.id, grades, reason, seconds)


def _resolved(
    engine: Engine, task: Task, patch: str | None, limits: GradingLimits, checkpoint: Checkpoint
) -> tuple[str | None, float | None]:
    """None where the tests say that the task is resolved, else what they say; and how long they took."""
    try:
        tests, complaint = run_tests(engine, task, patch, limits, checkpoint)
    except CausedError as error:
        return f"{error.cause}: {error}", None
    if tests is None:
        return f"{Cause.unappliable}: {complaint}", None
    verdict = judged(task, tests, no_verdict(task, Cause.engine, ""))
    if verdict.resolved:
        return None, tests.seconds
    failing = [name for results in (verdict.tests or {}).values() for name in results["failure"]]
    said = verdict.hint or verdict.detail or "tests fail"
    return f"{said} ({len(failing)} failing, first {failing[0]})" if failing else said, tests.seconds
