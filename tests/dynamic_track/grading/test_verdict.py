"""Verdicts, by real containers and SWE-bench's real grading."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dynamic_track.grading.patches import grade_all
from dynamic_track.grading.verdict import GradingLimits, Verdict, grade
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import ANSWER_FILES, GradingSetting, Task
from tests.dynamic_track.live import SIX
from tests.examples import thinned
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox

UNAPPLIABLE = "diff --git a/nowhere.py b/nowhere.py\n--- a/nowhere.py\n+++ b/nowhere.py\n@@ -1 +1 @@\n-was\n+is\n"


def new_file(path: str, content: str) -> str:
    """A patch that adds a file."""
    lines = content.splitlines()
    added = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{added}"


def named(tasks: Sequence[Task], name: str) -> Task:
    return next(task for task in tasks if task.id == name)


def easy(tasks: Sequence[Task]) -> Task:
    return named(tasks, "rehearsal__slotbook-17")


@pytest.mark.parametrize("name", thinned(SIX, 3))
def test_the_gold_patch_resolves_and_a_wrong_one_does_not(
    name: str, engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = named(rehearsal, name)
    gold = grade(engine, task, task.gold_patch, verdicts)
    assert (gold.resolved, gold.cause, gold.from_cache) == (True, None, False)
    assert gold.tests is not None
    assert set(gold.tests["FAIL_TO_PASS"]["success"]) == set(task.fail_to_pass)
    assert set(gold.tests["PASS_TO_PASS"]["success"]) == set(task.pass_to_pass)
    assert gold.log is not None
    assert ">>>>> Test Exit Code: 0" in gzip.decompress(gold.log.read_bytes()).decode()

    wrong = grade(engine, task, new_file("NOTES.md", "it works for me"), verdicts)
    assert (wrong.resolved, wrong.cause) == (False, None)
    assert wrong.tests is not None
    assert set(wrong.tests["FAIL_TO_PASS"]["failure"]) == set(task.fail_to_pass)
    assert set(wrong.tests["PASS_TO_PASS"]["success"]) == set(task.pass_to_pass)


def test_an_empty_patch_is_unresolved_without_a_container(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    nowhere = replace(easy(rehearsal), image="no-such-image")
    for patch in ("", "\n \n"):
        verdict = grade(engine, nowhere, patch, verdicts)
        assert (verdict.resolved, verdict.cause, verdict.is_verdict) == (False, Cause.empty, True)


def test_a_patch_that_does_not_apply_is_unresolved_with_the_reason(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    for patch in (UNAPPLIABLE, "this is no patch\n", UNAPPLIABLE + "\x1b[31m{binary}\n"):
        verdict = grade(engine, easy(rehearsal), patch, verdicts)
        assert (verdict.resolved, verdict.cause, verdict.is_verdict) == (False, Cause.unappliable, True)
        assert verdict.detail


def test_a_patch_that_swebench_applies_with_fuzz_is_applied(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    shifted = task.gold_patch.replace("@@ -", "@@ -9", 1)
    assert shifted != task.gold_patch
    assert grade(engine, task, shifted, verdicts).resolved is True


FORGED = """\
import os, sys
def pytest_configure(config):
    print(">>>>> Start Test Output")
    for name in {names}:
        print("PASSED " + name)
    sys.stdout.flush()
    os._exit({code})
