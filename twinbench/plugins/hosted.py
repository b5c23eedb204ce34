"""A router in a process of its own, as an object that can be asked like any other.

What a router does to its process costs that router's row and no more: a crash, an exit, a hang, memory without end or a
broken pipe ends the process; the next call gets a new one. This contains accidents, not attackers: docs/routers.md
lists what only strict isolation refuses.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, cast

import psutil

from twinbench.errors import TwinbenchError, UsageError
from twinbench.plugins.host import PIPE_LOST
from twinbench.plugins.wire import (
    MOST_ANSWER_BYTES,
    FrameError,
    call_head,
    candidate_to_json,
    outcome_to_json,
    read_frame,
    write_frame,
)
from twinbench.router import Call, Candidate, Decision, Outcome, RouterError

PASSED_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "SYSTEMROOT", "NUMBER_OF_PROCESSORS")
"""Environment variables that a router sees beside those that the user names."""

LARGEST_FILE_BYTES = 512 * 2**20
MOST_OPEN_FILES = 1024

_COOKIE = "TWINBENCH_ROUTER_PROCESS"
_RUNTIME = ("__init__.py", "tiers.py", "usage.py", "router.py", "routers.py")
_RUNTIME_PLUGINS = ("__init__.py", "arguments.py", "host.py", "provenance.py", "trb.py", "wire.py")
_POLL_S = 0.05
_TREE_EVERY_POLLS = 4
_END_WITHIN_S = 3.0
_MOST_STDERR_SHOWN = 500


@dataclass(frozen=True)
class PluginLimits:
    """What a router's process may take; each is an option of the command line."""

    load_s: float = 120.0
    decision_s: float = 30.0
    memory_mib: int = 4096
    python: str | None = None
    """The interpreter of the router's own environment; None for twinbench's."""
    environment: tuple[str, ...] = ()
    """Further variables that the router may see."""
    watch: bool = False
    """Notice what a decision changes and reaches for (``router check``)."""


class RouterLoadError(TwinbenchError):
    """A router whose code failed while it was loaded."""


