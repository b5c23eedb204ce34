"""The interface to a router's process, on this machine or in a container: requests, answers, deadlines."""

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
from twinbench.plugins.wire import encode_request
from twinbench.routing.router import RouterError

CLOSED = "its process closed its pipe to twinbench"

MOST_STDERR_SHOWN = 500
"""How many bytes of the end of standard error are shown when a process has ended."""

_NUMBER_BITS = 52
"""Bits of a request's number: every JSON reader represents such an integer exactly."""

AnswerQuestion = Callable[[QuestionContent], Mapping[str, Any]]
"""Answers an LLM question that a router's process sends while it decides."""


def describe_ending(code: int, stderr: bytes) -> str:
    """Describe how a process ended.

    Args:
        code: its exit code; -n for signal n.
        stderr: the end of its standard error.
    """
    if code == PIPE_LOST:
        return CLOSED
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    last_words = f"; last line of standard error: {lines[-1]}" if lines else ""
    if code < 0:
        return f"its process was killed by signal {-code} ({_signal_name(-code)}){last_words}"
    return f"its process exited with code {code}{last_words}"


class RouterProcess(ABC):
    """A router's process: requests go in, answers come out, and limits are enforced from outside."""

    def __init__(self) -> None:
        self.took_ms: float | None = None
        """Milliseconds from sending the last request until its answer arrived, or until it was known that none will."""
        self._number = 0
        self._deadline: tuple[float, str] | None = None
        """The time (``time.monotonic``) by which an answer must arrive, and the error message if it does not."""
        self._killed_because: str | None = None

    def ask(
        self,
        request: Mapping[str, Any],
        kind: AnswerKind[Answer, Failure],
        timeout_s: float,
        operation: str,
        serve: AnswerQuestion | None = None,
        late: str = "",
    ) -> Answer | Failure:
        """Send a request and wait for its answer.

        Args:
            request: the request.
            kind: the frames that may answer it.
            timeout_s: the time limit in seconds.
            operation: a name for the operation, used in the timeout message.
            serve: answers LLM questions that come before the answer; this time does not count.
            late: goes on to say what to do where it takes longer.

        Raises:
            FrameError: the request cannot be encoded; nothing was sent.
            RouterError: there is no valid answer; the process has ended.
        """
        self.took_ms = None
        # Random, not a counter: otherwise the process could send the next answer in advance, in no measured time.
        self._number = secrets.randbits(_NUMBER_BITS)
        frame = encode_request({**request, "number": self._number})
        self._deadline = (time.monotonic() + timeout_s, f"{operation} took longer than {timeout_s:g} s{late}")
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
                assert serve is not None  # noqa: S101 - given whenever questions are allowed
                self._write(self._answer_question(serve, answer.ask))
        except (EOFError, OSError):
            self._deadline = None  # it was not a timeout
            self.took_ms = _ms_since(started)
            raise RouterError(self._ending_message()) from None
        except AnswerError as error:
            self.took_ms = _ms_since(started)
            self.kill(f"its process {error}")
            raise RouterError(self._ending_message()) from None
        finally:
            self._deadline = None

    def _refuse_late(self) -> None:
        """Refuse an answer that came after its deadline, before the watcher thread noticed.

        Raises:
            EOFError: an answer came after its deadline.
        """
        if self._deadline is not None and time.monotonic() > self._deadline[0]:
            self.kill(self._deadline[1])
            raise EOFError

    def _answer_question(self, serve: AnswerQuestion, question: QuestionContent) -> bytes:
        """Answer an LLM question and return the reply's frame; meanwhile the deadline is suspended."""
        assert self._deadline is not None  # noqa: S101 - a request is open
        until, late = self._deadline
        left_s = until - time.monotonic()
        self._deadline = None
        frame = encode_request({**serve(question), "do": "reply", "number": self._number})
        self._deadline = (time.monotonic() + left_s, late)
        return frame

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write all of ``data``, or raise OSError."""

    @abstractmethod
    def _read(self, size: int) -> bytes:
        """Wait for data and read it; empty at the end."""

    @abstractmethod
    def _ending_message(self) -> str:
        """Make sure that the process has ended, and return why there is no answer."""

    @abstractmethod
    def kill(self, because: str) -> None:
        """Kill the process and all its descendants now."""

    @abstractmethod
    def close(self) -> None:
        """Let the process end, and make sure that it and all its descendants do."""

    @abstractmethod
    def read_new_stderr(self, *, wait: bool) -> bytes:
        """Return the end of what the process printed to standard error since the last call; may be incomplete.

        Args:
            wait: whether to wait a moment for output that may still arrive.
        """

    @abstractmethod
    def tree_mib(self) -> float:
        """Return the resident memory of the process and its descendants in MiB."""


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