"""


@pytest.mark.parametrize("code", thinned([1, 3], 2))
def test_results_printed_by_a_conftest_that_ends_with_an_error_are_not_believed(
    code: int, engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    forged = FORGED.format(names=[*task.fail_to_pass, *task.pass_to_pass], code=code)
    for path in ("conftest.py", "tests/conftest.py"):
        verdict = grade(engine, task, new_file(path, forged), verdicts)
        assert (verdict.resolved, verdict.cause) == (False, None)


def test_a_patch_that_ends_everything_it_can_is_unresolved_and_no_fault_of_ours(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    for ending in ("os.kill(-1, 9)", "os.kill(os.getppid(), 9)", "os.kill(1, 15); os._exit(0)"):
        verdict = grade(engine, task, new_file("conftest.py", f"import os\n{ending}\n"), verdicts)
        assert (verdict.resolved, verdict.is_verdict) == (False, True), ending


def test_tests_that_do_not_end_are_ended_and_not_kept(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    endless = new_file("conftest.py", "import time\nwhile True:\n    time.sleep(1)\n")
    for _ in range(2):
        verdict = grade(engine, task, endless, verdicts, GradingLimits(tests_s=2))
        assert (verdict.resolved, verdict.cause, verdict.from_cache) == (False, Cause.timeout, False)
        assert verdict.is_verdict


def test_a_patch_that_is_graded_twice_at_once_has_one_verdict(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: grade(engine, task, task.gold_patch, verdicts), range(2))
    assert one.resolved
    assert replace(one, from_cache=False) == replace(other, from_cache=False), "how long its tests took among it"
    assert replace(grade(engine, task, task.gold_patch, verdicts), from_cache=False) == replace(one, from_cache=False)


@pytest.mark.acceptance
def test_a_verdict_is_kept_under_all_that_it_depends_on(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    task = easy(rehearsal)
    first = grade(engine, task, task.gold_patch, verdicts)
    again = grade(engine, task, task.gold_patch, verdicts)
    assert again.from_cache
    assert replace(again, from_cache=False) == first
    assert not grade(engine, task, task.gold_patch, verdicts, no_cache=True).from_cache
    others = [
        replace(task, pass_to_pass=task.pass_to_pass[1:]),
        replace(task, eval_script=f"{task.eval_script}\n# another"),
        replace(task, grading_setting=GradingSetting.swebench),
    ]
    for other in others:
        found = grade(engine, other, task.gold_patch, verdicts)
        assert not found.from_cache
        assert found.fingerprint != first.fingerprint
    assert first.log is not None
    (first.log.parent / "verdict.json").write_text("{")
    assert not grade(engine, task, task.gold_patch, verdicts).from_cache


def test_grading_runs_without_network_or_capability_unless_the_task_needs_them(
    engine: Engine, rehearsal: Sequence[Task]
) -> None:
    seen = {}
    for setting in GradingSetting:
        limits = GradingLimits().sandbox(setting)
        with Sandbox(engine, easy(rehearsal).image, "grade", limits=limits) as sandbox:
            seen[setting] = sandbox.run_command("ls /sys/class/net; grep CapEff /proc/self/status").output
    sys_admin = 1 << 21
    assert seen[GradingSetting.closed].splitlines()[0] == "lo"
    assert not int(seen[GradingSetting.closed].split()[-1], 16) & sys_admin
    assert "eth0" in seen[GradingSetting.swebench]
    assert int(seen[GradingSetting.swebench].split()[-1], 16) & sys_admin


def test_no_image_holds_an_answer(engine: Engine, rehearsal: Sequence[Task]) -> None:
    for task in rehearsal:
        assert task.folder is not None
        with Sandbox(engine, task.image, "case", limits=ContainerLimits(memory_mib=512)) as sandbox:
            found = sandbox.run_command(
                "git -C /testbed rev-parse HEAD; git -C /testbed status --short; ls -A /testbed"
            )
            assert found.output.splitlines()[0] == task.base_commit
            assert not ANSWER_FILES & set(found.output.splitlines())
            hidden = [line[1:] for line in task.test_patch.splitlines() if line.startswith("+def test_")]
            for line in hidden:
                name = line.removeprefix("def ").partition("(")[0]
                assert sandbox.run_command(f"grep -rq '{name}(' /testbed", directory="/").exit_code == 1, name


def test_infrastructure_gives_no_verdict(engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore) -> None:
    task = replace(easy(rehearsal), image="twinbench-test/not-here:1", folder=None)
    missing = grade(engine, task, task.gold_patch, verdicts)
    full = grade(engine, easy(rehearsal), task.gold_patch, verdicts, GradingLimits(min_free_mib=10**9))
    for verdict, cause in ((missing, Cause.image), (full, Cause.disk)):
        assert (verdict.resolved, verdict.cause, verdict.is_verdict) == (None, cause, False)
        assert CAUSES[cause].outcome_class is OutcomeClass.infra


@pytest.mark.acceptance
def test_many_are_graded_at_once_in_the_order_of_the_tasks(
    engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore
) -> None:
    patches = {task.id: task.gold_patch for task in rehearsal[:4]} | {rehearsal[4].id: ""}
    lost = replace(rehearsal[0], id="lost", image="twinbench-test/not-here:1", folder=None)
    patches["lost"] = UNAPPLIABLE
    seen: list[tuple[str, int, int | None]] = []
    grades = grade_all(
        engine,
        [*rehearsal, lost],
        patches,
        verdicts,
        workers=4,
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert [verdict.id for verdict in grades.verdicts] == [*(task.id for task in rehearsal[:5]), "lost"]
    assert (grades.resolved, grades.infra, grades.missing) == (4, 1, (rehearsal[5].id,))
    assert grades.verdicts[4].cause is Cause.empty
    assert grades.verdicts[5].cause is Cause.image
    assert ("grading", 6, 6) in seen


def test_a_task_repo_of_somebody_else_is_built_on_request_or_its_present_image_used(
    tmp_path: Path, engine: Engine, base_image: str
) -> None:
    source = Path(__file__).parents[3] / "dynamic_track/rehearsal"
    subprocess.run(["cp", "-r", source, tmp_path / "repo"], check=True)
    for folder in (tmp_path / "repo/tasks").iterdir():
        if folder.name != "rehearsal__slotbook-17":
            subprocess.run(["rm", "-r", folder], check=True)
    task_yaml = tmp_path / "repo/tasks/rehearsal__slotbook-17/task.yaml"
    image = f"twinbench-test/{tmp_path.name.lower().strip('_')}:1"
    lines = [f"image: {image}" if line.startswith("image:") else line for line in task_yaml.read_text().splitlines()]
    task_yaml.write_text("\n".join(lines) + "\n")
    [task] = load_tasks(str(tmp_path / "repo")).tasks
    [error] = prepare_images(engine, [task], build_them=False).values()
    assert "--build" in str(error)
    try:
        assert prepare_images(engine, [task], build_them=True) == {}
        built = engine.image_identity(image)
        assert prepare_images(engine, [task], build_them=False) == {}
        assert engine.image_identity(image) == built
    finally:
        engine.client.images.remove(image, force=True)


def test_a_verdict_says_all_of_it_in_json(engine: Engine, rehearsal: Sequence[Task], verdicts: VerdictStore) -> None:
    task = easy(rehearsal)
    content = grade(engine, task, task.gold_patch, verdicts).to_json()
    assert set(content) == set(Verdict.__dataclass_fields__)
    assert content["id"] == task.id
    assert content["resolved"] is True
    assert content["cause"] is None
