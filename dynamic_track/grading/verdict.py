"""Grade whether a patch resolves a task, by SWE-bench's own grading in a new container (dynamic.md, "Resolution")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.tasks.task import GradingSetting, Task
from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.shell import CommandResult, Ended
from twinbench.fingerprint import fingerprint, sha256_text
from twinbench.storage.temporary_folders import temporary_folder

TESTBED = "/testbed"
LOG_BYTES = 64 * 2**20
"""How much of the tests' output is stored and graded."""

_PATCH_FILE = "/tmp/patch.diff"  # noqa: S108 - in a container of its own
_SCRIPT_FILE = "/eval.sh"
_APPLY_TIMEOUT_S = 120.0
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class GradingLimits:
    """Limits of grading a patch."""

    tests_s: float = 1800.0
    """Time limit of the tests (SWE-bench's own default)."""
    memory_mib: int = 8192
    min_free_mib: int = ContainerLimits.min_free_mib

    def sandbox(self, setting: GradingSetting) -> ContainerLimits:
        """Return the limits of a grading container."""
        open_ = setting == GradingSetting.swebench
        return ContainerLimits(
            memory_mib=self.memory_mib,
            processes=4096,
            life_s=2 * self.tests_s + 3600,
            network=open_,
            sys_admin=open_,
            min_free_mib=self.min_free_mib,
        )


@dataclass(frozen=True)
class Verdict:
    """The verdict on a patch, or why there is none."""

    id: str
    resolved: bool | None
    """Whether the patch resolves the task; None if there is no verdict, for reasons other than the patch."""
    cause: Cause | None
    """The cause, if the tests did not decide."""
    detail: str | None
    """The cause in words."""
    tests: Mapping[str, Mapping[str, list[str]]] | None
    """FAIL_TO_PASS and PASS_TO_PASS, each with the tests that passed and failed (``success``, ``failure``); None if
    SWE-bench's grading finds no results in the output."""
    hint: str | None
    """SWE-bench's classification of the output as an infrastructure failure; it does not change the verdict."""
    setting: GradingSetting
    image: str | None
    """The identity of the image (``Engine.image_identity``)."""
    swebench: str
    """The version of swebench."""
    fingerprint: str | None
    """Fingerprint of everything that the verdict depends on; the key under which it is cached."""
    seconds: float | None
    """How long the tests ran, in seconds."""
    log: Path | None = None
    """The gzipped file with the tests' output."""
    from_cache: bool = False
    """Whether the verdict comes from the store's cache."""

    @property
    def is_verdict(self) -> bool:
        """Whether there is a verdict; infrastructure failures give none."""
        return self.cause is None or CAUSES[self.cause].outcome_class is not OutcomeClass.infra

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        return {**asdict(self), "log": None if self.log is None else str(self.log)}


def grade(
    engine: Engine,
    task: Task,
    patch: str,
    store: VerdictStore,
    limits: GradingLimits | None = None,
    *,
    no_cache: bool = False,
    checkpoint: Callable[[], None] | None = None,
) -> Verdict:
    """Grade whether a patch resolves a task; a cached verdict is used if there is one.

    Args:
        engine: the Docker engine; the image must be present.
        task: the task to be resolved.
        patch: a unified diff; an empty one is unresolved without a container.
        store: the store of verdicts.
        limits: the limits of grading.
        no_cache: grade again even if a cached verdict exists.
        checkpoint: called while tests run; raises if they are to be aborted.

    Returns:
        A verdict, or why there is none (``Verdict.is_verdict``).
    """
    limits = limits or GradingLimits()
    blank = _empty_verdict(task)
    if not patch.strip():
        return replace(blank, resolved=False, cause=Cause.empty, detail="the patch is empty")
    try:
        image = engine.image_identity(task.image)
        blank = replace(blank, image=image, fingerprint=_fingerprint(task, patch, image, blank.swebench))
        assert blank.fingerprint is not None  # noqa: S101 - set in the line above
        if not no_cache and (kept := store.find(blank.fingerprint)) is not None:
            content, log = kept
            return replace(_from_json(blank, content), log=log, from_cache=True)
        return _grade_in_container(engine, task, patch, store, limits, blank, checkpoint)
    except CausedError as error:
        resolved = None if CAUSES[error.cause].outcome_class is OutcomeClass.infra else False
        return replace(blank, resolved=resolved, cause=error.cause, detail=str(error))


def no_verdict(task: Task, cause: Cause, detail: str) -> Verdict:
    """Make the result for a patch that got no verdict because of infrastructure."""
    return replace(_empty_verdict(task), cause=cause, detail=detail)


