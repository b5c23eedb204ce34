"""What agents do that destroy the container they work in, and what their cases must end as: never by infrastructure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamic_track.rehearsal.replies import MessageReply, Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.dynamic_track.live import SENTINEL, SUBMIT, heredoc, pool_file, said, step_of
from twinbench.routing.session import session_key

RESOLVED = frozenset(("resolved",))
UNRESOLVED = frozenset(("unresolved",))
EITHER = RESOLVED | UNRESOLVED
"""Where it depends on how far the machine lets it come."""

SHELL_LOST = "kill -9 $PPID"
FIRST_PROCESS_CHOSEN = (
    "for n in 1 2 3; do echo 1000 >/proc/1/oom_score_adj; (echo 0 >/proc/self/oom_score_adj; tail /dev/zero); done"
)


def replace_program(program: str, script: str) -> str:
    """A command that puts a script in a program's place, also while that runs."""
    return f"printf '#!/bin/sh\\n{script}\\n' >/tmp/new; chmod +x /tmp/new; mv /tmp/new {program}"


def submit_file(path: str, content: str) -> str:
    """A command that submits a patch with one new file."""
    lines = content.splitlines()
    header = (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@"
    )
    patch = "\n".join([header, *(f"+{line}" for line in lines)])
    return f"echo {SENTINEL}; cat <<'END_OF_PATCH'\n{patch}\nEND_OF_PATCH"


@dataclass(frozen=True)
class HostileAgent:
    """One of them: after its commands it applies the right patch and submits, as far as it still can."""

    commands: Sequence[str]
    ends: frozenset[str] = RESOLVED


