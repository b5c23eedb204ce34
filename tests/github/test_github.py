"""What GitHub runs for us: the lines of the action and of the workflows are executed, and none trusts an input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.banks import a_trajectory, write_jsonl
from tests.github.steps import ACTION, ROOT, WORKFLOWS, Runner, load, steps_of
from tests.sharing import made_once
from twinbench.storage.store import Store

needs_bash = pytest.mark.skipif(sys.platform == "win32", reason="the steps are for bash")

ROUTER = "class Mine:\n    def route(self, call):\n        return {tier!r}\n"
FILES = pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)


@FILES
def test_no_expression_stands_in_shell_text(path: Path) -> None:
    for step in steps_of(load(path)):
        assert "${{" not in step.get("run", "")


@FILES
def test_what_is_used_of_others_is_pinned_by_its_commit(path: Path) -> None:
    used = [step["uses"] for step in steps_of(load(path)) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each) for each in used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_read_and_no_more(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in content["on"], "code of strangers would run with our token"
    assert "secrets" not in path.read_text("utf-8")
    for step in steps_of(content):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_submissions_are_verified_by_the_code_of_the_base() -> None:
    [workflow] = (path for path in WORKFLOWS if path.name == "submissions.yml")
    trusted, submitted = (step["with"] for step in steps_of(load(workflow)) if "checkout" in step.get("uses", ""))
    assert trusted["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "ref" not in submitted
    installed = [step["run"] for step in steps_of(load(workflow)) if "pip install" in step.get("run", "")]
    assert ["./trusted" in each and "./submitted" not in each for each in installed] == [True]


def test_continuous_integration_is_what_anybody_runs() -> None:
    [workflow] = (path for path in WORKFLOWS if path.name == "ci.yml")
    [line] = [step["run"] for step in steps_of(load(workflow)) if "run" in step]
    assert os.access(ROOT / line, os.X_OK)


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert re.search(rf'^version = "{re.escape(citation["version"])}"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert citation["license"] == "Apache-2.0"
    [paper] = citation["references"]
    assert "2605.18859" in paper["url"]
    assert len(paper["authors"]) == 17


# --- The action: score my router ------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first step installs twinbench: once for all, dependencies being those of this environment."""
    return made_once(tmp_path_factory, "tools-of-the-action", install_tools) / "twinbench"


def install_tools(temporary: Path) -> None:
    install = steps_of(load(ACTION))[1]
    site = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    # The step makes it whole.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", temporary / "twinbench"], check=True)
    [own] = (temporary / "twinbench" / "lib").glob("python*/site-packages")
    (own / "dependencies.pth").write_text(f"{site}\n")
    runner = Runner(temporary, temporary)
    assert runner.run(install, PIP_NO_DEPS="1", PIP_NO_BUILD_ISOLATION="0", PIP_NO_INDEX="1", **first_python()) == 0, (
        runner.log
    )


def first_python() -> dict[str, str]:
    """`python` as setup-python provides it."""
    return {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}


@pytest.fixture
def _kept_bank(tmp_path: Path, embedded_store: Store) -> None:
    """The store of the steps has the embedded bank already, which takes seconds to import."""
    shutil.copytree(embedded_store.root / "banks", tmp_path / "temporary" / "twinbench-store" / "banks")


@pytest.fixture
def repository(tmp_path: Path, _kept_bank: None) -> Path:
    """Somebody's repository: on the first commit the router asks the weakest tier, on the second the strongest."""
    folder = tmp_path / "repository"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for tier in ("low", "high"):
        (folder / "sub" / "mine.py").write_text(ROUTER.format(tier=tier))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", tier)
    return folder


def act(repository: Path, tmp_path: Path, tools: Path, event: dict[str, str], **inputs: str) -> tuple[int, Runner]:
    """Use the action in a repository; returns the exit code of the first step that failed."""
    temporary = tmp_path / "temporary"
    if not (temporary / "twinbench").exists():
        (temporary / "twinbench").symlink_to(tools)
    action = load(ACTION)
    defaults = {name: str(each.get("default", "")) for name, each in action["inputs"].items()}
    assert {name.replace("_", "-") for name in inputs} <= set(defaults)
    runner = Runner(repository, temporary, defaults | {n.replace("_", "-"): v for n, v in inputs.items()}, event)
    for step in steps_of(action)[2:]:
        if code := runner.run(step, **first_python()):
            return code, runner
    return 0, runner


