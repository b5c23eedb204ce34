"""A router's own process: loads it, asks it, and lets nothing of it out but decisions.

Started with the interpreter of the router's environment and a folder that holds this file and what it imports: standard
library only, no bank, no label, none of twinbench's dependencies. The pipes are the process's standard input and
output as they were at the start; the router gets others, so that what it prints is seen for what it is.

On Linux this is the second half of a process whose first half watches over it (reaper.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from twinbench.plugins import trb
from twinbench.plugins.arguments import ArgumentError, typed_arguments
from twinbench.plugins.fitting import Fitting, LoadError, load_learned
from twinbench.plugins.wire import (
    MOST_QUESTION_BYTES,
    MOST_RATIONALE_CHARACTERS,
    Reader,
    answer_frame,
    call_from_head,
    candidate_from_json,
    outcome_from_json,
    question_to_json,
    read_request,
    reply_from_json,
)
from twinbench.routing.llm import MAX_TOKENS, LlmError, Reply
from twinbench.routing.router import Candidate, DecisionError, checked
from twinbench.routing.tiers import Tier

HOOKS = ("start", "observe", "end", "fit")

PIPE_LOST = 71
"""Exit code of a process whose pipe to twinbench was closed from inside."""

_HERE = Path(__file__).parent
_MOST_PRINTED_SHOWN = 200
_MOST_REACHED = 50
_REACHING = frozenset(
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
_LOOKING_VARIES_BYTES = 64


class Host:
    """Answers the requests of one twinbench process about one router."""

    def __init__(self, read: Reader, answers: int, printed: IO[bytes]) -> None:
        self._read = read
        self._answers = answers
        self._printed = printed
        self._process = os.getpid()
        self._write = os.write  # a router that patches the os module patches no answers
        self._router: Any = None
        self._candidates: tuple[Candidate, ...] = ()
        self._messages: dict[str, list[Any]] = {}
        self._tools: dict[str, tuple[Any, ...]] = {}
        self._number = 0
        self._deciding = False
        self._asking = threading.Lock()
        self._replied_bytes = 0
        self._counter: _Counter | None = None
        """Present where decisions are watched."""
        self._reached: list[str] = []
        self._imported = False
        self._fitting = Fitting(_raised)

    def serve(self) -> None:
        """Answer until the other side is gone."""
        while True:
            try:
                request = read_request(self._read)
            except EOFError:
                return
            self._number = request["number"]
            operation: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(self, f"_do_{request['do']}")
            answer = operation(request) | {"number": request["number"]}
            if os.getpid() != self._process:  # a copy that the router forked off and that came back from it
                os._exit(0)
            self._send(answer)

    def _send(self, answer: dict[str, Any]) -> None:
        text = answer.get("rationale")
        if isinstance(text, str) and len(text) > MOST_RATIONALE_CHARACTERS:
            error = f"its rationale has {len(text):,} characters; at most {MOST_RATIONALE_CHARACTERS:,} are taken"
            answer = {"number": answer["number"], "error": error, "route_ms": answer["route_ms"]}
        self._send_frame(answer_frame(answer))

    def _send_frame(self, frame: bytes) -> None:
        left = memoryview(frame)
        while left:
            left = left[self._write(self._answers, left) :]

    def ask(self, question: Mapping[str, Any]) -> Reply:
        """Have twinbench ask an LLM; it knows who pays and what may be asked.

        Raises:
            LlmError: there is no answer.
        """
        with self._asking:
            if not self._deciding or os.getpid() != self._process:
                raise LlmError("an LLM can be asked inside route only: a call is for the decision being made")
            try:
                frame = answer_frame({"number": self._number, "ask": question})
            except (TypeError, ValueError, RecursionError) as error:
                raise LlmError(f"messages that cannot be sent: {error}") from None
            if len(frame) > MOST_QUESTION_BYTES:
                raise LlmError(f"messages of {len(frame):,} bytes; at most {MOST_QUESTION_BYTES:,} are taken")
            self._send_frame(frame)
            reply = read_request(self._count_read)
        return reply_from_json(reply)

    def _count_read(self, size: int) -> bytes:
        data = self._read(size)
        self._replied_bytes += len(data)
        return data

    def _end_deciding(self) -> None:
        with self._asking:  # a thread of the router may still wait for a reply
            self._deciding = False

    def _do_load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._candidates = tuple(candidate_from_json(candidate) for candidate in request["candidates"])
        try:
            self._router = load(request)
            if "learned" in request:
                load_learned(self._router, request["learned"], _raised)
            if callable(use := getattr(self._router, "use", None)):
                _use(use, Handle(self.ask))
            hooks = [hook for hook in HOOKS if callable(getattr(self._router, hook, None))]
        except LoadError as error:
            return {"error": str(error), "usage": error.usage}
        except BaseException as error:  # noqa: BLE001 - to ask a router for its methods may run its code
            return {"error": f"looking at its methods {_raised(error)}", "usage": False}
        self._printed_since()  # what an import prints is nobody's decision
        if request["watch"]:
            self._counter = _Counter()
            sys.addaudithook(self._audit)
        return {"hooks": hooks}

    def _do_train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._fitting.answer(self._router, self._candidates, request)

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
            self._printed_since()
            return {"error": f"{hook} {_raised(error)}"}
        if printed := self._printed_since():
            return {"error": f"{hook} printed to standard output: {printed}"}
        return {}

    def _do_route(self, request: Mapping[str, Any]) -> dict[str, Any]:
        session = request["head"]["session"]
        messages = self._messages.setdefault(session, [])
        messages[request["keep"] :] = request["append"]
        if "tools" in request:
            self._tools[session] = tuple(request["tools"])
        call = call_from_head(request["head"], tuple(messages), self._tools.get(session, ()), self._candidates)
        before = (_digest(messages), self._counter.now()) if self._counter is not None else None
        self._deciding, self._replied_bytes = True, 0
        started = time.perf_counter()
        try:
            answer = self._router.route(call)
            self._end_deciding()
        except BaseException as error:  # noqa: BLE001 - as above
            self._end_deciding()
            found = {"error": f"route {_raised(error)}", "route_ms": _ms_since(started)}
            self._printed_since()
            return found | self._noticed(messages, before)
        found = {"route_ms": _ms_since(started)} | self._noticed(messages, before)
        if printed := self._printed_since():
            return {"error": f"route printed to standard output: {printed}"} | found
        try:
            choice = checked(answer, self._candidates)
        except DecisionError as error:
            return {"error": str(error)} | found
        except BaseException as error:  # noqa: BLE001 - an answer may be an object whose own methods raise
            return {"error": f"looking at the answer {_raised(error)}"} | found
        return {"candidate": choice.candidate.id, "score": choice.score, "rationale": choice.rationale} | found

    def _noticed(self, messages: list[Any], before: tuple[str, int] | None) -> dict[str, Any]:
        """What was seen of a decision while it is watched."""
        if before is None or self._counter is None:
            return {}
        digest, read = before
        if not self._reached and not self._imported:
            # Not all that reads a file tells Python's audit hooks: a database written in C does not.
            unseen = self._counter.since(read) - self._replied_bytes
            if unseen > _LOOKING_VARIES_BYTES:
                self._reached = [f"reads {unseen:,} bytes", *map("open {!a}".format, _open_files())]
        reached, self._reached, self._imported = self._reached, [], False
        return {"mutated": digest != _digest(messages), "reached": reached}

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what a decision reaches for outside its process; Python tells its audit hooks."""
        if event not in _REACHING or len(self._reached) >= _MOST_REACHED:
            return
        if event == "open":
            name = arguments[0] if arguments else None
            if not isinstance(name, str | bytes | os.PathLike):
                return  # a descriptor was opened before
            if os.fsdecode(name).endswith(_CODE):
                self._imported = True  # which is no look at data
                return
        detail = next((ascii(each) for each in arguments if isinstance(each, str | bytes | tuple)), "")
        self._reached.append(f"{event} {detail[:_MOST_PRINTED_SHOWN]}")

    def _printed_since(self) -> str:
        """What was written to standard output since the last look."""
        with contextlib.suppress(Exception):  # a router may have closed or replaced it
            sys.stdout.flush()
        size = self._printed.seek(0, os.SEEK_END)
        if size == 0:
            return ""
        self._printed.seek(0)
        text = self._printed.read(_MOST_PRINTED_SHOWN).decode("utf-8", "replace")
        self._printed.truncate(0)
        self._printed.seek(0)  # the router's standard output shares this position
        return ascii(text) if size <= _MOST_PRINTED_SHOWN else f"{text!a}… ({size:,} bytes)"