def run_tests(
    engine: Engine,
    task: Task,
    patch: str | None,
    limits: GradingLimits,
    checkpoint: Callable[[], None] | None = None,
) -> tuple[CommandResult | None, str | None]:
    """Run a task's tests in a new container, after applying a patch.

    Args:
        engine: the Docker engine.
        task: the task with the tests.
        patch: the patch to apply first; None for none.
        limits: the limits of grading.
        checkpoint: called while they run; raises if they are to be aborted.

    Returns:
        The tests' output and how they ended, None if the patch does not apply; and the error message in that case.
    """
    files = {_SCRIPT_FILE: harness.eval_script(task).encode()}
    if patch is not None:
        files[_PATCH_FILE] = patch.encode()
    with Sandbox(engine, task.image, "grade", case=task.id, limits=limits.sandbox(task.grading_setting)) as sandbox:
        sandbox.put(files)
        if patch is not None and (complaint := _apply(sandbox)) is not None:
            return None, complaint
        # Use one stream from the start: two streams that are merged later may be out of order.
        tests = sandbox.run_command(
            f"exec /bin/bash {_SCRIPT_FILE} 2>&1",
            directory=TESTBED,
            timeout_s=limits.tests_s,
            keep_bytes=LOG_BYTES,
            checkpoint=checkpoint,
        )
    return tests, None


def _apply(sandbox: Sandbox) -> str | None:
    """Apply the patch as SWE-bench does; return the last error message if no way worked."""
    said = ""
    for number, command in enumerate(harness.apply_commands()):
        if number:  # a failed try may leave changes behind, which would make every later one fail
            sandbox.run_command("git checkout -- . ; git clean -fd", directory=TESTBED, timeout_s=_APPLY_TIMEOUT_S)
        tried = sandbox.run_command(f"{command} {_PATCH_FILE}", directory=TESTBED, timeout_s=_APPLY_TIMEOUT_S)
        if tried.exit_code == 0:
            return None
        said = tried.output
    applied = f"git apply --check --reverse {_PATCH_FILE}"
    if sandbox.run_command(applied, directory=TESTBED, timeout_s=_APPLY_TIMEOUT_S).exit_code == 0:
        return None
    return said.strip()[-_SHOWN_CHARACTERS:]


def _grade_in_container(
    engine: Engine,
    task: Task,
    patch: str,
    store: VerdictStore,
    limits: GradingLimits,
    blank: Verdict,
    checkpoint: Callable[[], None] | None,
) -> Verdict:
    assert blank.fingerprint is not None  # noqa: S101 - given by the caller
    began = store.times_stored(blank.fingerprint)
    tests, complaint = run_tests(engine, task, patch, limits, checkpoint)
    if tests is None:
        verdict = replace(blank, resolved=False, cause=Cause.unappliable, detail=complaint)
        content, _ = store.store(blank.fingerprint, _to_json(verdict), "", began)
        return _from_json(blank, content)
    verdict = replace(verdict_from_tests(task, tests, blank), seconds=tests.seconds)
    if verdict.cause is not None:  # for example a timeout, which depends on the machine too
        return verdict
    content, log = store.store(blank.fingerprint, _to_json(verdict), tests.output, began)
    return replace(_from_json(blank, content), log=log)


def verdict_from_tests(task: Task, tests: CommandResult, blank: Verdict) -> Verdict:
    """Derive the verdict from the tests' output."""
    if tests.ended is Ended.timeout:
        return replace(
            blank, resolved=False, cause=Cause.timeout, detail=f"the tests were killed after {tests.seconds:.0f} s"
        )
    with temporary_folder() as folder:
        log = folder / "test_output.txt"
        log.write_text(tests.output, "utf-8")
        report = harness.report(task, log)
    detail = None
    if tests.ended in (Ended.lost, Ended.not_run):
        detail = "the tests ended the shell that ran them"
    elif report.tests is None:
        detail = "SWE-bench's grading finds no results in the output"
    return replace(blank, resolved=report.resolved, tests=report.tests, hint=report.hint, detail=detail)


def _empty_verdict(task: Task) -> Verdict:
    return Verdict(
        id=task.id,
        resolved=None,
        cause=None,
        detail=None,
        tests=None,
        hint=None,
        setting=task.grading_setting,
        image=None,
        swebench=harness.version(),
        fingerprint=None,
        seconds=None,
    )


def _fingerprint(task: Task, patch: str, image: str, swebench: str) -> str:
    return fingerprint(
        {
            "patch": sha256_text(patch),
            "image": image,
            "eval_script": harness.eval_script(task),
            "FAIL_TO_PASS": list(task.fail_to_pass),
            "PASS_TO_PASS": list(task.pass_to_pass),
            "log_parser": task.log_parser,
            "eval_type": task.eval_type,
            "swebench": swebench,
            "setting": task.grading_setting,
        }
    )


_STORED_FIELDS = ("resolved", "cause", "detail", "tests", "hint", "seconds")


def _to_json(verdict: Verdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in _STORED_FIELDS}


def _from_json(blank: Verdict, content: Mapping[str, Any]) -> Verdict:
    cause = content["cause"]
    return replace(blank, **{**content, "cause": None if cause is None else Cause(cause)})
