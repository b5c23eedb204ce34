"""Whether a patch resolves a task: SWE-bench's own grading, in a fresh container (dynamic.md, "Resolution")."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.tasks.task import GradingSetting, Task
from twinbench.causes import CAUSES, Cause, CausedError, Counts
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.shell import CommandResult, Ended
from twinbench.fingerprint import fingerprint, sha256_text

TESTBED = "/testbed"
LOG_BYTES = 64 * 2**20
"""How much of what the tests print is kept and graded."""

_PATCH_FILE = "/tmp/patch.diff"  # noqa: S108 - in a container of its own
_SCRIPT_FILE = "/eval.sh"
_APPLY_WITHIN_S = 120.0
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class GradingLimits:
    """What the grading of a patch may take."""

    tests_s: float = 1800.0
    """How long the tests may run (SWE-bench's own default)."""
    memory_mib: int = 8192
    min_free_mib: int = ContainerLimits.min_free_mib

    def sandbox(self, setting: GradingSetting) -> ContainerLimits:
        """The limits of a container to grade in."""
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
    """What became of a patch."""

    id: str
    resolved: bool | None
    """None where there is no verdict, for a reason that is not the patch's."""
    cause: Cause | None
    """Why, where the tests did not decide."""
    detail: str | None
    """The cause in words."""
    tests: Mapping[str, Mapping[str, list[str]]] | None
    """FAIL_TO_PASS and PASS_TO_PASS, each with the tests that succeeded and those that failed (``success``,
    ``failure``); None where the output says nothing that SWE-bench's grading accepts."""
    hint: str | None
    """What SWE-bench's classification of infrastructure failures makes of the output; it changes no verdict."""
    setting: GradingSetting
    image: str | None
    """What tells the image from others (``Engine.image_identity``)."""
    swebench: str
    """Its version."""
    fingerprint: str | None
    """Of everything that the verdict depends on; the key under which it is kept."""
    seconds: float | None
    """How long the tests ran."""
    log: Path | None = None
    """What the tests printed, gzipped."""
    kept: bool = False
    """Whether it was found in the store instead of being graded now."""

    @property
    def is_verdict(self) -> bool:
        """Whether there is one: infrastructure gives none."""
        return self.cause is None or CAUSES[self.cause].counts is not Counts.infra

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
    fresh: bool = False,
    checkpoint: Callable[[], None] | None = None,
) -> Verdict:
    """Whether a patch resolves a task; kept verdicts are found again.

    Args:
        engine: where; the image must be present.
        task: what is to be resolved.
        patch: a unified diff; an empty one is unresolved without a container.
        store: of verdicts.
        limits: what grading may take.
        fresh: grade again, even where a verdict is kept.
        checkpoint: called while tests run; raises where they are to be given up.

    Returns:
        A verdict, or what kept us from one (``Verdict.is_verdict``).
    """
    limits = limits or GradingLimits()
    blank = _blank(task)
    if not patch.strip():
        return replace(blank, resolved=False, cause=Cause.empty, detail="the patch is empty")
    try:
        image = engine.image_identity(task.image)
        blank = replace(blank, image=image, fingerprint=_fingerprint(task, patch, image, blank.swebench))
        assert blank.fingerprint is not None  # noqa: S101 - given in the line above
        if not fresh and (kept := store.find(blank.fingerprint)) is not None:
            content, log = kept
            return replace(_from_json(blank, content), log=log, kept=True)
        return _graded(engine, task, patch, store, limits, blank, checkpoint)
    except CausedError as error:
        resolved = None if CAUSES[error.cause].counts is Counts.infra else False
        return replace(blank, resolved=resolved, cause=error.cause, detail=str(error))


def no_verdict(task: Task, cause: Cause, detail: str) -> Verdict:
    """What stands for a verdict where infrastructure kept us from one."""
    return replace(_blank(task), cause=cause, detail=detail)