class Handle:
    """What a router asks an LLM through (``twinbench.routing.llm.Llm``): it only carries questions and replies."""

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
        """As of ``Llm``."""
        return self._ask(question_to_json(messages, candidate, max_tokens, temperature))


def _use(use: Callable[[Handle], object], handle: Handle) -> None:
    try:
        use(handle)
    except BaseException as error:
        raise LoadError(f"use {_raised(error)}", usage=False) from error


def load(request: Mapping[str, Any]) -> Any:
    """The router that a load request describes.

    Raises:
        LoadError: there is no such router, or its code fails.
    """
    kind, target, attribute = request["kind"], request["target"], request["attribute"]
    sys.path[:0] = request["path"]
    if kind == "trb":
        trb.install()
    where = f"importing {target}"
    try:
        module = _import_file(Path(target)) if kind == "file" else importlib.import_module(target)
    except ModuleNotFoundError as error:
        usage = error.name is not None and f"{target}.".startswith(f"{error.name}.")
        raise LoadError(f"no module {target!r} here" if usage else f"{where} {_raised(error)}", usage=usage) from error
    except BaseException as error:
        raise LoadError(f"{where} {_raised(error)}", usage=False) from error
    constructor: Any = module
    for part in attribute.split("."):
        constructor = getattr(constructor, part, None)
    if not callable(constructor):
        names = [name for name, value in vars(module).items() if isinstance(value, type) and "route" in dir(value)]
        known = ", ".join(names) or "none with a method route"
        raise LoadError(f"{target} has no class {attribute!r}; it has {known}", usage=True)
    try:
        arguments: dict[str, Any] = dict(request["arguments"])
        if kind != "trb":
            arguments = typed_arguments(constructor, arguments, Path(request["folder"]))
        router = constructor(**arguments)
    except ArgumentError as error:
        raise LoadError(str(error), usage=True) from error
    except BaseException as error:
        raise LoadError(f"its constructor {_raised(error)}", usage=False) from error
    if kind == "trb":
        try:
            return trb.adapted(router, request["models"])
        except TypeError as error:
            raise LoadError(str(error), usage=True) from error
    if not callable(getattr(router, "route", None)):
        raise LoadError(f"{attribute} has no method route(call)", usage=True)
    return router


