"""A router's own process: loads it, asks it, and lets nothing of it out but decisions.

Started with the interpreter of the router's environment and a folder that holds this file and what it imports: standard
library only, no bank, no label, none of twinbench's dependencies. The pipes are the process's standard input and
output as they were at the start; the router gets others, so that what it prints is seen for what it is.

On Linux the process splits in two. The first half, a subreaper that runs no foreign code, ends everything that the
second half ever started when that ends, or when twinbench does.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from twinbench.plugins import trb
from twinbench.plugins.arguments import ArgumentError, typed_arguments
from twinbench.plugins.wire import (
    MOST_ANSWER_BYTES,
    call_from_head,
    candidate_from_json,
    outcome_from_json,
    read_frame,
    write_frame,
)
from twinbench.router import Candidate, DecisionError, checked

HOOKS = ("start", "observe", "end")

PIPE_LOST = 71
"""Exit code of a process whose pipe to twinbench was closed from inside."""

_HERE = Path(__file__).parent
_PR_SET_CHILD_SUBREAPER = 36
_MOST_PRINTED_SHOWN = 200
_REAP_EVERY_S = 0.02
_MOST_REACHED = 50
_REACHING = frozenset(
    {"open", "socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
)


class LoadError(Exception):
    """A router that cannot be loaded; ``usage`` where its name or arguments are at fault rather than its code."""

    def __init__(self, text: str, *, usage: bool) -> None:
        super().__init__(text)
        self.usage = usage


class Host:
    """Answers the requests of one twinbench process about one router."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], printed: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._printed = printed
        self._router: Any = None
        self._candidates: tuple[Candidate, ...] = ()
        self._messages: dict[str, list[Any]] = {}
        self._tools: dict[str, tuple[Any, ...]] = {}
        self._watching = False
        self._reached: list[str] = []

    def serve(self) -> None:
        """Answer until the other side is gone."""
        while True:
            try:
                request = read_frame(self._requests)
            except EOFError:
                return
            operation: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(self, f"_do_{request['do']}")
            answer = operation(request) | {"number": request["number"]}
            self._send(answer)

    def _send(self, answer: dict[str, Any]) -> None:
        text = answer.get("rationale")
        if isinstance(text, str) and len(text) > MOST_ANSWER_BYTES // 8:
            answer = {"number": answer["number"], "error": f"its rationale has {len(text):,} characters, far too many"}
        write_frame(self._answers, answer)

    def _do_load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._candidates = tuple(candidate_from_json(candidate) for candidate in request["candidates"])
        try:
            self._router = load(request)
        except LoadError as error:
            return {"error": str(error), "usage": error.usage}
        self._printed_since()  # what an import prints is nobody's decision
        if request["watch"]:
            self._watching = True
            sys.addaudithook(self._audit)
        return {
            "hooks": [hook for hook in HOOKS if callable(getattr(self._router, hook, None))],
            "concurrency": getattr(self._router, "concurrency", 1),
            "in_order": bool(getattr(self._router, "in_order", False)),
        }

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
        except Exception as error:  # noqa: BLE001 - whatever a router raises is its own error
            return {"error": f"{hook} {_raised(error)}"}
        return {}

    def _do_route(self, request: Mapping[str, Any]) -> dict[str, Any]:
        session = request["head"]["session"]
        messages = self._messages.setdefault(session, [])
        messages[request["keep"] :] = request["append"]
        if "tools" in request:
            self._tools[session] = tuple(request["tools"])
        call = call_from_head(request["head"], tuple(messages), self._tools.get(session, ()), self._candidates)
        before = _digest(messages) if self._watching else None
        started = time.perf_counter()
        try:
            answer = self._router.route(call)
        except Exception as error:  # noqa: BLE001 - as above
            return {
                "error": f"route {_raised(error)}",
                "route_ms": _ms_since(started),
                **self._noticed(messages, before),
            }
        route_ms = _ms_since(started)
        noticed = self._noticed(messages, before)
        if printed := self._printed_since():
            return {"error": f"route printed to standard output: {printed}", "route_ms": route_ms, **noticed}
        try:
            choice = checked(answer, self._candidates)
        except DecisionError as error:
            return {"error": str(error), "route_ms": route_ms, **noticed}
        except Exception as error:  # noqa: BLE001 - an answer may be an object whose own methods raise
            return {"error": f"looking at the answer {_raised(error)}", "route_ms": route_ms, **noticed}
        return {
            "candidate": choice.candidate.id,
            "score": choice.score,
            "rationale": choice.rationale,
            "route_ms": route_ms,
            **noticed,
        }

    def _noticed(self, messages: list[Any], before: str | None) -> dict[str, Any]:
        """What was seen of a decision while it is watched."""
        if before is None:
            return {}
        reached, self._reached = self._reached, []
        return {"mutated": before != _digest(messages), "reached": reached}

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what a decision reaches for outside its process; Python tells its audit hooks."""
        if event in _REACHING and len(self._reached) < _MOST_REACHED:
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
        usage = error.name is not None and target.startswith(error.name)
        raise LoadError(f"no module {target!r} here" if usage else f"{where} {_raised(error)}", usage=usage) from error
    except BaseException as error:
        raise LoadError(f"{where} {_raised(error)}", usage=False) from error
    constructor: Any = module
    for part in attribute.split("."):
        constructor = getattr(constructor, part, None)
    if not callable(constructor):
        names = [name for name, value in vars(module).items() if isinstance(value, type) and hasattr(value, "route")]
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
    except Exception:  # noqa: BLE001 - an exception's text is the router's code too
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


def _private_pipes() -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """Take the pipes for ourselves, and give the router an empty input and an output that we look at."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    printed = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process
    os.dup2(printed.fileno(), 1)
    return requests, answers, printed


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


def _split_off_reaper() -> None:
    """Go on as the child of a process that ends whatever this one leaves behind."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return
    child = os.fork()
    if child:
        _reap(child)


def _reap(child: int) -> NoReturn:
    """Wait for the router's process, or for the order or the need to end it; then leave as it left."""
    parent = os.getppid()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for descriptor in (0, 1):  # the pipes are the child's: were they open here too, its end would not be seen
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, descriptor)
    status: int | None = None
    while status is None:
        pid, found = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            status = found
        elif pid == 0 and (ended.wait(_REAP_EVERY_S) or os.getppid() != parent):
            break
    _end_descendants()
    if status is None:
        os._exit(0)
    if os.WIFSIGNALED(status):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
        signal.pause()
    os._exit(os.WEXITSTATUS(status))


def _end_descendants() -> None:
    """Kill until nothing is left: what loses its parent becomes our child, so each round finds the next generation."""
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children() -> Iterator[int]:
    me = str(os.getpid())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The command's name is in brackets and may hold anything; the parent is the second field after it.
                if (entry / "stat").read_text("latin-1").rpartition(")")[2].split()[1] == me:
                    yield int(entry.name)


def main() -> None:
    """Run as ``python host.py LIMIT=n …``."""
    limits = {name: int(number) for name, number in (argument.split("=") for argument in sys.argv[1:])}
    if sys.platform == "linux":
        _split_off_reaper()
    requests, answers, printed = _private_pipes()
    _limit(limits)
    _forget_modules()
    try:
        Host(requests, answers, printed).serve()
    except (OSError, ValueError):  # closed descriptors, by whoever closed them
        os._exit(PIPE_LOST)
    # A router may have left threads that never end; nothing of it is worth waiting for.
    os._exit(0)
