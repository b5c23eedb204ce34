"""The main function of a worker process: it receives pickled jobs on stdin and sends results on stdout."""

from __future__ import annotations

import ctypes
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from contextlib import suppress
from typing import IO, Any

from twinbench.errors import TwinbenchError
from twinbench.executing.executor import callable_name
from twinbench.unexpected import describe_error, traceback_text

_LENGTH = struct.Struct("!Q")

_PR_SET_PDEATHSIG = 1
"""Option of Linux's ``prctl`` that sets the signal that this process gets when the thread that started it ends."""


class ProcessJobError(TwinbenchError):
    """A job could not be run in another process, or not to its end."""


def write_frame(pipe: IO[bytes] | None, content: bytes) -> None:
    """Write a frame: the length of the content, then the content.

    Raises:
        OSError: the reader has closed the pipe.
    """
    assert pipe is not None  # noqa: S101 - each process has both pipes
    pipe.write(_LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def read_frame(pipe: IO[bytes] | None) -> bytes:
    """Read one frame that ``write_frame`` wrote.

    Raises:
        EOFError: the writer has closed the pipe.
    """
    assert pipe is not None  # noqa: S101 - each process has both pipes
    (length,) = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))
    return _read_exactly(pipe, length)


def _read_exactly(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main(caller: int) -> None:
    """Run jobs until the caller closes the job pipe or ends.

    Args:
        caller: the id of the process that started this one.
    """
    _end_with_caller(caller)
    own = os.getpid()
    jobs_from, answers_to = _take_pipes()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive_requests, args=(jobs_from, requests), daemon=True).start()
    try:
        while True:
            answer = _answer(requests.get())
            if os.getpid() != own:
                os._exit(1)  # a fork of this process in which the work returned: it must not answer
            write_frame(answers_to, answer)
    except BaseException:  # noqa: BLE001 - it ends the process
        traceback.print_exc()
        os._exit(1)  # a normal exit would wait for threads that the work left running


def _end_with_caller(caller: int) -> None:
    """Make Linux kill this process when its caller ends; does nothing on other systems."""
    if sys.platform == "linux":
        # The signal comes when the caller's thread that started this process ends, which it does not before the process
        # is no longer needed. If prctl is not allowed, the receiving thread still notices the caller's end.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != caller:  # the caller ended before the call above
        os._exit(1)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Move the job and answer pipes away from stdin and stdout, so that the work reads nothing and prints to stderr."""
    pipes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def close_pipes() -> None:
        for pipe in pipes:
            with suppress(OSError):  # the work may have closed it
                os.close(pipe)

    if hasattr(os, "register_at_fork"):
        # A surviving fork would keep the pipes open, and the caller would not notice that this process has ended.
        os.register_at_fork(after_in_child=close_pipes)
    return os.fdopen(pipes[0], "rb"), os.fdopen(pipes[1], "wb")


def _receive_requests(jobs_from: IO[bytes], requests: queue.SimpleQueue[bytes]) -> None:
    """Receive jobs in a thread, and end the process immediately when the caller has ended."""
    try:
        while True:
            requests.put(read_frame(jobs_from))
    finally:
        os._exit(1)


def _answer(request: bytes) -> bytes:
    """Run a job and pickle the answer: True and the result, or False and the exception."""
    try:
        work, job = pickle.loads(request)  # noqa: S301 - of our own code, which started this process
        result = work(job, None)
    except BaseException as error:  # noqa: BLE001 - raised again in the caller
        return _pickle_error(error)
    try:
        return pickle.dumps((True, result))
    except BaseException as error:  # noqa: BLE001 - a class can raise anything when it is pickled
        refused = f"the result of {callable_name(work)} cannot be pickled: {describe_error(error)}"
        return pickle.dumps((False, ProcessJobError(refused)))


def _pickle_error(error: BaseException) -> bytes:
    note = f"In a worker process:\n{traceback_text(error)}"
    told: Any = error
    if not isinstance(error, Exception):  # such as SystemExit, which would end the caller too
        told = ProcessJobError(f"the job ended its process: {describe_error(error)}")
    told.add_note(note)
    try:
        content = pickle.dumps((False, told))
        pickle.loads(content)  # noqa: S301 - some exceptions can be pickled but not unpickled
    except BaseException:  # noqa: BLE001 - a class can raise anything when it is pickled
        told = ProcessJobError(describe_error(error))
        told.add_note(note)
        return pickle.dumps((False, told))
    return content