def _import_file(path: Path) -> Any:
    # Named by its path, so that a file called like an installed module does not meet it.
    name = f"twinbench_router_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _raised(error: BaseException) -> str:
    """What was raised, and where in the router's own code."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - an exception's text is the router's code too
        text = "an error whose text cannot be had"
    place = ""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if Path(frame.filename).parent != _HERE and frame.filename[:1] != "<"]
    if foreign:
        place = f" ({Path(foreign[-1].filename).name}, line {foreign[-1].lineno})"
    shown = text if len(text) <= 2000 else f"{text[:2000]}…"
    return f"raised {type(error).__name__}: {shown}{place}" if shown else f"raised {type(error).__name__}{place}"


def _digest(messages: list[Any]) -> str:
    return hashlib.sha256(repr(messages).encode("utf-8", "surrogatepass")).hexdigest()


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


class _Counter:
    """Bytes that this process ever read, from whatever."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):  # only Linux counts
            self._file = os.open("/proc/self/io", os.O_RDONLY)

    def now(self) -> int:
        """The count; 0 where nobody counts."""
        if self._file is None:
            return 0
        try:
            return int(os.pread(self._file, 4096, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return 0

    def since(self, before: int) -> int:
        """How many more, less what looking takes."""
        now = self.now()
        return now - before - (self.now() - now)


def _open_files() -> list[str]:
    """The files that are open in this process, by name."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return [name for name in found if name.startswith("/") and "(deleted)" not in name and name != os.devnull]


def _private_pipes() -> tuple[Reader, int, IO[bytes]]:
    """Take the pipes for ourselves, and give the router an empty input and an output that we look at."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    printed = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process
    os.dup2(printed.fileno(), 1)
    return partial(os.read, requests), answers, printed


def _forget_modules() -> None:
    """Let a router import its own copy of what it might patch and we use."""
    for name in [name for name in sys.modules if name == "json" or name.startswith("json.")]:
        del sys.modules[name]


def _limit(limits: Mapping[str, int]) -> None:
    """Resource limits of this process and all that it starts; where the platform has none, twinbench says so."""
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
    read, answers, printed = _private_pipes()
    _limit(limits)
    _forget_modules()
    # A router may have left threads that never end; nothing of it is worth waiting for, so this always leaves at once.
    try:
        Host(read, answers, printed).serve()
    except OSError:  # closed descriptors, by whoever closed them
        os._exit(PIPE_LOST)
    except BaseException:  # noqa: BLE001 - a router that broke something we need
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
