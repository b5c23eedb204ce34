"""A router's process on this machine: start it, enforce its limits, and end it with all its descendants.

This contains accidents, not attackers: docs/routers.md lists what only strict isolation refuses.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import IO, cast

import psutil

from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.output import MOST_KEPT_BYTES
from twinbench.plugins.process import CLOSED, MOST_STDERR_SHOWN, RouterProcess, describe_ending
from twinbench.plugins.runtime import RESOURCE_LIMITS, plugin_environment

COOKIE = "TWINBENCH_ROUTER_PROCESS"
"""The environment variable by which a router's processes are recognised."""

_POLL_S = 0.05
_TREE_EVERY_POLLS = 4
_END_TIMEOUT_S = 3.0
_REAP_TIMEOUT_S = 1.0
_POLL_TIMEOUT_MS = 250
_PIPE_BYTES = 2**20
_MOST_STRAY_ROUNDS = 50
_MOST_OUTPUT_IN_FILE = 2**20


class LocalProcess(RouterProcess):
    """A router's process on this machine."""

    def __init__(self, folder: Path, limits: PluginLimits) -> None:
        """Start a process.

        Args:
            folder: the folder made by ``runtime_folder``.
            limits: the process's limits.
        """
        super().__init__()
        self._limits = limits
        self._cookie = uuid.uuid4().hex
        self._output = _Output()
        self._ending = threading.Lock()
        self._over = threading.Event()
        self._seen: dict[int, psutil.Process] = {}
        home = folder / "home"
        self._popen = subprocess.Popen(  # noqa: S603 - running the router's code is what this is for
            [
                limits.python or sys.executable,
                str(folder / "runtime" / "start.py"),
                *RESOURCE_LIMITS,
            ],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output.file,
            cwd=home,
            env=plugin_environment(home, limits) | {COOKIE: self._cookie},
            start_new_session=True,
        )
        self._pipe = _Pipes(cast("IO[bytes]", self._popen.stdin), cast("IO[bytes]", self._popen.stdout), self._over)
        self._watcher = threading.Thread(target=self._watch, name="twinbench-router-watch", daemon=True)
        self._watcher.start()

    def kill(self, because: str) -> None:
        """Kill the process and all its descendants now."""
        if self._killed_because is None:
            self._killed_because = because
        self._end(wait=False)

    def _write(self, data: bytes) -> None:
        self._pipe.write(data)

    def _read(self, size: int) -> bytes:
        return self._pipe.read(size)

    def close(self) -> None:
        """Let the process end, and make sure that it and all its descendants do."""
        self._pipe.close_requests()
        self._end(wait=True)
        if threading.current_thread() is not self._watcher:
            self._watcher.join(_END_TIMEOUT_S)
        self._pipe.close()
        self._output.file.close()

    def read_new_stderr(self, *, wait: bool) -> bytes:  # noqa: ARG002 - it is there at once
        """Return the end of what the process printed to standard error since the last call."""
        return self._output.take()

    def tree_mib(self) -> float:
        """Return the resident memory of the process and its descendants in MiB; shared memory counts twice."""
        total = 0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    def _tree(self) -> list[psutil.Process]:
        """Return the process and its descendants, and remember them, since one may be reparented later."""
        found = []
        for pid in [self._popen.pid, *_descendants(self._popen.pid)]:
            with contextlib.suppress(psutil.Error):
                known = self._seen.get(pid)
                if known is None or not known.is_running():
                    known = self._seen[pid] = psutil.Process(pid)
                found.append(known)
        return found

    def _watch(self) -> None:
        """Enforce the limits on time and memory from outside, since code in the process cannot be trusted to."""
        polls = 0
        while not self._over.wait(_POLL_S):
            polls += 1
            self._output.shorten()
            if (deadline := self._deadline) is not None and time.monotonic() > deadline[0]:
                self.kill(deadline[1])
            elif polls % _TREE_EVERY_POLLS == 0 and self.tree_mib() > self._limits.memory_mib:
                self.kill(f"its process took more than {self._limits.memory_mib:,} MiB of memory")
            elif self._popen.poll() is not None:
                self._end(wait=False)  # a descendant may hold its end of the pipe open

    def _end(self, *, wait: bool) -> None:
        with self._ending:
            if self._over.is_set():
                return
            if wait:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(_END_TIMEOUT_S)
            if self._popen.poll() is None:
                self._tree()
                # The signal goes to the reaper, which kills all descendants before it exits.
                self._popen.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(_END_TIMEOUT_S)
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
            if self._popen.poll() is None:
                self._popen.kill()
                self._popen.wait()
            self._end_strays()
            self._over.set()

    def _end_strays(self) -> None:
        """Kill what a killed reaper left: processes seen before, and those that inherited our environment variable.

        A killed process may have started another one in the meantime, so repeat until none is found.
        """
        killed = []
        for process in self._seen.values():
            with contextlib.suppress(psutil.Error):
                if process.pid != self._popen.pid:
                    process.kill()  # psutil refuses if the pid was reused by another process
                    killed.append(process)
        for _ in range(_MOST_STRAY_ROUNDS):
            found = False
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error, OSError):
                    if process.environ().get(COOKIE) == self._cookie and process.status() != psutil.STATUS_ZOMBIE:
                        process.kill()
                        killed.append(process)
                        found = True
            if not found:
                break
        limit = time.monotonic() + _REAP_TIMEOUT_S
        while any(map(_is_alive, killed)) and time.monotonic() < limit:
            time.sleep(0.005)  # a killed process needs a moment to disappear

    def _ending_message(self) -> str:
        """Make sure that the process has ended, and return why there is no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_REAP_TIMEOUT_S)  # the pipe closes a moment before the process ends
        if self._popen.poll() is None:
            self.kill(CLOSED)
        self._end(wait=False)
        if self._killed_because is not None:
            return self._killed_because
        return describe_ending(self._popen.returncode, self._output.end())


class _Output:
    """The output of a process and its descendants: a file of which only the end is kept."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever made this
        self._before = b""
        """The end of the part that was discarded."""
        self._thrown_away = 0
        self._taken = 0
        """Bytes that were there when ``take`` was last called, thrown away or not."""
        self._looking = threading.Lock()
        with contextlib.suppress(ImportError):
            import fcntl

            # The flag belongs to the open file, so the process too appends at the end, wherever that is now.
            fcntl.fcntl(self.file, fcntl.F_SETFL, fcntl.fcntl(self.file, fcntl.F_GETFL) | os.O_APPEND)

    def shorten(self) -> None:
        """Discard the file's content if it is large."""
        if sys.platform == "win32" or self._size() <= _MOST_OUTPUT_IN_FILE:
            return
        with self._looking:
            self._thrown_away += self._size()
            self._before = self._last()
            os.ftruncate(self.file.fileno(), 0)

    def end(self) -> bytes:
        """Return the end of what was written."""
        with self._looking:
            return (self._before + self._last())[-MOST_STDERR_SHOWN:]

    def take(self) -> bytes:
        """The end of what was written since the last time."""
        with self._looking:
            total = self._thrown_away + self._size()
            new, self._taken = total - self._taken, total
            return (self._before + self._last())[-min(new, MOST_KEPT_BYTES) :] if new else b""

    def _size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def _last(self) -> bytes:
        start = max(0, self._size() - MOST_KEPT_BYTES)
        if sys.platform == "win32":
            self.file.seek(start)
            return self.file.read()  # up to the end, where the process goes on
        return os.pread(self.file.fileno(), MOST_KEPT_BYTES, start)  # from whatever thread


