"""The command ``twinbench`` in processes forked from one that has loaded it, which saves the second that loading takes.

What such a process reads and writes, which signals it takes and how it ends is that of one that was started.
``make acceptance PART=processes`` runs the same tests with processes that are started.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, Self

from tests.plugins.hosting import session_environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sysconfig.get_path("scripts")) / "twinbench"
"""The console script that an installation makes."""
OWN_PROCESSES_VARIABLE = "TWINBENCH_OWN_PROCESSES"
"""Set to 1, each command is a process of its own from the start."""

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION_3 = 0x20080522


class ForkedCommand:
    """A running command, with what ``subprocess.Popen`` has of it; its output goes to pipes."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: IO[bytes] | None = None,
        permissions_hold: bool = False,
    ) -> None:
        """Start it.

        Args:
            arguments: of the command line.
            environment: all environment variables; default: those of this process.
            cwd: its working directory; default: that of this process.
            stdin: what it reads; default: a pipe.
            permissions_hold: whether it gives up root's right to read and write any file.
        """
        self.stdin: IO[bytes] | None = None
        reads, writes = os.pipe()
        if stdin is None:
            self.stdin = os.fdopen(writes, "wb")  # closed by communicate, as the others are
        else:
            os.close(writes)
            os.dup2(stdin.fileno(), reads)
        theirs = [reads]
        reads, writes = os.pipe()
        self.stdout: IO[bytes] = os.fdopen(reads, "rb")
        theirs.append(writes)
        reads, writes = os.pipe()
        self.stderr: IO[bytes] = os.fdopen(reads, "rb")
        theirs.append(writes)
        reads, writes = os.pipe()
        self._status = os.fdopen(reads, "rb")  # closed when it has ended
        theirs.append(writes)
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(cwd or Path.cwd()),
            "permissions_hold": permissions_hold,
        }
        socket.send_fds(_loaded_process()[0], [json.dumps(order).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None
        self.peak_kib = 0
        """The most memory that it had, once it has ended."""
        self._ended = threading.Event()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        with self._status:
            self.returncode, self.peak_kib = json.loads(self._status.readline())
        self._ended.set()

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self.returncode if self._ended.is_set() else None

    def wait(self, timeout: float) -> int:
        """The same, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("twinbench", timeout)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, given: bytes = b"", timeout: float = 600) -> tuple[bytes, bytes]:
        """Write its standard input, wait for its end, and give its standard output and error.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        read: dict[str, bytes] = {}

        def drain(name: str, stream: IO[bytes]) -> None:
            with stream:
                read[name] = stream.read()

        streams = {"stdout": self.stdout, "stderr": self.stderr}
        threads = [threading.Thread(target=drain, args=each, daemon=True) for each in streams.items()]
        for thread in threads:
            thread.start()
        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self.stdin:
                self.stdin.write(given)
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return read["stdout"], read["stderr"]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait(120)


@cache
def _loaded_process() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A process that forks commands and ends with this one, and the connection to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forked", str(theirs.fileno())],
            cwd=ROOT,
            env=session_environment(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours, process


def load_commands() -> None:
    """Load what commands load when they first need it; nothing is opened, and no thread is left that forks lose."""
    import importlib
    import pkgutil

    import rich.table  # noqa: F401

    import twinbench.cli

    for module in pkgutil.walk_packages(twinbench.cli.__path__, "twinbench.cli."):
        importlib.import_module(module.name)
    from static_track import evaluator, intervals, scoring  # noqa: F401


def become_command(order: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Be a command in this process, which was forked for it, and give its exit code.

    Args:
        order: its ``arguments``, its ``environment`` and the ``folder`` that it runs in.
        descriptors: its standard input, output and error.
    """
    _take_the_place(order, descriptors)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["twinbench", *order["arguments"]]
    try:
        from twinbench.cli import run_in_process

        return run_in_process()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()


def _take_the_place(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Have the folder, the environment and the streams of a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _become_script(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the installed script, which begins anew."""
    _take_the_place(order, descriptors)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(SCRIPT, [str(SCRIPT), *order["arguments"]])  # noqa: S606 - no shell is meant


def _begins_anew(order: Mapping[str, Any]) -> bool:
    """Whether own processes are wanted, or the command has other variables that an interpreter reads when it starts."""
    others = _of_the_interpreter(os.environ) != _of_the_interpreter(order["environment"])
    return others or os.environ.get(OWN_PROCESSES_VARIABLE) == "1"


def _of_the_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def _fork_commands(connection: socket.socket) -> None:
    if os.environ.get(OWN_PROCESSES_VARIABLE) != "1":
        load_commands()
        gc.freeze()  # a command that looks for garbage would copy all of this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for commands
    while True:
        order, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 4)
        if not order:
            return
        if os.fork() == 0:
            connection.close()
            _wait_for_command(json.loads(order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _wait_for_command(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Fork a command and tell its process id, and in the end its exit code and the most memory that it had."""
    *streams, told = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (command := os.fork()) == 0:
        os.close(told)
        if order["permissions_hold"]:
            _give_up_roots_privileges()
        try:
            if _begins_anew(order):
                _become_script(order, streams)
            code = become_command(order, streams)
        except BaseException:  # noqa: BLE001 - nothing of this process may go on
            os._exit(70)
        os._exit(code)
    for descriptor in streams:
        os.close(descriptor)
    os.write(told, f"{command}\n".encode())
    _, status, usage = os.wait4(command, 0)
    os.write(told, json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]).encode() + b"\n")
    os._exit(0)


def _give_up_roots_privileges() -> None:
    """Give up root's right to read and write any file, also for what this process starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    given_up = (1 << _CAP_DAC_OVERRIDE) | (1 << _CAP_DAC_READ_SEARCH)
    head = array.array("I", [_CAPABILITY_VERSION_3, 0])
    sets = array.array("I", [0] * 6)  # effective, permitted and inheritable: their lower halves, then their upper ones
    places = [ctypes.c_void_p(each.buffer_info()[0]) for each in (head, sets)]
    assert libc.capget(*places) == 0
    for number in range(3):
        sets[number] &= ~given_up
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        assert libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
    assert libc.capset(*places) == 0


if __name__ == "__main__":
    _fork_commands(socket.socket(fileno=int(sys.argv[1])))
