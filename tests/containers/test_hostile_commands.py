"""What a hostile command harms is its own case at most: afterwards nothing of it runs, and the container is usable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.conftest import OpenSandbox
from tests.containers.running import lines_of_processes, said
from tests.examples import thinned
from tests.timing import HANG_S
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.shell import Ended

SLEEP = "sleep 4321"
"""By which what a command left running is known."""


@pytest.fixture(autouse=True)
def usable(sandbox: Sandbox) -> Iterator[None]:
    """Afterwards the shared sandbox runs commands, and nothing that a test started is left in it."""
    yield
    assert said(sandbox, "echo usable; pwd") == "usable\n/\n"
    left = [line for line in lines_of_processes(sandbox) if SLEEP in line]
    assert left == []


STUBBORN = {
    "plain": SLEEP,
    "loop": "while :; do :; done",
    "deaf": f"trap '' TERM INT HUP; {SLEEP}; {SLEEP}",
    "deaf loop": "trap '' TERM INT HUP; while :; do :; done",
    "children": f"{SLEEP} & ({SLEEP} & {SLEEP}) & wait",
    "sessions": f"setsid {SLEEP} & setsid bash -c 'trap \"\" TERM; {SLEEP}; {SLEEP}' & wait",
    "daemon": f"(setsid bash -c '{SLEEP} & {SLEEP} & exec {SLEEP}' >/dev/null 2>&1 </dev/null &); {SLEEP}",
    "group erased": f"set -m; {SLEEP} & {SLEEP} & wait",
    "flood": "yes",
    "stopped": f"{SLEEP} & kill -STOP $!; kill -STOP $$",
    "python": "exec python3 -c 'import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
    "while True: time.sleep(1)'",
}


@pytest.mark.parametrize("how", thinned(STUBBORN, 3))
def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(how: str, sandbox: Sandbox) -> None:
    ran = sandbox.run_command(f"echo before; {STUBBORN[how]}", timeout_s=1)
    assert (ran.ended, ran.exit_code) == (Ended.timeout, None)
    assert ran.output.startswith("before\n")
    assert ran.seconds < HANG_S
    left = lines_of_processes(sandbox)
    assert not [line for line in left if SLEEP in line or line.startswith(("yes", "python3"))], left


def test_what_a_command_before_left_in_the_background_outlives_the_end_of_another(sandbox: Sandbox) -> None:
    said(sandbox, "sleep 987 >/dev/null & echo $! >/tmp/earlier")
    assert sandbox.run_command(SLEEP, timeout_s=0.2).ended is Ended.timeout
    assert said(sandbox, "kill $(cat /tmp/earlier) && echo it ran") == "it ran\n"


MOST_LEFT = 8
"""What runs in a container without a command: the first process, the shell, what relays this look; and some room."""

BOMBS = {
    "returning": ":(){ :|:& };:",
    "staying": "b(){ b|b& b; }; b",
    "deaf": "trap '' TERM; b(){ setsid bash -c \"trap '' TERM; while :; do sleep 1 & done\" & b; }; b",
    "python": "exec python3 -c 'import os\nwhile True:\n try: os.fork()\n except OSError: pass'",
}


@pytest.mark.parametrize("how", thinned(BOMBS, 4))
def test_a_fork_bomb_stops_at_the_limit_and_is_ended(how: str, open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        ran = opened.run_command(BOMBS[how], timeout_s=1.5)
        if ran.ended is Ended.timeout:
            assert len(lines_of_processes(opened)) <= MOST_LEFT
        for _ in range(3):  # one that returned at once goes on beside the next command, which may pay for it
            ran = opened.run_command("echo on", timeout_s=10)
            if ran.output == "on\n":
                break
        assert ran.output == "on\n"


LOST = {"everything": "kill -9 -1; sleep 60", "its shell": "kill -9 $PPID"}


@pytest.mark.parametrize("what", LOST)
def test_a_command_that_kills_its_shell_is_lost_and_the_next_has_another(what: str, sandbox: Sandbox) -> None:
    ran = sandbox.run_command(f"echo before; sleep 0.1; {LOST[what]}", timeout_s=HANG_S)
    assert (ran.ended, ran.exit_code, ran.output) == (Ended.lost, None, "before\n")
    assert ran.seconds < HANG_S
    said(sandbox, "pkill -f '[s]leep 60' || true")


def test_a_shell_that_is_stopped_costs_its_command_the_time_and_no_more(sandbox: Sandbox) -> None:
    ran = sandbox.run_command("kill -STOP $PPID; echo still", timeout_s=0.5)
    assert ran.ended is Ended.timeout
    assert ran.output in ("still\n", "")  # the way out may not have been there yet
    assert ran.seconds < HANG_S


def test_a_shell_that_an_earlier_command_ends_is_replaced(sandbox: Sandbox) -> None:
    said(sandbox, "(sleep 0.2; kill -9 $PPID) >/dev/null 2>&1 & echo ok")
    ran = sandbox.run_command("sleep 0.5; echo late")
    assert ran.ended in (Ended.lost, Ended.exited)


def test_the_first_process_is_deaf(sandbox: Sandbox) -> None:
    said(sandbox, "for n in $(seq 64); do kill -$n 1; done 2>/dev/null; true")
    assert "trap '' TERM" in said(sandbox, "tr '\\0' ' ' </proc/1/cmdline")


@pytest.mark.parametrize("text", thinned(["a\\0b\\0/\\0kill -9 $PPID\\0", "0" * 32 + " 0\\n", "a\\0"], 3))
def test_writing_to_the_shell_itself_harms_the_next_commands_at_most(text: str, open_sandbox: OpenSandbox) -> None:
    """A root user in the container can reach the shell's descriptors, but knows no token."""
    with open_sandbox() as opened:
        attempt = f"for fd in /proc/$PPID/fd/*; do timeout 1 printf '{text}' >$fd; done 2>/dev/null; exit 5"
        ran = opened.run_command(attempt, timeout_s=HANG_S)
        assert (ran.exit_code, ran.ended) in ((5, Ended.exited), (None, Ended.lost))
        outputs = [opened.run_command("echo usable", timeout_s=10).output for _ in range(3)]
        assert outputs[-1] == "usable\n"


def test_a_full_disk_is_told_by_the_command(open_sandbox: OpenSandbox) -> None:
    with open_sandbox(file_mib=128) as opened:
        ran = opened.run_command("dd if=/dev/zero of=/dev/shm/fill bs=1M; echo $?; rm /dev/shm/fill")
        assert "No space left on device" in ran.output
        assert said(opened, "echo usable") == "usable\n"


def test_the_machine_cannot_be_changed_from_inside(sandbox: Sandbox) -> None:
    attempts = [
        "mount -t tmpfs none /mnt",
        "echo 1 >/proc/sys/kernel/panic",
        "echo c >/proc/sysrq-trigger",
        "mknod /dev/sda1 b 8 1 && head -c 1 /dev/sda1",
        "hostname other",
        "unshare -m true",
        "nsenter -t 1 -n ip link add dummy0 type dummy",
        "ls /proc/1/root/var/lib/docker/overlay2",
    ]
    for attempt in attempts:
        assert sandbox.run_command(attempt, timeout_s=HANG_S).exit_code != 0, attempt
    assert said(sandbox, "rm -f /dev/sda1; hostname") == "sandbox\n"
