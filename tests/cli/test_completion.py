"""Shell completion: the script for the shell, and the words that it offers."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.cli.commands import spawned
from twinbench.storage.store import Store


def offered(*words: str) -> list[str]:
    """What bash would offer for the last of these words."""
    environment = {
        "_TWINBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("twinbench", *words)),
        "COMP_CWORD": str(len(words)),
    }
    return spawned(environment=environment).text.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_shown(shell: str) -> None:
    environment = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

    ran = spawned("--show-completion", shell, environment=environment).succeeded()

    assert "_TWINBENCH_COMPLETE=complete_" in ran.text
    assert "twinbench" in ran.text


def test_commands_are_completed() -> None:
    assert offered("ba") == ["bank"]
    assert offered("bank", "s") == ["show", "split"]


def test_banks_of_the_store_are_completed_each_once(kept_store: Store) -> None:
    assert offered("bank", "show", "") == ["mine", "starter"]
    assert offered("static", "score", "--bank", "m") == ["mine"]


def test_banks_come_from_the_store_that_was_named(kept_store: Store, tmp_path: Path) -> None:
    assert offered("bank", "show", "--store", str(tmp_path), "") == ["starter"]


def test_routers_are_completed() -> None:
    assert offered("static", "score", "always-m") == ["always-mid", "always-mid_high"]
    assert offered("static", "predict", "st") == ["sticky"]


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

    assert ran.text.split() == ["starter"]
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