@pytest.mark.acceptance
@needs_bash
def test_a_router_is_scored_beside_its_version_before(repository: Path, tmp_path: Path, tools: Path) -> None:
    before = git(repository, "rev-parse", "HEAD^")
    event = {"pull_request.base.sha": before}

    code, runner = act(
        repository,
        tmp_path,
        tools,
        event,
        router="mine.py:Mine",
        working_directory="sub",
        fail_under="row_pass=99\n combined=40",
    )

    assert code == 0, runner.log
    assert "### Before and after" in runner.summary
    assert re.search(r"^\| RowPass \| 85\.8 \| 100\.0 \| \+14\.2 ", runner.summary, re.MULTILINE)
    assert "Required: row_pass at least 99, combined at least 40: reached." in runner.summary
    scores = json.loads(Path(runner.outputs["scores"]).read_text())
    assert scores["routers"][0]["scores"]["combined"] == float(runner.outputs["combined"])
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == ""

    # Below a floor, and with nothing to compare with: a commit that nobody has.
    (repository / "sub" / "mine.py").write_text(ROUTER.format(tier="low"))
    written = len(runner.summary)
    code, runner = act(
        repository,
        tmp_path,
        tools,
        {"before": "0" * 40},
        router="mine.py:Mine",
        working_directory="sub",
        fail_under="row_pass=99",
    )
    assert code == 1
    assert "below the required 99" in runner.log
    assert "**missed**" in runner.summary[written:]
    assert "Before and after" not in runner.summary[written:]
    assert "::notice title=Score my router::There is no such commit" in runner.log


@pytest.mark.acceptance
@needs_bash
def test_an_input_is_never_a_command(repository: Path, tmp_path: Path, tools: Path) -> None:
    hostile = "x.py:M$(touch ran)`touch ran`; touch ran; \"'|touch ran\n::set-output name=a::b"
    for inputs in (
        {"router": hostile},
        {"router": "--help"},
        {"router": "sticky", "bank": hostile},
        {"router": "sticky", "fail_under": hostile},
        {"router": "sticky", "before": f"--upload-pack=touch ran;{hostile}"},
    ):
        code, runner = act(repository, tmp_path, tools, {}, **inputs)
        assert (code == 0) == ("before" in inputs), runner.log
        assert not list(tmp_path.rglob("ran"))
        assert "Traceback" not in runner.log
        assert not [line for line in runner.log.splitlines() if line.startswith("::set-output")]


@pytest.mark.acceptance
@needs_bash
def test_a_shallow_checkout_fetches_what_it_compares_with(repository: Path, tmp_path: Path, tools: Path) -> None:
    before = git(repository, "rev-parse", "HEAD^")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone))
    write_jsonl(clone / "bank.jsonl", a_trajectory([0, 3, 1]))

    code, runner = act(
        clone,
        tmp_path,
        tools,
        {"pull_request.base.sha": before},
        router="sub/mine.py:Mine",
        bank="bank.jsonl",
    )

    assert code == 0, runner.log
    assert "### Before and after" in runner.summary
    assert "### bank: 3 rows" in runner.summary
    assert git(clone, "rev-parse", "--is-shallow-repository") == "true"


def requirements_step() -> Any:
    [step] = (each for each in steps_of(load(ACTION)) if "requirements" in str(each.get("env")))
    return step


