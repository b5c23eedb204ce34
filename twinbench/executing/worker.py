"""What runs in a process of its own that works on jobs: read from standard input, answered on standard output."""

from __future__ import annotations

import os
import pickle
import queue
import struct
import sys
import threading
from typing import IO, Any

from twinbench.errors import TwinbenchError
from twinbench.unexpected import describe_error, traceback_text

_LENGTH = struct.Struct("!Q")


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
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return _read(pipe, length)


def _read(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Work on jobs until nobody wants any more."""
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the work prints must not come between answers
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        write_frame(answers, _answer(requests.get()))


def _listen(requests: queue.SimpleQueue[bytes]) -> None:
    """Take jobs, and end the process in the middle of one where the caller has ended."""
    try:
        while True:
            requests.put(read_frame(sys.stdin.buffer))
    finally:
        os._exit(1)


def _answer(request: bytes) -> bytes:
    """Whether the work on a job gave anything, and that or what it raised; pickled."""
    try:
        work, job = pickle.loads(request)  # noqa: S301 - of our own code, which started this process
        result = work(job, None)
    except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
        return _failure(error)
    try:
        return pickle.dumps((True, result))
    except Exception as error:  # noqa: BLE001 - whatever a class does when it is pickled
        refused = f"what {work.__qualname__} gave back cannot be pickled: {describe_error(error)}"
        return pickle.dumps((False, ProcessJobError(refused)))


def _failure(error: BaseException) -> bytes:
    note = f"In a process of its own:\n{traceback_text(error)}"
    told: Any = error
    if not isinstance(error, Exception):  # which would end the caller too
        told = ProcessJobError(f"the job ended its process: {describe_error(error)}")
    told.add_note(note)
    try:
        content = pickle.dumps((False, told))
        pickle.loads(content)  # noqa: S301 - some errors can be pickled and not read again
    except Exception:  # noqa: BLE001 - whatever a class does when it is pickled
        told = ProcessJobError(describe_error(error))
        told.add_note(note)
        return pickle.dumps((False, told))
    return content
