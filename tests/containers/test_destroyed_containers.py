"""A container's files and processes are the commands' to destroy: that has a result, and is never infrastructure."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tests.containers.conftest import OpenSandbox
from tests.containers.running import SMALL, ours, said
from tests.dynamic_track.hostile_agents import FIRST_PROCESS_CHOSEN
from tests.examples import thinned
from tests.images import image_of_files, program
from tests.timing import wall_s
from twinbench.causes import Cause
from twinbench.containers.engine import ContainerLostError, Engine, ImageError
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.shell import Ended

LOSES_SHELL = "kill -9 $PPID"
NOTHING = "echo it runs"

STILL_USABLE = {
    "accounts removed": f"rm -f /etc/passwd /etc/group /etc/shadow; {LOSES_SHELL}",
    "working directory removed": f"cd /; rm -rf /srv; {LOSES_SHELL}",
    "everything killed": "kill -9 -1; sleep 60",
    "cat removed": "rm -f $(type -P cat)",
    "cat removed, and the shell lost": f"rm -f $(type -P cat); {LOSES_SHELL}",
    "nothing to read is a FIFO": "rm /dev/null; mkfifo /dev/null",
    "devices removed": "rm -rf /dev/* 2>&-",
    "the shell lost besides": LOSES_SHELL,
    "the first process chosen by the memory limit": FIRST_PROCESS_CHOSEN,
}
"""One after the other, in a container that has had all those before."""


def test_what_a_shell_does_not_need_may_go(open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        for how, command in STILL_USABLE.items():
            assert opened.run_command(command).ended in (Ended.exited, Ended.lost), how
            after = opened.run_command(f"{NOTHING}; printf 'and ends without a line end'; exit 3")
            assert (after.ended, after.exit_code) == (Ended.exited, 3), how
            assert after.output == "it runs\nand ends without a line end", how
            assert said(opened, "(sleep 0.1; echo late) <&0 & echo again") == "again\n", how


SPOILED = {
    "bash removed": "rm -f /bin/bash",
    "everything removed": "rm -rf --no-preserve-root / 2>/dev/null",
    "nothing may be executed": "chmod 000 /bin/* /usr/bin/*",
    "bash returns at once": r"printf '#!/bin/sh\nexit 0\n' >/tmp/b; chmod +x /tmp/b; mv /tmp/b /bin/bash",
    "the loader overwritten": "cp /dev/null $(readlink -f /lib64/ld-linux-x86-64.so.2)",
    "the library overwritten": ": >/lib/x86_64-linux-gnu/libc.so.6",
    "accounts are FIFOs": "for f in passwd group; do rm /etc/$f; mkfifo /etc/$f; done",
}
IN_THE_SUITE = ("bash removed", "accounts are FIFOs")


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "how", [how if how in IN_THE_SUITE else pytest.param(how, marks=pytest.mark.acceptance) for how in SPOILED]
)
def test_where_no_command_can_run_any_more_each_has_a_result_that_says_so(
    how: str, open_sandbox: OpenSandbox, engine: Engine
) -> None:
    with open_sandbox(case="spoiled") as opened:
        exec_s = wall_s(lambda: opened.container.exec_run(["true"]))  # what each new try takes at least
        first = opened.run_command(f"{SPOILED[how]}; kill -9 -1; sleep 60", timeout_s=10)
        assert first.ended in (Ended.exited, Ended.lost, Ended.timeout)
        later = [opened.run_command(LOSES_SHELL, timeout_s=5) for _ in range(3)]  # the shell may be open yet
        assert (later[-1].ended, later[-1].exit_code, later[-1].output) == (Ended.not_run, None, "")
        ended: list[Ended] = []
        took_s = wall_s(lambda: ended.extend(opened.run_command(NOTHING).ended for _ in range(50)))
        assert ended == [Ended.not_run] * 50
        assert took_s < 10 * exec_s, "nothing is tried again"
    assert [each for each in ours(engine, "case") if each.labels["twinbench.case"] == "spoiled"] == []


def test_a_shell_in_use_says_at_once_that_its_interpreter_is_gone(open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        assert opened.run_command("rm -f /bin/bash /bin/cat").ended is Ended.exited
        for _ in range(3):
            ran = opened.run_command(NOTHING)
            assert (ran.ended, ran.exit_code) == (Ended.exited, 127)
            assert "bash: not found" in ran.output


OUTSIDE = {
    "memory used up before": "(tail /dev/zero) 2>/dev/null; true",
    "shell killed before": "kill -9 $PPID; sleep 5",
    "bash removed before": "rm -f /bin/bash",
}


@pytest.mark.parametrize(
    "before", ["memory used up before", *(pytest.param(how, marks=pytest.mark.acceptance) for how in list(OUTSIDE)[1:])]
)
def test_a_container_that_is_ended_from_outside_is_lost_also_after_what_commands_did_to_it(
    before: str, open_sandbox: OpenSandbox
) -> None:
    def works_on() -> None:
        while True:
            opened.run_command("sleep 20")
            time.sleep(0.05)

    with open_sandbox() as opened:
        opened.run_command(OUTSIDE[before])
        killer = threading.Timer(0.5, opened.container.kill)
        killer.start()
        with pytest.raises(ContainerLostError, match="ended from outside") as raised:
            works_on()
        assert raised.value.cause is Cause.container
        killer.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="ends a process of a container from outside it: needs to be root")
def test_a_first_process_that_the_machine_kills_is_no_doing_of_a_command(
    open_sandbox: OpenSandbox, engine: Engine
) -> None:
    if not engine.is_local:
        pytest.skip("the engine is on another machine")
    with open_sandbox() as opened:
        said(opened, NOTHING)
        opened.container.reload()
        os.kill(opened.container.attrs["State"]["Pid"], 9)
        with pytest.raises(ContainerLostError, match="ended from outside"):
            opened.run_command("sleep 20")


def test_a_paused_container_is_no_doing_of_a_command(open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        opened.container.pause()
        try:
            with pytest.raises(ContainerLostError, match="is paused"):
                opened.run_command(NOTHING, timeout_s=0.5)
        finally:
            opened.container.unpause()


UNUSABLE = {
    "no bash": ({"etc/x": b""}, "cannot run bash: .*executable file not found"),
    "bash of another machine": ({"bin/bash": program(machine=0xB7)}, "ends at once .*exec format error"),
    "bash is a text": ({"bin/bash": b"hello\n"}, "ends at once .*exec format error"),
    "bash without its libraries": ({"bin/bash": program()}, "ends at once .*no such file or directory"),
}


@pytest.mark.parametrize("what", thinned(UNUSABLE, 2))
def test_an_image_in_which_nothing_runs_says_what_its_container_said_last(what: str, engine: Engine) -> None:
    contents, words = UNUSABLE[what]
    with (
        image_of_files(engine, contents) as image,
        pytest.raises(ImageError, match=words) as raised,
        Sandbox(engine, image, "case", case="unusable", limits=SMALL),
    ):
        pass
    assert image in str(raised.value)
    assert raised.value.cause is Cause.image
    assert [each for each in ours(engine, "case") if each.labels["twinbench.case"] == "unusable"] == []


def test_an_interpreter_that_the_image_lacks_is_the_images_fault(open_sandbox: OpenSandbox) -> None:
    with (
        pytest.raises(ImageError, match="no-such-interpreter: not found"),
        open_sandbox(interpreter=("no-such-interpreter",)),
    ):
        pass


def test_a_checkpoint_is_asked_while_a_command_runs_and_what_it_raises_ends_the_wait(
    open_sandbox: OpenSandbox, engine: Engine
) -> None:
    class EnoughError(Exception):
        pass

    asked = []

    def checkpoint() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise EnoughError

    with pytest.raises(EnoughError), open_sandbox(case="left") as opened:
        opened.run_command("sleep 60", checkpoint=checkpoint)
    assert len(asked) == 3
    assert [each for each in ours(engine, "case") if each.labels["twinbench.case"] == "left"] == []