@pytest.mark.acceptance
@needs_bash
def test_what_a_router_needs_is_installed_beside_twinbench(repository: Path, tmp_path: Path, tools: Path) -> None:
    (repository / "requirements.txt").write_text("# a comment alone: nothing is fetched in a test\n")
    temporary = tmp_path / "temporary"
    runner = Runner(repository, temporary, {"requirements": "requirements.txt", "working-directory": "."})
    assert runner.run(requirements_step(), **first_python()) == 0, runner.log
    assert (temporary / "router" / "bin" / "python").exists()
    [site] = (temporary / "router" / "lib").glob("python*/site-packages")
    (site / "rules.py").write_text("TIER = 'mid'\n")
    (temporary / "twinbench").symlink_to(tools)
    (repository / "uses.py").write_text(
        "import rules\n\n\nclass Mine:\n    def route(self, call):\n        return rules.TIER\n"
    )
    runner.inputs = {"router": "uses.py:Mine", "bank": "rehearsal", "fail-under": "", "working-directory": "."}
    assert runner.run(steps_of(load(ACTION))[-1], **first_python()) == 0, runner.log
    assert "uses.py:Mine" in runner.summary

    runner.inputs |= {"requirements": ""}
    assert runner.run(requirements_step(), **first_python()) == 0
    assert not (temporary / "router").exists(), "an earlier use in the same job leaves nothing behind"


# --- The workflow: verify what is handed in -------------------------------------------------------------------------


def workflow_steps() -> list[dict[str, Any]]:
    """The steps with shell lines after the installation."""
    [path] = (each for each in WORKFLOWS if each.name == "submissions.yml")
    return [step for step in steps_of(load(path)) if "run" in step][1:]


@pytest.fixture
def pull_request(tmp_path: Path, tools: Path, _kept_bank: None) -> Path:
    """A machine with both checkouts: the base, and a merge that adds a submission and an entry."""
    submitted = tmp_path / "submitted"
    (submitted / "results" / "incoming").mkdir(parents=True)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "temporary" / "twinbench").symlink_to(tools)
    git(submitted, "init", "--quiet")
    (submitted / "results" / "incoming" / "old.zip").write_text("of the base")
    git(submitted, "add", ".")
    git(submitted, "commit", "--quiet", "--message", "base")
    (submitted / "my_router.py").write_text(ROUTER.format(tier="mid"))
    twinbench_at(tools, submitted, "submit", "pack", "--example", stdout=submitted / "info.toml")
    packed = ("my_router.py:Mine", "--bank", "rehearsal", "--info", "info.toml", "-o", "results/incoming/new one.zip")
    twinbench_at(tools, submitted, "submit", "pack", *packed)
    git(submitted, "add", ".")
    git(submitted, "commit", "--quiet", "--message", "a submission")
    return tmp_path


def twinbench_at(tools: Path, folder: Path, *arguments: str, stdout: Path | None = None) -> None:
    done = subprocess.run(
        [tools / "bin" / "twinbench", *arguments],
        cwd=folder,
        env={**os.environ, "TWINBENCH_STORE": str(folder.parent / "temporary" / "twinbench-store")},
        capture_output=True,
        check=True,
    )
    if stdout is not None:
        stdout.write_bytes(done.stdout)


@needs_bash
def test_the_workflow_verifies_what_a_pull_request_adds_and_nothing_else(pull_request: Path) -> None:
    runner = Runner(pull_request, pull_request / "temporary")
    verify, check = workflow_steps()
    # The bank of the paper comes from the hub, which no test asks; the router is asked where there is an engine.
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(pull_request / "hub")}

    code = runner.run(verify, **offline)

    assert "**Verification of my-router**" in runner.summary
    assert "| scores | static/rehearsal/predictions.jsonl | pass |" in runner.summary
    assert "old.zip" not in runner.log
    assert code == int("| fail |" in runner.summary), runner.log
    assert runner.run(check) == 0, runner.log
    assert "0 failed" in runner.summary
    assert (pull_request / "temporary" / "site" / "index.html").is_file()

    # A submission that was changed, a link, and an entry that nobody verified.
    submitted = pull_request / "submitted"
    (submitted / "results" / "incoming" / "new one.zip").write_bytes(b"PK")
    (submitted / "results" / "incoming" / "link.zip").symlink_to("/etc/hostname")
    (submitted / "results" / "entries" / "static" / "mine").mkdir(parents=True)
    (submitted / "results" / "entries" / "static" / "mine" / "scores.json").write_text("{}")
    git(submitted, "add", ".")
    git(submitted, "commit", "--quiet", "--amend", "--message", "changed")
    assert runner.run(verify, **offline) == 1
    assert "link.zip" not in runner.log
    assert runner.run(check) == 1
    assert "manifest.json is missing" in runner.log.replace("\n", " ") or "missing" in runner.summary