def missing_limits() -> list[str]:
    """What this platform cannot limit, for the person who relies on it."""
    missing = []
    if sys.platform != "linux":
        missing.append("processes that leave the router's process group are found by their environment only")
    if os.name != "posix":
        missing.append("no limit on file size, open files or core dumps")
    return missing


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """A temporary folder with the files that a router's process runs, and nothing else of twinbench."""
    package = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory(prefix="twinbench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        plugins = folder / "runtime" / "twinbench" / "plugins"
        plugins.mkdir(parents=True)
        for file in _RUNTIME:
            shutil.copyfile(package / file, plugins.parent / file)
        for file in _RUNTIME_PLUGINS:
            shutil.copyfile(package / "plugins" / file, plugins / file)
        for script, module in (("start", "host"), ("describe", "provenance")):
            text = f"from twinbench.plugins.{module} import main\n\nmain()\n"
            (folder / "runtime" / f"{script}.py").write_text(text, "utf-8")
        (folder / "home").mkdir()
        yield folder


class _Process:
    """One life of a router's process."""

    def __init__(self, folder: Path, limits: PluginLimits) -> None:
        self._limits = limits
        self._cookie = uuid.uuid4().hex
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._deadline: tuple[float, str] | None = None
        self._killed_because: str | None = None
        self._over = threading.Event()
        home = str(folder / "home")
        environment = {
            name: os.environ[name] for name in (*PASSED_ENVIRONMENT, *limits.environment) if name in os.environ
        }
        for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
            environment.setdefault(name, home)
        environment[_COOKIE] = self._cookie
        resource_limits = {"RLIMIT_FSIZE": LARGEST_FILE_BYTES, "RLIMIT_NOFILE": MOST_OPEN_FILES}
        self._popen = subprocess.Popen(  # noqa: S603 - running the router's code is what this is for
            [
                limits.python or sys.executable,
                str(folder / "runtime" / "start.py"),
                *(f"{name}={number}" for name, number in resource_limits.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
        self._requests = cast("IO[bytes]", self._popen.stdin)
        self._answers = cast("IO[bytes]", self._popen.stdout)
        self._number = 0
        self._watcher = threading.Thread(target=self._watch, name="twinbench-router-watch", daemon=True)
        self._watcher.start()

    def ask(self, request: Mapping[str, Any], within_s: float, what: str) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            RouterError: there is none; the process is gone.
        """
        self._number += 1
        self._deadline = (time.monotonic() + within_s, f"{what} took longer than {within_s:g} s")
        try:
            write_frame(self._requests, {**request, "number": self._number})
            answer = read_frame(self._answers, MOST_ANSWER_BYTES)
        except (EOFError, OSError, ValueError):
            raise RouterError(self._obituary()) from None
        except FrameError as error:
            self.kill(f"its process sent {error}")
            raise RouterError(self._obituary()) from None
        finally:
            self._deadline = None
        if not isinstance(answer, dict) or answer.get("number") != self._number:
            self.kill("its process answered a question that was not asked: something in it wrote to twinbench's pipe")
            raise RouterError(self._obituary())
        return answer

    def kill(self, because: str) -> None:
        """End the process and all that it started, now."""
        if self._killed_because is None:
            self._killed_because = because
        self._end(patient=False)

    def close(self) -> None:
        """Let the process end, and see that it and all that it started do."""
        with contextlib.suppress(OSError):
            self._requests.close()
        self._end(patient=True)
        self._watcher.join(_END_WITHIN_S)
        with contextlib.suppress(OSError):
            self._answers.close()
        self._stderr.close()

    def _end(self, *, patient: bool) -> None:
        if patient:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_END_WITHIN_S)
        if self._popen.poll() is None:
            # The order goes to the reaper, which ends everything it finds before itself.
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_END_WITHIN_S)
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        self._over.set()
        self._end_strays()

    def _end_strays(self) -> None:
        """End what left the process group and is still there: it inherited our mark in its environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(_COOKIE) == self._cookie:
                    process.kill()

    def _watch(self) -> None:
        """Enforce the limits on time and memory from outside: nothing in the process can be asked to."""
        polls = 0
        while not self._over.wait(_POLL_S):
            polls += 1
            if (deadline := self._deadline) is not None and time.monotonic() > deadline[0]:
                self.kill(deadline[1])
                return
            if polls % _TREE_EVERY_POLLS == 0 and self.tree_mib() > self._limits.memory_mib:
                self.kill(f"its process took more than {self._limits.memory_mib:,} MiB of memory")
                return

    def tree_mib(self) -> float:
        """Resident memory of the process and its descendants."""
        total = 0
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(self._popen.pid)
            for process in [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total / 2**20

    def _obituary(self) -> str:
        """Why there is no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END_WITHIN_S)  # the pipe closes a moment before the process can be waited for
        if self._killed_because is None and self._popen.poll() is None:
            self.kill("its process closed its pipe to twinbench")
        self._end(patient=False)
        if self._killed_because is not None:
            return self._killed_because
        code = self._popen.returncode
        if code == PIPE_LOST:
            return "its process closed its pipe to twinbench"
        if code < 0:
            return f"its process was killed by signal {-code} ({_signal_name(-code)}){self._last_words()}"
        return f"its process exited with code {code}{self._last_words()}"

    def _last_words(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _MOST_STDERR_SHOWN))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"; its last words: {lines[-1]}" if lines else ""


@dataclass
class _Sent:
    """What of a session's conversation crossed already."""

    messages: Sequence[Mapping[str, Any]] = ()
    tools: Sequence[Mapping[str, Any]] | None = None
    generation: int = -1
    """Which life of the process it was sent to."""
    complaint: str | None = None
    """What ``start`` raised, until a row can be blamed."""


@dataclass
class HostedRouter:
    """A router of somebody else's, asked over a pipe; use as a context manager, which loads it.

    One process serves all sessions. Where it was ended, the next call starts another: ``start`` is told again and the
    conversation is sent in full.
    """

    name: str
    place: Mapping[str, Any]
    """``kind``, ``target``, ``attribute``, ``arguments``, ``path`` and ``folder``, as ``host.load`` takes them."""
    candidates: tuple[Candidate, ...]
    limits: PluginLimits
    models: Mapping[str, str]
    """The model name that a published live router knows each candidate by."""
    last_decision_ms: float | None = None
    """How long the router itself took for its last decision, without the way to it."""
    mutations: int = 0
    """Decisions that changed the conversation they were shown (only counted when watched)."""
    reached: list[str] = field(default_factory=list)
    """What decisions reached for outside their process (only noted when watched)."""
    _process: _Process | None = None
    _generation: int = 0
    _hooks: frozenset[str] = frozenset()
    _sent: dict[str, _Sent] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _folder: Path | None = None

    def __enter__(self) -> Self:
        self._folder = self._stack.enter_context(runtime_folder())
        try:
            self._loaded()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        self._stack.close()

    def memory_mib(self) -> float:
        """The resident memory of the router's process and all that it started."""
        return 0.0 if self._process is None else self._process.tree_mib()

    def start(self, session: str) -> None:
        """Begin a session."""
        self._sent[session] = _Sent()

    def end(self, session: str) -> None:
        """End a session."""
        self._sent.pop(session, None)
        if self._process is not None:
            self._hook("end", session, session)

    def observe(self, outcome: Outcome) -> None:
        """Tell what came of a call."""
        if "observe" in self._hooks and self._process is not None:
            self._hook("observe", outcome_to_json(outcome), outcome.session)

    def route(self, call: Call) -> Decision:
        """The router's decision.

        Raises:
            RouterError: it gave none; the text says why.
        """
        self.last_decision_ms = None
        sent = self._sent.setdefault(call.session, _Sent())
        process = self._loaded()
        if sent.generation != self._generation:
            sent = self._sent[call.session] = _Sent(generation=self._generation)
            if "start" in self._hooks:
                sent.complaint = self._ask(process, {"do": "hook", "hook": "start", "argument": call.session}).get(
                    "error"
                )
        kept = _shared_prefix(sent.messages, call.messages)
        request: dict[str, Any] = {
            "do": "route",
            "head": call_head(call),
            "keep": kept,
            "append": call.messages[kept:],
        }
        if sent.tools is not call.tools:
            request["tools"] = call.tools
        answer = self._ask(process, request)
        sent.messages, sent.tools = call.messages, call.tools
        self.last_decision_ms = answer.get("route_ms")
        self.mutations += bool(answer.get("mutated"))
        self.reached += answer.get("reached", ())
        complaint, sent.complaint = sent.complaint, None
        if (error := complaint or answer.get("error")) is not None:
            raise RouterError(str(error))
        return Decision(answer["candidate"], answer["score"], answer["rationale"])

    def _hook(self, hook: str, argument: object, session: str) -> None:
        process = self._process
        if process is None or (session in self._sent and self._sent[session].generation != self._generation):
            return
        if hook not in self._hooks and hook != "end":
            return
        answer = self._ask(process, {"do": "hook", "hook": hook, "argument": argument})
        if "error" in answer:
            raise RouterError(answer["error"])

    def _ask(self, process: _Process, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return process.ask(request, self.limits.decision_s, "the decision")
        except RouterError:
            process.close()
            self._process = None
            raise

    def _loaded(self) -> _Process:
        """The process, a new one where the last was ended."""
        if self._process is not None:
            return self._process
        assert self._folder is not None  # noqa: S101 - used as a context manager
        process = _Process(self._folder, self.limits)
        request = {
            "do": "load",
            **self.place,
            "candidates": [candidate_to_json(candidate) for candidate in self.candidates],
            "models": dict(self.models),
            "watch": self.limits.watch,
        }
        try:
            answer = process.ask(request, self.limits.load_s, "loading it")
        except RouterError as failure:
            process.close()
            raise RouterLoadError(f"router {self.name!r} could not be loaded: {failure}") from None
        if "error" in answer:
            process.close()
            if answer["usage"]:
                raise UsageError(f"router {self.name!r}: {answer['error']}")
            raise RouterLoadError(f"router {self.name!r} could not be loaded: {answer['error']}")
        self._process = process
        self._generation += 1
        self._hooks = frozenset(answer["hooks"])
        return process


def _shared_prefix(sent: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> int:
    """How many messages at the start are the same in both."""
    for position, (old, new) in enumerate(zip(sent, wanted, strict=False)):
        if old is not new and old != new:
            return position
    return min(len(sent), len(wanted))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
