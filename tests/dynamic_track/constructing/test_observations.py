"""Commands that need not run again: containers begin as late as may be, and what does not repeat itself is found."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynamic_track.constructing.observations import ContainerState, ReusedCommands
from twinbench.calls.recording import DivergedError
from twinbench.calls.redaction import Secrets
from twinbench.containers.shell import CommandResult, Ended


class Containers:
    """Folders in which bash runs, each as fresh as a container."""

    def __init__(self) -> None:
        self.opened = 0
        self.ran: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[_Folder]:
        self.opened += 1
        with tempfile.TemporaryDirectory() as path:
            yield _Folder(Path(path), self.ran)


class _Folder:
    def __init__(self, path: Path, ran: list[str]) -> None:
        self.path = path
        self.ran = ran

    def run_command(
        self,
        command: str,
        *,
        directory: str,
        timeout_s: float,
        keep_bytes: int,
        checkpoint: Callable[[], None] | None,
    ) -> CommandResult:
        self.ran.append(command)
        done = subprocess.run(["bash", "-c", command], cwd=self.path, capture_output=True, text=True, timeout=timeout_s)
        return CommandResult(done.stdout + done.stderr, done.returncode, Ended.exited, len(done.stdout), 0.1)


def executed(
    containers: Containers, known: ContainerState, *commands: str, own: list[tuple[str, CommandResult]] | None = None
) -> list[CommandResult]:
    """What one execution is given."""
    with ReusedCommands(known, own or [], containers, lambda: 7, Secrets(["hunter2"])) as running:
        return [
            running.run_command(each, directory="/", timeout_s=20, keep_bytes=1000, checkpoint=None)
            for each in commands
        ]


def test_a_container_is_begun_for_what_is_new_alone() -> None:
    containers, known = Containers(), ContainerState()
    first = executed(containers, known, "echo 1 > a", "cat a; echo 1 passed in 0.${RANDOM}s", "false")
    assert [each.exit_code for each in first] == [0, 0, 1]
    assert not any(each.reused for each in first)
    again = executed(containers, known, "echo 1 > a", "cat a; echo 1 passed in 0.${RANDOM}s", "false")
    assert [(each.output, each.exit_code) for each in again] == [(each.output, each.exit_code) for each in first]
    assert all(each.reused for each in again)
    assert containers.opened == 1
    # A command that is new finds what those before it left, however long they took this time.
    containers.ran.clear()
    other = executed(containers, known, "echo 1 > a", "cat a; echo 1 passed in 0.${RANDOM}s", "cat a", "false")
    assert [each.reused for each in other] == [True, True, False, False]
    assert other[2].output == "1\n"
    assert containers.ran == ["echo 1 > a", "cat a; echo 1 passed in 0.${RANDOM}s", "cat a", "false"]
    # The same commands in another order are not the same.
    assert "No such file" in executed(containers, known, "cat a; echo 1 passed in 0.${RANDOM}s")[0].output
    assert containers.opened == 3


def test_what_does_not_repeat_itself_is_found_out_and_not_believed_again() -> None:
    containers, known = Containers(), ContainerState()
    executed(containers, known, "echo begun", "echo drawn $RANDOM$RANDOM$RANDOM")
    with pytest.raises(DivergedError) as diverged:
        executed(containers, known, "echo begun", "echo drawn $RANDOM$RANDOM$RANDOM", "echo new")
    assert (diverged.value.step, diverged.value.what) == (7, "observation")
    assert diverged.value.recorded != diverged.value.replayed
    # From there on later executions have a container of their own; what comes before is still taken.
    later = executed(containers, known, "echo begun", "echo drawn $RANDOM$RANDOM$RANDOM", "echo new")
    assert [each.reused for each in later] == [True, False, False]
    assert later[1].output != diverged.value.recorded


def test_an_execution_that_goes_on_takes_what_it_was_given_itself() -> None:
    containers = Containers()
    own = [("echo own", CommandResult("mine\n", 0, Ended.exited, 5, 0.1))]
    assert executed(containers, ContainerState(), "echo own", own=own)[0].output == "mine\n"
    assert containers.opened == 0
    with pytest.raises(DivergedError):
        executed(containers, ContainerState(), "echo own", "echo more", own=own)


def test_secrets_are_taken_out_before_anything_is_compared() -> None:
    containers = Containers()
    own = [("echo hun''ter2", CommandResult("[secret]\n", 0, Ended.exited, 5, 0.1))]
    given = executed(containers, ContainerState(), "echo hun''ter2", "echo more hun''ter2", own=own)
    assert given[1].output == "more [secret]\n"
