"""A shell that stays open in a container and runs one command after the other.

Starting an exec takes the engine tens of milliseconds, a command in an open shell three. ``shell.sh`` is the other
half. Nothing that a command may do to it is trusted: its answers are only text, counted and limited while they are
read, and a shell that was lost is replaced.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING

from twinbench.containers.stream import ExecStream

if TYPE_CHECKING:
    import docker

_SLACK_BYTES = 2**16
_START_TIMEOUT_S = 30.0
_ANSWER_BYTES = 64
"""The longest answer of the shell: a token, and a number of at most twenty digits."""

_SHELL = files(__package__).joinpath("shell.sh").read_text("utf-8")


class Ended(StrEnum):
    """How a command ended."""

    exited = "exited"
    timeout = "timeout"
    lost = "lost"
    """The command ended its shell, or the process that ran it."""
    not_run = "not_run"
    """The command was not run: earlier commands left the container in a state in which none can run."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    output: str
    """Its standard output and standard error in the order in which they arrived; if there is more than is kept, the
    beginning and the end with a line between them that says so. Bytes that are not UTF-8 are replaced."""
    exit_code: int | None
    """128 + n for signal n; None if it did not exit by itself."""
    ended: Ended
    output_bytes: int
    """The number of bytes that it wrote."""
    seconds: float
    reused: bool = False
    """Whether it did not run, and this is its earlier result after the same commands."""


class _Output:
    """The beginning and the end of a command's output, at most ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if (room := self._half - len(self._head)) > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half + _SLACK_BYTES:
            del self._tail[: -self._half]

    def text(self) -> str:
        tail = self._tail[-self._half :]
        left_out = self.size - len(self._head) - len(tail)
        middle = f"\n[… {left_out:,} bytes left out …]\n".encode() if left_out else b""
        return (self._head + middle + tail).decode("utf-8", "replace")


class Shell:
    """One exec in a container; for one thread at a time."""

    def __init__(
        self, api: docker.APIClient, container: str, interpreter: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Start the shell.

        Args:
            api: the engine's API.
            container: the id of a running container.
            interpreter: the program that runs a command, which is its last argument.
            environment: variables beside those of the image.
        """
        exec_id = api.exec_create(
            container,
            ["bash", "--norc", "--noprofile", "-s", "--", *interpreter],
            stdin=True,
            environment=dict(environment),
            workdir="/",  # the image's own directory may have been removed, and each command names its own
        )["Id"]
        self._stream = ExecStream(api, exec_id)
        try:
            self._stream.send(_SHELL.encode(), _START_TIMEOUT_S)
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Close the connection; the shell ends, and processes that commands left running continue."""
        self._stream.close()

    @property
    def error_output(self) -> str:
        """What the shell, or the engine in its place, wrote before the shell accepted commands."""
        return self._stream.error_output

    def check(self, within_s: float) -> None:
        """Let the interpreter run an empty command, to make sure that the shell accepts commands.

        Raises:
            TimeoutError: it did not answer in time.
            StreamLostError: the shell does not run.
        """
        self.start("", "/", _SLACK_BYTES).wait(time.monotonic() + within_s)

    def start(self, command: str, directory: str, keep_bytes: int) -> RunningCommand:
        """Start a command.

        Args:
            command: the interpreter's last argument; it ends at a NUL, which no argument can contain.
            directory: the working directory.
            keep_bytes: how much of its output is kept.

        Raises:
            StreamLostError: the shell does not accept it.
        """
        running = RunningCommand(self._stream, _Output(keep_bytes))
        fields = (running.token, running.cookie, directory, command.partition("\0")[0])
        self._stream.send(
            b"".join(field.encode("utf-8", "surrogateescape") + b"\0" for field in fields), _START_TIMEOUT_S
        )
        return running


class RunningCommand:
    """A command that was started."""

    def __init__(self, stream: ExecStream, output: _Output) -> None:
        self.token = uuid.uuid4().hex
        self.cookie = uuid.uuid4().hex
        """A token in the environment of every process that the command starts."""
        self.group: int | None = None
        """Its process group, once the shell has reported it."""
        self._stream = stream
        self._output = output
        self._unread = b""
        self._answer = re.compile(rb"%b (\d{1,20})\n" % self.token.encode())
        self._started = time.monotonic()

    def wait(self, until: float) -> int:
        """Return its exit code.

        Args:
            until: the time (``time.monotonic``) at which to stop waiting.

        Raises:
            TimeoutError: it has not ended by then; one may wait again.
            StreamLostError: the connection to it is lost.
        """
        while True:
            if (answer := self._answer.search(self._unread)) is not None:
                before, number = self._unread[: answer.start()], int(answer[1])
                self._unread = self._unread[answer.end() :]
                if self.group is not None:
                    self._output.add(before)
                    return number
                self.group = number  # earlier output comes from a process that an earlier command left running
                continue
            if len(self._unread) > _ANSWER_BYTES:
                if self.group is not None:
                    self._output.add(self._unread[:-_ANSWER_BYTES])
                self._unread = self._unread[-_ANSWER_BYTES:]
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._unread += self._stream.receive(left)

    def result(self, ended: Ended, exit_code: int | None = None) -> CommandResult:
        """Return its result; call it once."""
        if self.group is not None and ended is not Ended.exited:
            self._output.add(self._unread)
        seconds = time.monotonic() - self._started
        return CommandResult(self._output.text(), exit_code, ended, self._output.size, seconds)