def run_tests(
    engine: Engine,
    task: Task,
    patch: str | None,
    limits: GradingLimits,
    checkpoint: Callable[[], None] | None = None,
) -> tuple[CommandResult | None, str | None]:
    """Run a task's tests in a fresh container, after a patch.

    Args:
        engine: where.
        task: whose tests.
        patch: applied before; None for none.
        limits: what they may take.
        checkpoint: called while they run; raises where they are to be given up.

    Returns:
        What the tests printed and how they ended, None where the patch does not apply; and what was said then.
    """
    files = {_SCRIPT_FILE: harness.eval_script(task).encode()}
    if patch is not None:
        files[_PATCH_FILE] = patch.encode()
    with Sandbox(engine, task.image, "grade", case=task.id, limits=limits.sandbox(task.grading_setting)) as sandbox:
        sandbox.put(files)
        if patch is not None and (complaint := _apply(sandbox)) is not None:
            return None, complaint
        # One stream from the start: two, merged later, can come out of order.
        tests = sandbox.run_command(
            f"exec /bin/bash {_SCRIPT_FILE} 2>&1",
            directory=TESTBED,
            timeout_s=limits.tests_s,
            keep_bytes=LOG_BYTES,
            checkpoint=checkpoint,
        )
    return tests, None


def _apply(sandbox: Sandbox) -> str | None:
    """Apply the patch as SWE-bench does; what the last try said where none worked."""
    said = ""
    for number, command in enumerate(harness.apply_commands()):
        if number:  # a failed try may leave a part behind, and every later one would fail for that
            sandbox.run_command("git checkout -- . ; git clean -fd", directory=TESTBED, timeout_s=_APPLY_WITHIN_S)
        tried = sandbox.run_command(f"{command} {_PATCH_FILE}", directory=TESTBED, timeout_s=_APPLY_WITHIN_S)
        if tried.exit_code == 0:
            return None
        said = tried.output
    applied = f"git apply --check --reverse {_PATCH_FILE}"
    if sandbox.run_command(applied, directory=TESTBED, timeout_s=_APPLY_WITHIN_S).exit_code == 0:
        return None
    return said.strip()[-_SHOWN_CHARACTERS:]


def _graded(
    engine: Engine,
    task: Task,
    patch: str,
    store: VerdictStore,
    limits: GradingLimits,
    blank: Verdict,
    checkpoint: Callable[[], None] | None,
) -> Verdict:
    assert blank.fingerprint is not None  # noqa: S101 - given by the caller
    began = store.times_kept(blank.fingerprint)
    tests, complaint = run_tests(engine, task, patch, limits, checkpoint)
    if tests is None:
        verdict = replace(blank, resolved=False, cause=Cause.unappliable, detail=complaint)
        content, _ = store.keep(blank.fingerprint, _to_json(verdict), "", began)
        return _from_json(blank, content)
    verdict = replace(judged(task, tests, blank), seconds=tests.seconds)
    if verdict.cause is not None:  # how long the tests take is the machine's, too
        return verdict
    content, log = store.keep(blank.fingerprint, _to_json(verdict), tests.output, began)
    return replace(_from_json(blank, content), log=log)


def judged(task: Task, tests: CommandResult, blank: Verdict) -> Verdict:
    """The verdict on what the tests printed."""
    if tests.ended is Ended.timeout:
        return replace(
            blank, resolved=False, cause=Cause.timeout, detail=f"the tests were ended after {tests.seconds:.0f} s"
        )
    with tempfile.TemporaryDirectory(prefix="twinbench-") as folder:
        log = Path(folder) / "test_output.txt"
        log.write_text(tests.output, "utf-8")
        report = harness.report(task, log)
    detail = None
    if tests.ended in (Ended.lost, Ended.not_run):
        detail = "the tests ended the shell that ran them"
    elif report.tests is None:
        detail = "the output holds no results that SWE-bench accepts"
    return replace(blank, resolved=report.resolved, tests=report.tests, hint=report.hint, detail=detail)


def _blank(task: Task) -> Verdict:
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


_KEPT = ("resolved", "cause", "detail", "tests", "hint", "seconds")


def _to_json(verdict: Verdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in _KEPT}


def _from_json(blank: Verdict, content: Mapping[str, Any]) -> Verdict:
    cause = content["cause"]
    return replace(blank, **{**content, "cause": None if cause is None else Cause(cause)})
