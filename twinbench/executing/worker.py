"""What runs in a process of its own that works on jobs: they come and are answered through the pipes it begins with."""

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
"""Of Linux's ``prctl``: the signal that this process gets when the thread that started it ends."""


class ProcessJobError(TwinbenchError):
    """A job that could not be worked on in a process of its own, or not to its end."""


def write_frame(pipe: IO[bytes] | None, content: bytes) -> None:
    """Write bytes so that the other side knows where they end.

    Raises:
        OSError: nobody reads any more.
    """
    assert pipe is not None  # noqa: S101 - each process has both pipes
    pipe.write(_LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def read_frame(pipe: IO[bytes] | None) -> bytes:
    """What was written at once.

    Raises:
        EOFError: whoever writes has ended.
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
    """Work on jobs until nobody wants any more.

    Args:
        caller: the number of the process that started this one.
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
                os._exit(1)  # a copy of this process that the work made (os.fork) and let return: no answer is its own
            write_frame(answers_to, answer)
    except BaseException:  # noqa: BLE001 - the process ends by it
        traceback.print_exc()
        os._exit(1)  # an orderly end waits for threads that the work has left


def _end_with_caller(caller: int) -> None:
    """Have this process ended when its caller ends, whatever it does then; only Linux can do that."""
    if sys.platform == "linux":
        # A thread of the caller's starts this process and stays until it is needed no more. Where this is not allowed,
        # there is still the thread that listens.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != caller:  # it ended before that
        os._exit(1)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Where jobs come from and answers go to, which the work does not meet: it reads nothing and prints to stderr."""
    pipes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def close_pipes() -> None:
        for pipe in pipes:
            with suppress(OSError):  # the work has closed it
                os.close(pipe)

    if hasattr(os, "register_at_fork"):
        # A copy of this process that lives on would keep the caller from noticing that this one has ended.
        os.register_at_fork(after_in_child=close_pipes)
    return os.fdopen(pipes[0], "rb"), os.fdopen(pipes[1], "wb")


def _receive_requests(jobs_from: IO[bytes], requests: queue.SimpleQueue[bytes]) -> None:
    """Take jobs, and end the process in the middle of one where the caller has ended."""
    try:
        while True:
            requests.put(read_frame(jobs_from))
    finally:
        os._exit(1)


def _answer(request: bytes) -> bytes:
    """Whether the work on a job gave anything, and that or what it raised; pickled."""
    try:
        work, job = pickle.loads(request)  # noqa: S301 - of our own code, which started this process
        result = work(job, None)
    except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
        return _pickle_error(error)
    try:
        return pickle.dumps((True, result))
    except BaseException as error:  # noqa: BLE001 - whatever a class does when it is pickled
        refused = f"what {callable_name(work)} gave back cannot be pickled: {describe_error(error)}"
        return pickle.dumps((False, ProcessJobError(refused)))


def _pickle_error(error: BaseException) -> bytes:
    note = f"In a process of its own:\n{traceback_text(error)}"
    told: Any = error
    if not isinstance(error, Exception):  # which would end the caller too
        told = ProcessJobError(f"the job ended its process: {describe_error(error)}")
    told.add_note(note)
    try:
        content = pickle.dumps((False, told))
        pickle.loads(content)  # noqa: S301 - some errors can be pickled and not read again
    except BaseException:  # noqa: BLE001 - whatever a class does when it is pickled
        told = ProcessJobError(describe_error(error))
        told.add_note(note)
        return pickle.dumps((False, told))
    return content
