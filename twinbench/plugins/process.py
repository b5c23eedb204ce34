"""A router's process as one that asks it sees it, on this machine or in a container: requests, answers, deadlines."""

from __future__ import annotations

import secrets
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from twinbench.plugins.answers import (
    Answer,
    AnswerError,
    AnswerKind,
    Failure,
    Question,
    QuestionContent,
    check_answer,
    read_body,
)
from twinbench.plugins.host import PIPE_LOST
from twinbench.plugins.wire import request_frame
from twinbench.routing.router import RouterError

CLOSED = "its process closed its pipe to twinbench"

MOST_STDERR_SHOWN = 500
"""Bytes of the end of what a process wrote to standard error, where its end is told."""

_NUMBER_BITS = 52
"""Of the number of a request: an integer that every JSON reader has exactly."""

Serve = Callable[[QuestionContent], Mapping[str, Any]]
"""Answers what a router's process asks while it decides."""


def ending(code: int, stderr: bytes) -> str:
    """How a process ended, in words.

    Args:
        code: its exit code; -n for signal n.
        stderr: the end of what it wrote there.
    """
    if code == PIPE_LOST:
        return CLOSED
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    last_words = f"; its last words: {lines[-1]}" if lines else ""
    if code < 0:
        return f"its process was killed by signal {-code} ({_signal_name(-code)}){last_words}"
    return f"its process exited with code {code}{last_words}"


class RouterProcess(ABC):
    """A router's process: requests go in, answers come out, and its limits are enforced from outside."""

    def __init__(self) -> None:
        self.took_ms: float | None = None
        """How long the latest answer took, from the request sent until it had arrived; of a request without an answer,
        until that was known."""
        self._number = 0
        self._deadline: tuple[float, str] | None = None
        """Until when an answer must be there (``time.monotonic``), and what is wrong where it is not."""
        self._killed_because: str | None = None

    def ask(
        self,
        request: Mapping[str, Any],
        kind: AnswerKind[Answer, Failure],
        within_s: float,
        what: str,
        serve: Serve | None = None,
        late: str = "",
    ) -> Answer | Failure:
        """Send a request and wait for its answer.

        Args:
            request: what is asked.
            kind: what may come back.
            within_s: how long it may take.
            what: the name of that which takes so long.
            serve: answers the questions that it asks before; how long that takes does not count.
            late: goes on to say what to do where it takes longer.

        Raises:
            FrameError: it cannot be sent; nothing was.
            RouterError: there is no answer, or one that cannot be used; the process is gone.
        """
        self.took_ms = None
        # Not a count: an answer that is sent before its question would be right, and take no time at all.
        self._number = secrets.randbits(_NUMBER_BITS)
        frame = request_frame({**request, "number": self._number})
        self._deadline = (time.monotonic() + within_s, f"{what} took longer than {within_s:g} s{late}")
        started = time.perf_counter()
        try:
            self._write(frame)
            while True:
                body = read_body(self._read, may_ask=serve is not None and kind.may_ask)
                self.took_ms = _ms_since(started)
                self._refuse_late()
                answer = check_answer(body, self._number, kind)
                if not isinstance(answer, Question):
                    return answer
                assert serve is not None  # noqa: S101 - given wherever a question may come
                self._write(self._served(serve, answer.ask))
        except (EOFError, OSError):
            self._deadline = None  # whatever happened, it was not that
            self.took_ms = _ms_since(started)
            raise RouterError(self._obituary()) from None
        except AnswerError as error:
            self.took_ms = _ms_since(started)
            self.kill(f"its process {error}")
            raise RouterError(self._obituary()) from None
        finally:
            self._deadline = None

    def _refuse_late(self) -> None:
        """What watches the deadline from outside looks now and then only; what comes in between is late all the same.

        Raises:
            EOFError: an answer came after its deadline.
        """
        if self._deadline is not None and time.monotonic() > self._deadline[0]:
            self.kill(self._deadline[1])
            raise EOFError

    def _served(self, serve: Serve, question: QuestionContent) -> bytes:
        """The frame of the reply to a question; meanwhile the deadline stands still."""
        assert self._deadline is not None  # noqa: S101 - something is asked of the process
        until, late = self._deadline
        left_s = until - time.monotonic()
        self._deadline = None
        frame = request_frame({**serve(question), "do": "reply", "number": self._number})
        self._deadline = (time.monotonic() + left_s, late)
        return frame

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write all of it, or raise OSError."""

    @abstractmethod
    def _read(self, size: int) -> bytes:
        """Wait for something and read it; nothing at the end."""

    @abstractmethod
    def _obituary(self) -> str:
        """Why there is no answer; the process is gone after this."""

    @abstractmethod
    def kill(self, because: str) -> None:
        """End the process and all that it started, now."""

    @abstractmethod
    def close(self) -> None:
        """Let the process end, and see that it and all that it started do."""

    @abstractmethod
    def new_output(self, *, patient: bool) -> bytes:
        """The end of what the process printed since this was last asked, as far as it arrived.

        Args:
            patient: wait a moment for what may be under way.
        """

    @abstractmethod
    def tree_mib(self) -> float:
        """Resident memory of the process and its descendants."""


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
