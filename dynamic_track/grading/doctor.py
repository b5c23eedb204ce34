"""Check whether the live track can run on this machine: engine, disk, images, and correct grading of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dynamic_track.grading.together import Checkpoint, GivenUpError, work_on_all
from dynamic_track.grading.verdict import GradingLimits, judged, no_verdict, run_tests
from dynamic_track.harness import HarnessMissingError
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.task import GradingSetting, Task
from twinbench.causes import Cause, CausedError
from twinbench.checks import CheckResult, Status
from twinbench.containers.base_image import BASE_IMAGE
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.display.progress import Progress, no_progress
from twinbench.unexpected import describe_error

_ENGINE = "the engine"
_SLOW_DRIVER = "vfs"
_SMALL = ContainerLimits(memory_mib=512, processes=128)


class GradesHere(StrEnum):
    """How a task is graded on this machine."""

    yes = "yes"
    with_swebench_setting = "with swebench's setting"
    no = "no"


@dataclass(frozen=True)
class TaskFinding:
    """Whether a task is graded correctly: its gold patch resolves it, and an empty patch does not."""

    id: str
    grades: GradesHere
    reason: str | None
    seconds: float | None
    """How long the tests of the gold patch ran, in seconds."""

    @property
    def check(self) -> CheckResult:
        """The finding as a check result; its value is how long the tests of the gold patch ran, in seconds."""
        status = {GradesHere.yes: Status.passed, GradesHere.no: Status.failed}.get(self.grades, Status.warned)
        reason = self.reason or f"the gold patch resolves it, an empty one does not; tests {self.seconds or 0:.1f} s"
        advice = "leave it out of runs, or fix it" if self.grades is GradesHere.no else None
        if self.grades is GradesHere.with_swebench_setting:
            advice = f"grade it with --swebench-setting {self.id}, or set grading_setting: swebench in its row"
        return CheckResult("grades", self.id, status, reason, self.seconds, advice)


def check_engine(engine: Engine, limits: GradingLimits) -> list[CheckResult]:
    """Check the engine and its disk; the disk check's ``value`` is the free space in MiB."""
    info = engine.info()
    reason = (
        f"Docker {info.version}, {info.storage_driver}, cgroup v{info.cgroup_version}, "
        f"{info.cpus} CPUs, {info.memory_mib:,} MiB"
    )
    found = [CheckResult("engine", _ENGINE, Status.passed, reason)]
    if info.storage_driver == _SLOW_DRIVER:
        reason = "the storage driver vfs copies an image for every container, which is slow and fills the disk"
        found.append(
            CheckResult("storage", _ENGINE, Status.warned, reason, advice="configure the engine to use overlay2")
        )
    if info.free_mib is None:
        reason = "a remote engine, whose disk cannot be checked"
        return [*found, CheckResult("disk", _ENGINE, Status.warned, reason)]
    if info.free_mib < limits.min_free_mib:
        advice = "docker image prune, twinbench dynamic gc, or a lower --min-free-mib"
        reason = f"{info.free_mib:,} MiB free, which is below --min-free-mib"
        return [*found, CheckResult("disk", _ENGINE, Status.failed, reason, info.free_mib, advice)]
    return [*found, CheckResult("disk", _ENGINE, Status.passed, f"{info.free_mib:,} MiB free", info.free_mib)]


def check_container(engine: Engine, images: Sequence[str], limits: GradingLimits) -> CheckResult:
    """Check that a container runs, since an engine may answer and still be unusable."""
    image = next((name for name in (*images, BASE_IMAGE) if engine.has_image(name)), None)
    if image is None:
        reason, advice = (
            "there is no image to start a container from",
            "pull one, or build the tasks' images with --build",
        )
        return CheckResult("container", _ENGINE, Status.warned, reason, advice=advice)
    try:
        with Sandbox(engine, image, "doctor", limits=replace(_SMALL, min_free_mib=limits.min_free_mib)) as sandbox:
            ran = sandbox.run_command("echo it runs")
            offline = sandbox.run_command('[ "$(ls /sys/class/net)" = lo ]')
    except CausedError as error:
        advice = "try `docker run` with the same image"
        return CheckResult("container", image, Status.failed, str(error), advice=advice)
    if ran.output != "it runs\n":
        return CheckResult("container", image, Status.failed, f"a test command printed {ran.output[:200]!r}")
    if offline.exit_code != 0:
        reason = "a container without network access has a network interface"
        return CheckResult("container", image, Status.failed, reason)
    return CheckResult("container", image, Status.passed, "a container runs, without a network")


def check_tasks(
    engine: Engine,
    tasks: Sequence[Task],
    limits: GradingLimits,
    *,
    workers: int,
    build: bool,
    progress: Progress = no_progress,
) -> list[TaskFinding]:
    """Check that tasks are graded correctly, each with its gold patch and an empty patch; the cache is not used."""
    failed = prepare_images(engine, tasks, build_them=build, progress=progress)

    def finding(task: Task, engine: Engine, checkpoint: Checkpoint) -> TaskFinding:
        if (error := failed.get(task.image)) is not None:
            return TaskFinding(task.id, GradesHere.no, str(error), None)
        try:
            return _check_task(engine, task, limits, checkpoint)
        except (GivenUpError, HarnessMissingError):
            raise
        except Exception as unexpected:  # noqa: BLE001 - the other tasks can still be checked
            return TaskFinding(task.id, GradesHere.no, f"{Cause.internal}: {describe_error(unexpected)}", None)

    def done(number: int) -> None:
        progress("grading gold patches", number, len(tasks))

    return work_on_all(engine, tasks, finding, workers, done)


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
    """Return None if the tests say that the task is resolved, else what they say; and how long they took."""
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