class _Pipes:
    """Both pipes of a process; reads and writes end with the process, if the platform can poll a pipe.

    A descendant may hold a copy of the process's end of a pipe, so that the end of the process alone would not end a
    read or a write.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes], over: threading.Event) -> None:
        self._requests = requests
        self._answers = answers
        self._over = over
        self._waits = hasattr(select, "poll")
        if self._waits:
            self._readable, self._writable = select.poll(), select.poll()
            self._readable.register(answers, select.POLLIN)
            self._writable.register(requests, select.POLLOUT)
            os.set_blocking(requests.fileno(), False)
        if sys.platform == "linux":
            with contextlib.suppress(OSError, ImportError):  # so that a long conversation is sent in one piece
                import fcntl

                fcntl.fcntl(requests, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def write(self, data: bytes) -> None:
        """Write all of ``data``, or raise OSError."""
        left = memoryview(data)
        while left:
            # A non-blocking write to a full pipe writes nothing (None) or a part.
            written = self._requests.write(left)
            if written:
                left = left[written:]
            elif self._waits and not self._writable.poll(_POLL_TIMEOUT_MS) and self._over.is_set():
                raise BrokenPipeError

    def read(self, size: int) -> bytes:
        """Wait for data and read it; empty at the end."""
        while self._waits and not self._readable.poll(_POLL_TIMEOUT_MS):
            if self._over.is_set():
                return b""
        return self._answers.read(size)

    def close_requests(self) -> None:
        """Close the request pipe, so that the process sees that no more requests come."""
        self._requests.close()

    def close(self) -> None:
        """Close both pipes."""
        self._requests.close()
        self._answers.close()


def _descendants(pid: int) -> list[int]:
    """Return the pids of all descendants of a process."""
    found: list[int] = []
    pending = [pid]
    try:
        while pending:
            children = _children(pending.pop())
            found += children
            pending += children
    except FileNotFoundError:  # a kernel that does not list children, or another system
        with contextlib.suppress(psutil.Error):
            return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    return found


def _children(pid: int) -> list[int]:
    """Return the pids of a process's children, without scanning all processes.

    Raises:
        FileNotFoundError: the system does not list children.
    """
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - called five times a second
    except OSError:
        if not Path("/proc/self/task").is_dir():
            raise FileNotFoundError from None
        return found
    for thread in threads:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii").split())
        except OSError:
            if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
                raise FileNotFoundError from None
    return found


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
