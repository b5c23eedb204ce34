"""Run computation jobs in separate processes, since threads of one Python interpreter do not compute in parallel."""

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

from twinbench.display.wording import shorten
from twinbench.executing.executor import Job, Result, callable_name, require_workers
from twinbench.executing.threads import Threads
from twinbench.executing.worker import ProcessJobError, read_frame, write_frame
from twinbench.unexpected import describe_error

_BOOT = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import twinbench.executing.worker
twinbench.executing.worker.main(int(sys.argv[2]))
"""

_INHERITED_VARIABLES = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""Environment variables that a process inherits: those that computation may depend on, and no API keys."""

_MAX_JOB_CHARACTERS = 200
"""Largest length of a job's text in an error message."""

_END_TIMEOUT_S = 5.0
"""Seconds that a process that closed its pipe gets to end by itself, since its exit code tells more than a kill."""


class ProcessLostError(ProcessJobError):
    """The process of a job ended before the job was done."""


def usable_cores() -> int:
    """Return how many processor cores this process may use, which may be restricted (``taskset``)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Generic[Job, Result]):
    """An executor that runs jobs in processes; each process takes the next job when it has finished one.

    ``work`` must be a function in an importable module. It is called with a job and None, since there are no places.
    Jobs and results are pickled. A process is a new interpreter that imports what the job needs, but not the caller's
    main module. Therefore scripts and notebooks need no precautions, but functions and classes that they define cannot
    be used as work or in jobs. A process has none of the caller's open files and few of its environment variables. Its
    standard input is empty, and what it prints goes to standard error.

    If a process dies, its job fails with ``ProcessLostError``, and a new process is started for the next job. If a job
    forks its process (``os.fork``), the copy is ended when the job returns in it.

    An interrupt ends the processes without waiting for their jobs. On Linux, no process outlives its caller, however
    the caller ends. On other systems a thread of the process notices that the caller has ended; it cannot do so while
    the process is stopped, or while a long call in the job does not release the interpreter lock. A job has to end the
    processes that it starts itself, including forks.
    """

    def __init__(self, workers: int) -> None:
        """Make an executor; processes are only started once there are jobs.

        Args:
            workers: the largest number of processes, at least 1.

        Raises:
            ValueError: ``workers`` is less than 1.
        """
        require_workers(workers)
        self._workers = workers

    @property
    def workers(self) -> int:
        """The largest number of jobs that run at the same time."""
        return self._workers

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, None], Result],
        on_end: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Run all jobs to their end.

        Raises:
            ProcessJobError: ``work`` cannot be imported in another process (checked before any job is begun), a job or
                its result cannot be pickled, or a process was lost.
            Exception: the first exception of a job, with the traceback from its process as a note.
        """
        _pickle(work, callable_name(work))
        if not jobs:
            return
        children = [_WorkerProcess() for _ in range(min(self._workers, len(jobs)))]

        def kill_all() -> None:
            for child in children:
                child.kill()

        def send(job: Job, child: _WorkerProcess) -> Result:
            result: Result = child.work_on(work, job)
            return result

        threads: Threads[Job, _WorkerProcess, Result] = Threads(dict.fromkeys(children, 1), interrupt=kill_all)
        try:
            threads.run(jobs, send, on_end, stop)
        finally:
            for child in children:
                child.close()


class _WorkerProcess:
    """A process that runs one job at a time; it is started for its first job, and again if it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def work_on(self, work: Callable[[Any, None], Any], job: Any) -> Any:
        """Run a job in the process and return its result.

        Raises:
            ProcessJobError: the job or its result cannot be transferred, or the process was lost.
            Exception: the exception that the work raised.
        """
        request = _pickle((work, job), _short_repr(job))
        process = self._running_process()
        try:
            write_frame(process.stdin, request)
            answer = read_frame(process.stdout)
        except (EOFError, OSError):
            raise ProcessLostError(_describe_loss(process, job)) from None
        try:
            succeeded, content = pickle.loads(answer)  # noqa: S301 - of our own code, in our own process
        except BaseException as error:  # also SystemExit, which must not end the caller
            raise ProcessJobError(
                f"the result of {_short_repr(job)} cannot be unpickled: {describe_error(error)}"
            ) from error
        if not succeeded:
            raise content
        return content

    def kill(self) -> None:
        """Kill the process and prevent it from being started again."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Kill the process and release its resources; no thread may be waiting for it."""
        self.kill()
        self._release()

    def _running_process(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise ProcessLostError("the jobs were interrupted, so no further process is started")
            if self._process is None or self._process.poll() is not None:
                self._release()
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=_stderr_for_popen(),
                    env={name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ},
                    start_new_session=True,  # only the caller should receive Ctrl-C from the terminal
                )
            return self._process

    def _release(self) -> None:
        if self._process is not None:
            with suppress(OSError), self._process:  # unwritten data has no reader any more
                pass
            self._process = None


def _stderr_for_popen() -> int | None:
    """Return the ``stderr`` argument of ``Popen``: inherit the caller's standard error, or discard if it has none.

    Descriptor 2 may have been reused for another file, which is not inheritable.
    """
    try:
        is_there = os.get_inheritable(2)
    except OSError:
        is_there = False
    return None if is_there else subprocess.DEVNULL


class _Pickler(pickle.Pickler):
    """A pickler that refuses functions and classes of the main module, since another process has a different one."""

    def reducer_override(self, found: Any) -> Any:
        if isinstance(found, type | FunctionType) and found.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{found.__qualname__} is defined in the script or notebook that runs; move it to an imported module"
            )
        return NotImplemented


def _pickle(content: object, name: str) -> bytes:
    """Pickle an object; ``name`` is its name in an error."""
    into = io.BytesIO()
    try:
        _Pickler(into).dump(content)
    except Exception as error:
        raise ProcessJobError(
            f"{name} cannot be sent to another process: {describe_error(error)}. Work must be a function of an "
            "importable module, and a job must be picklable, with classes of importable modules only"
        ) from error
    return into.getvalue()


def _short_repr(job: object) -> str:
    return shorten(repr(job), _MAX_JOB_CHARACTERS)


def _describe_loss(process: subprocess.Popen[bytes], job: object) -> str:
    """Describe how a process ended that closed its pipe; kill it if it does not end soon."""
    what = f"the process of {_short_repr(job)}"
    try:
        code = process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"{what} closed its answer pipe and was killed"
    if code >= 0:
        return f"{what} ended with exit code {code} before it was done"
    number = -code
    name = next((signal.name for signal in Signals if signal == number), f"signal {number}")
    memory = "; this happens if the system is out of memory" if name == "SIGKILL" else ""
    return f"{what} was killed by {name} before it was done{memory}"