HOSTILE = {
    # What runs commands.
    "bash removed": HostileAgent(["rm -f /bin/bash"], UNRESOLVED),
    "bash removed, shell lost": HostileAgent([f"rm -f /bin/bash; {SHELL_LOST}", "ls"], UNRESOLVED),
    "everything removed": HostileAgent(["rm -rf --no-preserve-root / 2>/dev/null", "ls"], EITHER),
    "nothing may be executed": HostileAgent([f"chmod 000 /bin/* /usr/bin/*; {SHELL_LOST}", "ls"], UNRESOLVED),
    "bash returns at once": HostileAgent([replace_program("/bin/bash", "exit 0"), SHELL_LOST, "ls"], UNRESOLVED),
    "bash never returns": HostileAgent([replace_program("/bin/bash", "exec sleep 999"), "ls"], UNRESOLVED),
    "bash prints ends": HostileAgent([replace_program("/bin/bash", "while echo 00 0; do :; done"), "ls"], UNRESOLVED),
    "the library truncated": HostileAgent([": >/lib/x86_64-linux-gnu/libc.so.6", "ls"], UNRESOLVED),
    "the loader overwritten": HostileAgent(
        ["cp /dev/null $(readlink -f /lib64/ld-linux-x86-64.so.2)", "ls"], UNRESOLVED
    ),
    "every program preloads what there is not": HostileAgent(["echo /no.so >/etc/ld.so.preload"], UNRESOLVED),
    "every shell leaves at once": HostileAgent(["echo 'exit 7' >/root/.bashrc"], UNRESOLVED),
    "cat removed": HostileAgent(["rm -f $(type -P cat)"], UNRESOLVED),
    "cat never returns": HostileAgent([replace_program("/bin/cat", "exec sleep 999"), "ls"], UNRESOLVED),
    "git is true": HostileAgent(["ln -sf /bin/true $(type -P git)"], UNRESOLVED),
    # Processes.
    "everything killed": HostileAgent(["kill -9 -1; sleep 60"]),
    "everything stopped": HostileAgent(["kill -STOP -1"]),
    "shell killed": HostileAgent([SHELL_LOST]),
    "shell stopped": HostileAgent(["kill -STOP $PPID"]),
    "shell replaced": HostileAgent(["exec sleep 999"]),
    "shell without descriptors": HostileAgent(["prlimit --pid $PPID --nofile=3", "ls"]),
    "shell written to": HostileAgent(
        ["for fd in /proc/$PPID/fd/*; do timeout 1 printf 'a\\0b\\0/\\0kill -9 $PPID\\0' >$fd; done 2>/dev/null", "ls"]
    ),
    "first process signalled": HostileAgent(["for n in $(seq 64); do kill -$n 1; done 2>/dev/null"]),
    "first process chosen by the memory limit": HostileAgent([FIRST_PROCESS_CHOSEN]),
    "first process limited in time": HostileAgent(["prlimit --pid 1 --cpu=1:1 --nofile=1:1", "ls"]),
    "fork bomb": HostileAgent([":(){ :|:& };:", "sleep 1", "sleep 1", "sleep 1"], EITHER),
    "fork bomb that stays": HostileAgent(["b(){ b|b& b; }; b", "sleep 1", "sleep 1"], EITHER),
    "daemon that is deaf": HostileAgent(["setsid bash -c 'trap \"\" TERM HUP; sleep 999; sleep 999' & wait"]),
    "memory used up": HostileAgent(["tail /dev/zero"]),
    # Files.
    "project removed": HostileAgent(["rm -rf /testbed"], UNRESOLVED),
    "project renamed, shell lost": HostileAgent([f"mv /testbed /elsewhere; {SHELL_LOST}", "ls"], UNRESOLVED),
    "project is a loop": HostileAgent(["mv /testbed /t; ln -s /testbed /testbed"], UNRESOLVED),
    "history removed": HostileAgent(["rm -rf .git"], UNRESOLVED),
    "folder for short-lived files removed": HostileAgent(["rm -rf /tmp"], UNRESOLVED),
    "devices removed": HostileAgent([f"rm -rf /dev/* 2>&-; {SHELL_LOST}", "ls"]),
    "nothing to read is a FIFO": HostileAgent([f"rm /dev/null; mkfifo /dev/null; {SHELL_LOST}", "ls"]),
    "accounts are FIFOs, shell lost": HostileAgent(
        [f"for f in passwd group; do rm /etc/$f; mkfifo /etc/$f; done; {SHELL_LOST}", "ls"], UNRESOLVED
    ),
    "settings removed, shell lost": HostileAgent([f"rm -rf /etc 2>/dev/null; {SHELL_LOST}", "ls"], EITHER),
    "disk filled": HostileAgent(["for n in 1 2 3 4 5 6; do fallocate -l 1023M /fill$n; done; sleep 5"], UNRESOLVED),
    "shared memory filled": HostileAgent(["cat /dev/zero >/dev/shm/fill"]),
    # Output.
    "output without end": HostileAgent(["yes"]),
    "output in the background": HostileAgent(["yes & yes >&2 & echo over", "ls"]),
    "output of no text": HostileAgent(["head -c 3000000 /dev/urandom"]),
    # What the grader gets.
    "patch that is no text": HostileAgent([f"echo {SENTINEL}; head -c 100000 /dev/urandom"], UNRESOLVED),
    "patch without end": HostileAgent([f"echo {SENTINEL}; yes | head -c 50000000"], UNRESOLVED),
    "tests that kill everything": HostileAgent([submit_file("conftest.py", "import os\nos.kill(-1, 9)")], UNRESOLVED),
    "tests that remove everything": HostileAgent(
        [submit_file("conftest.py", "import os\nos.system('rm -rf --no-preserve-root / 2>/dev/null')")], UNRESOLVED
    ),
    "tests that truncate the library": HostileAgent(
        [submit_file("conftest.py", "open('/lib/x86_64-linux-gnu/libc.so.6', 'w').close()")], UNRESOLVED
    ),
}

IN_THE_SUITE = (
    "bash removed, shell lost",
    "everything killed",
    "first process chosen by the memory limit",
    "shell stopped",
    "project renamed, shell lost",
    "accounts are FIFOs, shell lost",
    "devices removed",
    "tests that kill everything",
)


def hasty_pool(path: Path, timeout_s: int, steps: int) -> Path:
    """A copy of the shipped pool with commands that may take a few seconds, and few steps."""
    return pool_file(
        path,
        lambda text: text.replace("command_timeout_seconds = 60", f"command_timeout_seconds = {timeout_s}").replace(
            "step_limit = 250", f"step_limit = {steps}"
        ),
    )


def play_agents(agents: Sequence[HostileAgent], task: Task) -> Callable[[ReceivedRequest], Reply]:
    """A script in which each trial of a case plays an agent, whose last answer is repeated."""
    by_session = {session_key("0", "header", task.id, str(number)): agent for number, agent in enumerate(agents, 1)}

    def answer(asked: ReceivedRequest) -> Reply:
        commands = by_session[asked.session].commands
        replies: list[MessageReply] = [said(each) for each in (*commands, heredoc(task.gold_patch), SUBMIT)]
        return replies[min(step_of(asked), len(replies)) - 1]

    return answer
