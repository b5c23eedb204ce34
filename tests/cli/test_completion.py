"""Shell completion: the script for the shell, and the words that it offers."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from static_track.banks.embedded_names import EMBEDDED
from tests.cli.commands import spawned, twinbench
from tests.runs import a_pool, v2, write_run
from twinbench.storage.store import Store


def offered(*words: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> list[str]:
    """What bash would offer for the last of these words."""
    asked = {
        "_TWINBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("twinbench", *words)),
        "COMP_CWORD": str(len(words)),
    }
    ran = spawned(environment={**asked, **(environment or {})}, cwd=cwd)
    assert ran.err == ""
    return ran.text.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_shown(shell: str) -> None:
    environment = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

    ran = spawned("--show-completion", shell, environment=environment).succeeded()

    assert "_TWINBENCH_COMPLETE=complete_" in ran.text
    assert "twinbench" in ran.text


def test_commands_are_completed() -> None:
    assert offered("ba") == ["bank"]
    assert offered("bank", "s") == ["show", "split"]
    assert offered("nonsense", "zz") == []


def test_banks_of_the_store_are_completed_each_once(kept_store: Store) -> None:
    assert offered("bank", "show", "") == sorted(["mine", *EMBEDDED])
    assert offered("static", "score", "--bank", "m") == ["mine"]


def test_banks_come_from_the_store_that_was_named(kept_store: Store, tmp_path: Path) -> None:
    assert offered("bank", "show", "--store", str(tmp_path), "") == sorted(EMBEDDED)


def test_routers_are_completed() -> None:
    assert offered("static", "score", "always-m") == ["always-mid", "always-mid_high"]
    assert offered("static", "predict", "sti") == ["sticky"]


def test_parts_of_the_bank_that_was_named_are_completed(kept_store: Store, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "store"))
    shutil.copytree(kept_store.root, tmp_path / "store")
    twinbench("bank", "split", "mine", "--parts", "train=1,dev=1", *store).succeeded()
    twinbench("bank", "split", "mine", "--name", "other", "--parts", "dev=1,test=1", *store).succeeded()

    assert offered("static", "score", "--bank", "mine", *store, "--split", "") == [
        "default/dev",
        "other/dev",
        "test",
        "train",
    ]
    assert offered("bank", "check", "mine", *store, "--split", "t") == ["test", "train"]
    assert offered("static", "score", "mine", *store, "--split", "") == [], (
        "a router called mine; the bank is the default"
    )
    assert offered("static", "score", "--bank", "nope", *store, "--split", "") == []


@pytest.mark.slow
def test_tasks_are_completed(tmp_path: Path) -> None:
    rehearsed = ["rehearsal__slotbook-17", "rehearsal__stockyard-63"]
    assert offered("rehearse", "run", "always-low", "--only", "rehearsal__s")[1:] == rehearsed
    held_out = offered("dynamic", "tasks", "--tasks", "heldout100", "--only", "django__django-1")
    assert len(held_out) > 5
    assert all(each.startswith("django__django-1") for each in held_out)
    file = tmp_path / "mine.jsonl"
    file.write_text('{"instance_id": "a__b-1"}\n{"instance_id": "a__b-2"}\nno JSON\n')
    assert offered("dynamic", "tasks", "--tasks", str(file), "--only", "a") == ["a__b-1", "a__b-2"]
    empty = {"HF_HOME": str(tmp_path)}
    assert offered("dynamic", "tasks", "--tasks", "verified", "--only", "d", environment=empty) == []


@pytest.mark.slow
def test_runs_are_completed_and_their_cases(tmp_path: Path) -> None:
    write_run(tmp_path / "a.traj.json", v2())
    pool = a_pool(tmp_path / "pool.toml")
    run = tmp_path / "here" / "mine"
    twinbench("dynamic", "import", tmp_path / "a.traj.json", "--run", run, "--pool", pool).succeeded()
    shutil.copytree(tmp_path / "here" / "mine", tmp_path / "runs" / "rehearsal" / "sticky" / "seed-0")
    (tmp_path / "here" / "nothing").mkdir()
    environment = {"TWINBENCH_STORE": str(tmp_path / "store")}

    def runs(*words: str, cwd: Path = tmp_path) -> list[str]:
        return offered("dynamic", *words, environment=environment, cwd=cwd)

    assert runs("status", "") == ["here/mine", "runs/rehearsal/sticky/seed-0"]
    assert runs("status", "", cwd=tmp_path / "here") == [str(tmp_path / "runs/rehearsal/sticky/seed-0"), "mine"]
    assert runs("score", "here/mine", "runs/") == ["runs/rehearsal/sticky/seed-0"]
    assert runs("run", "always-low", "--run", "he") == ["here/mine"]
    (case,) = runs("replay", "here/mine", "--only", "")
    assert (run / "cases" / case).is_dir()
    assert runs("replay", "here/nothing", "--only", "") == []


def test_pool_manifests_are_completed() -> None:
    assert offered("pool", "show", "live") == ["live-2026-04"]


def test_a_store_that_cannot_be_read_completes_quietly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ran = spawned(
        environment={
            "_TWINBENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": f"twinbench bank show --store {tmp_path / 'file'} ",
            "COMP_CWORD": "5",
        }
    )

    assert ran.text.split() == sorted(EMBEDDED)
    assert ran.err == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_the_script(kept_store: Store, tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    environment = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script.write_bytes(spawned("--show-completion", "bash", environment=environment).succeeded().out)
    asked = (
        f"source {script}; COMP_WORDS=(twinbench bank show m); COMP_CWORD=3; "
        '_twinbench_completion twinbench; echo "${COMPREPLY[@]}"'
    )

    path = {"PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env=path | {"TWINBENCH_STORE": str(kept_store.root)},
    )

    assert done.stdout == "mine\n"
    assert done.stderr == ""
