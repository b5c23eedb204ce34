"""A shell that is kept open in a container and runs one command after the other.

Starting an exec costs tens of milliseconds of the engine's time, a command in a kept shell three. ``shell.sh`` is the
other half. Nothing that a command does to it is trusted: its answers are only text, counted and bounded while they are
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
_TAKES_WITHIN_S = 30.0
_ANSWER_BYTES = 64
"""The longest answer of the shell: a token, and a number of at most twenty digits."""

_SHELL = files(__package__).joinpath("shell.sh").read_text("utf-8")


class Ended(StrEnum):
    """How a command ended."""

    exited = "exited"
    timeout = "timeout"
    lost = "lost"
    """It took its shell with it, or what ran it."""
    not_run = "not_run"
    """It was not run: an earlier command left nothing in the container that could run one."""


@dataclass(frozen=True)
class CommandResult:
    """What a command did."""

    output: str
    """What it wrote, standard output and error as they came; where it wrote more than is kept, the beginning and the
    end with a line between them that says so. Bytes that are no UTF-8 are replaced."""
    exit_code: int | None
    """128 + n for signal n; None where it did not exit by itself."""
    ended: Ended
    output_bytes: int
    """How much it wrote."""
    seconds: float
    reused: bool = False
    """Whether it did not run: this is what it gave an earlier time, after the same commands."""


class _Output:
    """The beginning and the end of what was written, at most ``limit`` bytes."""

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
    """One exec in a container; not for several threads at once."""

    def __init__(
        self, api: docker.APIClient, container: str, interpreter: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Start one.

        Args:
            api: of the engine.
            container: id of a running container.
            interpreter: what runs a command, which is its last argument.
            environment: variables beside those of the image.
        """
        exec_id = api.exec_create(
            container,
            ["bash", "--norc", "--noprofile", "-s", "--", *interpreter],
            stdin=True,
            environment=dict(environment),
            workdir="/",  # the image's own directory may be gone, and each command names its own
        )["Id"]
        self._stream = ExecStream(api, exec_id)
        try:
            self._stream.send(_SHELL.encode(), _TAKES_WITHIN_S)
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Let go of it; the shell ends, and what commands left running goes on."""
        self._stream.close()

    @property
    def complaint(self) -> str:
        """What it, or the engine in its place, said before it took commands."""
        return self._stream.complaint

    def try_out(self, within_s: float) -> None:
        """Let the interpreter run nothing: then the shell is known to take commands.

        Raises:
            TimeoutError: not in time.
            StreamLostError: the shell does not run.
        """
        self.start("", "/", _SLACK_BYTES).wait(time.monotonic() + within_s)

    def start(self, command: str, directory: str, keep_bytes: int) -> Running:
        """Start a command.

        Args:
            command: the interpreter's last argument; a NUL in it, which no argument can have, ends it.
            directory: where it runs.
            keep_bytes: how much of its output is kept.

        Raises:
            StreamLostError: the shell does not take it.
        """
        running = Running(self._stream, _Output(keep_bytes))
        fields = (running.token, running.cookie, directory, command.partition("\0")[0])
        self._stream.send(
            b"".join(field.encode("utf-8", "surrogateescape") + b"\0" for field in fields), _TAKES_WITHIN_S
        )
        return running


class Running:
    """A command that was started."""

    def __init__(self, stream: ExecStream, output: _Output) -> None:
        self.token = uuid.uuid4().hex
        self.cookie = uuid.uuid4().hex
        """In the environment of everything that the command starts."""
        self.group: int | None = None
        """Its process group, once the shell has said so."""
        self._stream = stream
        self._output = output
        self._unread = b""
        self._answer = re.compile(rb"%b (\d{1,20})\n" % self.token.encode())
        self._started = time.monotonic()

    def wait(self, until: float) -> int:
        """Its exit code.

        Args:
            until: the time (``time.monotonic``) at which to stop waiting.

        Raises:
            TimeoutError: it has not ended by then; one may wait again.
            StreamLostError: nothing will be heard of it any more.
        """
        while True:
            if (answer := self._answer.search(self._unread)) is not None:
                before, number = self._unread[: answer.start()], int(answer[1])
                self._unread = self._unread[answer.end() :]
                if self.group is not None:
                    self._output.add(before)
                    return number
                self.group = number  # what came before it, an earlier command left running wrote
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
        """What became of it; call once."""
        if self.group is not None and ended is not Ended.exited:
            self._output.add(self._unread)
        seconds = time.monotonic() - self._started
        return CommandResult(self._output.text(), exit_code, ended, self._output.size, seconds)
