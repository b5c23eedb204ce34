"""The first half of a router's process on Linux: runs no foreign code, and ends whatever the second half leaves behind.

It is the subreaper of all processes that the router starts: orphans become its children, so it also finds those that
left the process group. Imports little, since it stays in memory beside the router. Standard library only.
"""

# pathlib would stay in memory beside every router.
# ruff: noqa: PTH100, PTH120, PTH123, PTH208
from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.2
_GRACE_S = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGCHLD) if sys.platform != "win32" else ()


def split_off() -> None:
    """Fork: the parent becomes the reaper, the child continues as the router's process. Outside Linux do nothing."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        return
    import ctypes
    import resource

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it dies of the same signal as its child
    twinbench, reaper = os.getppid(), os.getpid()
    # Block signals before the fork, so that none of the child's is missed.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child:
        _reap(child, twinbench)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    # If a router kills its reaper, the kernel kills the router.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != reaper:
        os._exit(0)


def _reap(child: int, twinbench: int) -> NoReturn:
    """Wait until the router's process ends, or must be ended; then exit in the same way."""
    # Of the pipes only the reading end of the requests is kept, to notice when twinbench closes it in case a wrapper of
    # the interpreter is our parent. If the answer pipe stayed open here, twinbench would not see the child's end.
    requests = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    hangup = select.poll()
    hangup.register(requests, 0)
    status: int | None = None
    hung_up_at: float | None = None
    while status is None:
        pid, found = os.waitpid(-1, os.WNOHANG)
        if pid:
            status = found if pid == child else None
            continue
        if os.getppid() != twinbench:
            break
        if hung_up_at is None and hangup.poll(0):
            hung_up_at = time.monotonic()
        if hung_up_at is not None and time.monotonic() - hung_up_at > _GRACE_S:
            break
        received = signal.sigtimedwait(_SIGNALS, _LOOK_EVERY_S)
        if received is not None and received.si_signo == signal.SIGTERM:
            break
    _end_descendants()
    if os.getppid() != twinbench:
        _remove_folder()
    if status is None:
        os._exit(0)
    if os.WIFSIGNALED(status):
        _die_of(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _end_descendants() -> None:
    """Kill until nothing is left: orphans become our children, so each round finds the next generation."""
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children() -> Iterator[int]:
    me = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as stat:
                    # The command's name is in parentheses and may contain anything; the parent is two fields later.
                    parent = stat.read().rpartition(")")[2].split()[1]
            except (OSError, IndexError):
                continue
            if parent == me:
                yield int(name)


def _remove_folder() -> None:
    """Remove the temporary folder of this process, if twinbench is gone and cannot remove it."""
    import shutil

    folder = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
    shutil.rmtree(folder, ignore_errors=True)


def _die_of(number: int) -> NoReturn:
    """Die of the signal that killed the child, so that twinbench sees what happened."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)  # Python ignores some signals by default signals by default
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)
