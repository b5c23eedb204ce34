"""Jobs in processes of their own: computation alone, which threads of one interpreter would do one after the other."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import Signals
from types import FunctionType
from typing import Any, Generic

from twinbench.display.wording import shortened
from twinbench.executing.executor import Job, Result, name_of, require_workers
from twinbench.executing.threads import Threads
from twinbench.executing.worker import ProcessJobError, read_frame, write_frame
from twinbench.unexpected import describe_error

_BOOT = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import twinbench.executing.worker
twinbench.executing.worker.main(int(sys.argv[2]))
"""

_PASSED_ENVIRONMENT = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""What computation may depend on; keys of providers are none of it."""

_MOST_CHARACTERS = 200
"""Of a job, in an error that names it."""

_ENDING_S = 5.0
"""How long a process that answers no more may take to end by itself, in seconds; its own end tells more than ours."""


class ProcessLostError(ProcessJobError):
    """A job's process ended before the job did."""


def usable_cores() -> int:
    """How many processor cores this process may use; fewer than there are where it is bound to some (``taskset``)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Generic[Job, Result]):
    """An executor of processes, each of which takes the next job when it is done with one.

    ``work`` is a function of a module that can be imported, of a job and None: there is nothing to say of the place. A
    job and its result are pickled. A process is a new interpreter that imports what the job needs, and not the
    caller's main module: so a script or a notebook needs no precautions, and their own functions and classes can be
    neither the work nor in a job. It has none of the caller's open files and few of its environment variables. It has
    nothing to read on standard input, and what it prints goes to standard error.

    A process that dies fails the job that it had with ProcessLostError, and another takes its place for the next job.
    A copy that a job makes of its process (``os.fork``) is ended where the job returns in it.

    An interrupt ends the processes without waiting for their jobs. On Linux, none outlives its caller, however that
    ends and whatever the job does. Elsewhere a thread of the process notices that the caller has ended, which it cannot
    while the process is stopped or one long call of the job's does not let other threads run: it ends after that.
    Processes that a job starts itself, copies among them, are for the job to end.
    """

    def __init__(self, workers: int) -> None:
        """Take no process yet.

        Args:
            workers: how many processes at once; 1 at least. None is started for which there is no job.

        Raises:
            ValueError: there is none.
        """
        require_workers(workers)
        self._workers = workers

    @property
    def workers(self) -> int:
        """How many jobs are worked on at once."""
        return self._workers

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, None], Result],
        ended: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Bring each job to its end.

        Raises:
            ProcessJobError: ``work`` cannot be imported elsewhere, which is found before a job is begun; a job or its
                result cannot be pickled; or a process was lost.
            Exception: what a job raised first, with the traceback of its process as a note.
        """
        _pickled(work, name_of(work))
        if not jobs:
            return
        children = [_Child() for _ in range(min(self._workers, len(jobs)))]

        def kill_all() -> None:
            for child in children:
                child.kill()

        def send(job: Job, child: _Child) -> Result:
            result: Result = child.work_on(work, job)
            return result

        threads: Threads[Job, _Child, Result] = Threads(dict.fromkeys(children, 1), interrupt=kill_all)
        try:
            threads.run(jobs, send, ended, stop)
        finally:
            for child in children:
                child.close()


class _Child:
    """A process that works on one job at a time; started when there is one, and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_given_up = False
        self._starting = threading.Lock()

    def work_on(self, work: Callable[[Any, None], Any], job: Any) -> Any:
        """What the work on a job gives.

        Raises:
            ProcessJobError: the job cannot be sent, its result cannot, or the process was lost.
            Exception: what the work raised.
        """
        request = _pickled((work, job), _named(job))
        process = self._running()
        try:
            write_frame(process.stdin, request)
            answer = read_frame(process.stdout)
        except (EOFError, OSError):
            raise ProcessLostError(_how_lost(process, job)) from None
        try:
            succeeded, content = pickle.loads(answer)  # noqa: S301 - of our own code, in our own process
        except BaseException as error:  # SystemExit too, of which no class may make an end of the caller
            raise ProcessJobError(f"what {_named(job)} gave back cannot be read: {describe_error(error)}") from error
        if not succeeded:
            raise content
        return content

    def kill(self) -> None:
        """End it, and let it be started no more."""
        with self._starting:
            self._is_given_up = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End it, and give back what it took; no thread may be waiting for it."""
        self.kill()
        self._forget()

    def _running(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._is_given_up:
                raise ProcessLostError("no process is started for a job any more, since all are interrupted")
            if self._process is None or self._process.poll() is not None:
                self._forget()
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=_standard_error(),
                    env={name: os.environ[name] for name in _PASSED_ENVIRONMENT if name in os.environ},
                    start_new_session=True,  # what a terminal sends to all that run in it is for the caller to act on
                )
            return self._process

    def _forget(self) -> None:
        if self._process is not None:
            with suppress(OSError), self._process:  # what is still to be written has no reader
                pass
            self._process = None


def _standard_error() -> int | None:
    """What ``Popen`` takes for a process's: the caller's, or nothing where the caller was started without any.

    Its number may be that of another file by now, which no process inherits.
    """
    try:
        is_there = os.get_inheritable(2)
    except OSError:
        is_there = False
    return None if is_there else subprocess.DEVNULL


class _Pickler(pickle.Pickler):
    """Refuses what stands in the main module, which another process would look for in its own, or find another in."""

    def reducer_override(self, found: Any) -> Any:
        if isinstance(found, type | FunctionType) and found.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{found.__qualname__} stands in the script or notebook that runs; move it to a module that is imported"
            )
        return NotImplemented


def _pickled(content: object, name: str) -> bytes:
    """Content as bytes; an error calls it by its name."""
    into = io.BytesIO()
    try:
        _Pickler(into).dump(content)
    except Exception as error:
        raise ProcessJobError(
            f"{name} cannot be sent to a process of its own: {describe_error(error)}. Work has to be a function of a "
            "module that can be imported, and a job something that can be pickled, of classes of such modules"
        ) from error
    return into.getvalue()


def _named(job: object) -> str:
    return shortened(repr(job), _MOST_CHARACTERS)


def _how_lost(process: subprocess.Popen[bytes], job: object) -> str:
    """How a process came to its end that answers no more; it is killed where it does not come to one soon."""
    what = f"the process that worked on {_named(job)}"
    try:
        code = process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"{what} closed the pipe through which it answers, and was ended"
    if code >= 0:
        return f"{what} ended with exit code {code} before it was done"
    number = -code
    name = next((signal.name for signal in Signals if signal == number), f"signal {number}")
    memory = "; a system that is out of memory does that" if name == "SIGKILL" else ""
    return f"{what} was killed by {name} before it was done{memory}"
