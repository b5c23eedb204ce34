"""The main program of a router's own process: loads the router, asks it, and sends only its decisions back.

Started with the interpreter of the router's environment and a folder that holds this file and what it imports: standard
library only, no bank, no label, none of twinbench's dependencies. The pipes are the process's standard input and
output as they were at the start; what the router prints to standard output goes where its standard error goes, which
twinbench keeps and shows.

On Linux this is the second half of a process whose first half watches over it (reaper.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twinbench.plugins.constructing import LoadError, construct_router
from twinbench.plugins.fitting import Fitting, load_learned
from twinbench.plugins.raised import describe_error
from twinbench.plugins.wire import (
    MOST_QUESTION_BYTES,
    MOST_RATIONALE_CHARACTERS,
    Reader,
    call_from_head,
    candidate_from_json,
    encode_answer,
    outcome_from_json,
    question_to_json,
    read_request,
    reply_from_json,
)
from twinbench.routing.llm import MAX_TOKENS, LlmError, Reply
from twinbench.routing.router import Candidate, DecisionError, validate_decision
from twinbench.routing.tiers import Tier

HOOKS = ("start", "observe", "end", "fit")

PIPE_LOST = 71
"""Exit code of a process whose pipe to twinbench was closed from inside."""

_HERE = Path(__file__).parent
_MOST_PRINTED_SHOWN = 200
_MOST_REACHED = 50
_ACCESS_EVENTS = frozenset(
    {
        "open",
        "sqlite3.connect",
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
    }
)
_CODE = (".py", ".pyc", ".so", ".pyd")
_COUNT_TOLERANCE_BYTES = 64


class Host:
    """Serves the requests of one twinbench process for one router."""

    def __init__(self, read: Reader, answers: int) -> None:
        self._read = read
        self._answers = answers
        self._process = os.getpid()
        self._write = os.write  # so that a router that patches the os module cannot alter answers
        self._router: Any = None
        self._arguments: Mapping[str, str] = {}
        """The arguments of the router's spec."""
        self._candidates: tuple[Candidate, ...] = ()
        self._messages: dict[str, list[Any]] = {}
        self._tools: dict[str, tuple[Any, ...]] = {}
        self._number = 0
        self._inside_route = False
        self._ask_lock = threading.Lock()
        self._replied_bytes = 0
        self._counter: _ReadCounter | None = None
        """Counts bytes read during decisions; None unless decisions are watched (``router check``)."""
        self._accesses: list[str] = []
        self._imported = False
        self._fit_to_width = Fitting()

    def serve(self) -> None:
        """Serve requests until twinbench closes the pipe."""
        while True:
            try:
                request = read_request(self._read)
            except EOFError:
                return
            self._number = request["number"]
            operation: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(self, f"_do_{request['do']}")
            answer = operation(request) | {"number": request["number"]}
            if os.getpid() != self._process:  # a forked copy that returned from the router's code
                os._exit(0)
            self._send(answer)

    def _send(self, answer: dict[str, Any]) -> None:
        _flush()  # what was printed meanwhile is there before the answer is
        text = answer.get("rationale")
        if isinstance(text, str) and len(text) > MOST_RATIONALE_CHARACTERS:
            error = f"its rationale has {len(text):,} characters; at most {MOST_RATIONALE_CHARACTERS:,} are allowed"
            answer = {"number": answer["number"], "error": error, "route_ms": answer["route_ms"]}
        self._send_frame(encode_answer(answer))

    def _send_frame(self, frame: bytes) -> None:
        left = memoryview(frame)
        while left:
            left = left[self._write(self._answers, left) :]

    def ask(self, question: Mapping[str, Any]) -> Reply:
        """Have twinbench ask an LLM, which checks the question and meters the call.

        Raises:
            LlmError: there is no answer.
        """
        with self._ask_lock:
            if not self._inside_route or os.getpid() != self._process:
                raise LlmError("an LLM can be called inside route() only, so that each call belongs to a decision")
            try:
                frame = encode_answer({"number": self._number, "ask": question})
            except (TypeError, ValueError, RecursionError) as error:
                raise LlmError(f"messages cannot be sent: {error}") from None
            if len(frame) > MOST_QUESTION_BYTES:
                raise LlmError(f"the messages have {len(frame):,} bytes; at most {MOST_QUESTION_BYTES:,} are allowed")
            self._send_frame(frame)
            reply = read_request(self._count_read)
        return reply_from_json(reply)

    def _count_read(self, size: int) -> bytes:
        data = self._read(size)
        self._replied_bytes += len(data)
        return data

    def _end_deciding(self) -> None:
        with self._ask_lock:  # a thread of the router may still be waiting for a reply
            self._inside_route = False

    def _do_load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._candidates = tuple(candidate_from_json(candidate) for candidate in request["candidates"])
        try:
            self._arguments = request["arguments"]
            self._router = construct_router(request)
            if "learned" in request:
                load_learned(self._router, request["learned"])
            if callable(use := getattr(self._router, "use", None)):
                _call_optional(use, "use", LlmHandle(self.ask))
            if callable(warm_up := getattr(self._router, "warm_up", None)):
                _call_optional(warm_up, "warm_up")
            hooks = [hook for hook in HOOKS if callable(getattr(self._router, hook, None))]
        except LoadError as error:
            return {"error": str(error), "usage": error.usage}
        except BaseException as error:  # noqa: BLE001 - looking up a router's methods may run its code
            return {"error": f"looking at its methods {describe_error(error, self._arguments)}", "usage": False}
        if request["watch"]:
            self._counter = _ReadCounter()
            sys.addaudithook(self._audit)
        return {"hooks": hooks}

    def _do_train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._fit_to_width.answer(self._router, self._candidates, request)

    def _do_hook(self, request: Mapping[str, Any]) -> dict[str, Any]:
        hook, argument = request["hook"], request["argument"]
        if hook == "observe":
            argument = outcome_from_json(argument, self._candidates)
        elif hook == "end":
            self._messages.pop(argument, None)
            self._tools.pop(argument, None)
        method = getattr(self._router, hook, None)
        if method is None:
            return {}
        try:
            method(argument)
        except BaseException as error:  # noqa: BLE001 - whatever a router raises is its own error, an exit too
            return {"error": f"{hook} {describe_error(error, self._arguments)}"}
        return {}

    def _do_route(self, request: Mapping[str, Any]) -> dict[str, Any]:
        session = request["head"]["session"]
        messages = self._messages.setdefault(session, [])
        messages[request["keep"] :] = request["append"]
        if "tools" in request:
            self._tools[session] = tuple(request["tools"])
        call = call_from_head(request["head"], tuple(messages), self._tools.get(session, ()), self._candidates)
        before = (_digest(messages), self._counter.now()) if self._counter is not None else None
        self._inside_route, self._replied_bytes = True, 0
        started = time.perf_counter()
        try:
            answer = self._router.route(call)
            self._end_deciding()
        except BaseException as error:  # noqa: BLE001 - as above
            self._end_deciding()
            found = {"error": f"route {describe_error(error, self._arguments)}", "route_ms": _ms_since(started)}
            return found | self._observations(messages, before)
        found = {"route_ms": _ms_since(started)} | self._observations(messages, before)
        try:
            choice = validate_decision(answer, self._candidates)
        except DecisionError as error:
            return {"error": str(error)} | found
        except BaseException as error:  # noqa: BLE001 - an answer may be an object whose own methods raise
            return {"error": f"looking at the answer {describe_error(error, self._arguments)}"} | found
        return {"candidate": choice.candidate.id, "score": choice.score, "rationale": choice.rationale} | found

    def _observations(self, messages: list[Any], before: tuple[str, int] | None) -> dict[str, Any]:
        """Return what was observed of a decision, if decisions are watched."""
        if before is None or self._counter is None:
            return {}
        digest, read = before
        if not self._accesses and not self._imported:
            # Not everything that reads files raises Python audit events: a database library in C does not.
            unseen = self._counter.since(read) - self._replied_bytes
            if unseen > _COUNT_TOLERANCE_BYTES:
                self._accesses = [f"reads {unseen:,} bytes", *map("open {!a}".format, _open_files())]
        reached, self._accesses, self._imported = self._accesses, [], False
        return {"mutated": digest != _digest(messages), "accesses": reached}

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a decision's access to files, sockets or processes; called as a Python audit hook."""
        if event not in _ACCESS_EVENTS or len(self._accesses) >= _MOST_REACHED:
            return
        if event == "open":
            name = arguments[0] if arguments else None
            if not isinstance(name, str | bytes | os.PathLike):
                return  # a descriptor: the file was opened before
            if os.fsdecode(name).endswith(_CODE):
                self._imported = True  # importing code is allowed
                return
        detail = next((ascii(each) for each in arguments if isinstance(each, str | bytes | tuple)), "")
        self._accesses.append(f"{event} {detail[:_MOST_PRINTED_SHOWN]}")


class LlmHandle:
    """The router's side of the LLM handle (``twinbench.routing.llm.Llm``): it only passes questions and replies on."""

    def __init__(self, ask: Callable[[Mapping[str, Any]], Reply]) -> None:
        self._ask = ask

    def ask(
        self,
        messages: Any,
        *,
        candidate: Candidate | Tier | str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float | None = 0.0,
    ) -> Reply:
        """Ask the router's LLM one question; same arguments and errors as ``Llm.ask``."""
        return self._ask(question_to_json(messages, candidate, max_tokens, temperature))


def _call_optional(method: Callable[..., object], name: str, *arguments: object) -> None:
    """Call an optional method that belongs to loading.

    Raises:
        LoadError: it raised.
    """
    try:
        method(*arguments)
    except BaseException as error:
        raise LoadError(f"{name} {describe_error(error)}", usage=False) from error


def _flush() -> None:
    """Let go of what the router printed and Python still holds; it may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _digest(messages: list[Any]) -> str:
    return hashlib.sha256(repr(messages).encode("utf-8", "surrogatepass")).hexdigest()


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


class _ReadCounter:
    """Counts all bytes that this process ever read, from any file (Linux only)."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):  # only Linux counts
            self._file = os.open("/proc/self/io", os.O_RDONLY)

    def now(self) -> int:
        """Return the count; 0 if the platform does not count."""
        if self._file is None:
            return 0
        try:
            return int(os.pread(self._file, 4096, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return 0

    def since(self, before: int) -> int:
        """Return how many bytes were read since ``before``, without those read by counting itself."""
        now = self.now()
        return now - before - (self.now() - now)


def _open_files() -> list[str]:
    """Return the names of the files that are open in this process."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return [name for name in found if name.startswith("/") and "(deleted)" not in name and name != os.devnull]


def _private_pipes() -> tuple[Reader, int]:
    """Take the pipes for ourselves; the router gets an empty input, and its standard error for its output too."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a line that was printed is seen, whatever ends the process
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return partial(os.read, requests), answers


def _forget_modules() -> None:
    """Unload modules that this program uses, so that a router imports (and may patch) its own copy."""
    for name in [name for name in sys.modules if name == "json" or name.startswith("json.")]:
        del sys.modules[name]


def _set_resource_limits(limits: Mapping[str, int]) -> None:
    """Set resource limits for this process and its children; on platforms without them, twinbench warns."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, wanted in limits.items():
        number = getattr(resource, name, None)
        if number is not None:
            _, hard = resource.getrlimit(number)
            resource.setrlimit(number, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def main() -> None:
    """Run as ``python start.py LIMIT=n …``, after reaper.py."""
    limits = {name: int(number) for name, number in (argument.split("=") for argument in sys.argv[1:])}
    read, answers = _private_pipes()
    _set_resource_limits(limits)
    _forget_modules()
    # A router may have left threads that never end, so always exit immediately.
    try:
        Host(read, answers).serve()
    except OSError:  # the router closed our descriptors
        os._exit(PIPE_LOST)
    except BaseException:  # noqa: BLE001 - the router broke something this program needs
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
