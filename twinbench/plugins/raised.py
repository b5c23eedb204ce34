"""What a router raised, in words: the error, the place in its own code, and what to do where its process is the reason.

Standard library only: it is part of a router's own process.
"""

from __future__ import annotations

import builtins
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_RUNTIME = Path(__file__).parents[1]
_LIBRARY = Path(os.__file__).parent
_MOST_TEXT = 2000
_MOST_REASONS = 8
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # which Python 3.10 has not
_MOST_OF_GROUP = 3
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|HOME|URL|BASE|HOST|PATH|DIR|FILE)\b")
"""A word in an error's text that reads like the name of an environment variable."""


def describe_error(error: BaseException, arguments: Mapping[str, str] | None = None) -> str:
    """Describe an exception and its place, as the end of a sentence that begins with the name of what was called.

    Args:
        error: the exception.
        arguments: the arguments of the router's spec, as texts.
    """
    text = _text(error)
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, _GROUP):
        text = f"{text}: {'; '.join(f'{type(each).__name__}: {each}' for each in error.exceptions[:_MOST_OF_GROUP])}"
    place = "" if isinstance(error, SyntaxError) and error.filename else _place(frames)  # its text says where
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    what = f"raised {type(error).__name__}: {shown}{place}" if shown else f"raised {type(error).__name__}{place}"
    remedy = next(filter(None, (_remedy(each, arguments or {}) for each in _reasons(error))), None)
    return f"{what}; {remedy}" if remedy else what


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from or while handling: libraries put their own in place of what went wrong."""
    seen: list[BaseException] = []
    reason: BaseException | None = error
    while reason is not None and reason not in seen and len(seen) < _MOST_REASONS:
        seen.append(reason)
        yield reason
        reason = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)


def _place(frames: traceback.StackSummary) -> str:
    """Return file and line of the last frame in the router's own code; without one, of the last in installed code."""
    foreign = [frame for frame in frames if _RUNTIME not in Path(frame.filename).parents and frame.filename[:1] != "<"]
    own = [frame for frame in foreign if not _is_installed(Path(frame.filename))]
    found = (own or foreign)[-1:]
    return f" ({Path(found[0].filename).name}, line {found[0].lineno})" if found else ""


def _is_installed(file: Path) -> bool:
    return _LIBRARY in file.parents or "site-packages" in file.parts


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - an exception's text is the router's code too
        return "an error whose text cannot be had"


def _remedy(error: BaseException, arguments: Mapping[str, str]) -> str | None:
    """Return advice if the reason is what a router's process has or lacks."""
    text, frames = _text(error), traceback.extract_tb(error.__traceback__)
    if type(error).__name__ == "BdbQuit":
        return "a router's process has no terminal: debug the router in your own process, with twinbench.score(object)"
    if isinstance(error, EOFError) and "reading a line" in text:
        return "nobody answers a router's input(): its process has no terminal"
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str | bytes):
        return _path_remedy(os.fsdecode(error.filename), arguments)
    if "huggingface" in text.lower() and "HF_HOME" not in os.environ:
        return (
            "a router's process has an empty home folder: pass on where your models are with --plugin-env HF_HOME, and "
            "HF_HUB_OFFLINE where there is no network"
        )
    if isinstance(error, KeyError) and frames and Path(frames[-1].filename).name in ("os.py", "<frozen os>"):
        missing = str(error.args[0])
    else:
        named = _VARIABLE.findall(text[:_MOST_TEXT])
        missing = next((name for name in named if name not in os.environ), "")
    if not missing:
        return None
    return f"a router's process sees few environment variables: pass it on with --plugin-env {missing}"


def _path_remedy(missing: str, arguments: Mapping[str, str]) -> str | None:
    if Path(missing).is_absolute():
        return None
    for name, value in arguments.items():
        if value and missing == value:
            return f"declare the argument as {name}: Path, and it starts from the folder that twinbench is called in"
    return (
        "a router's process starts in an empty folder: take the path from __file__, or as an argument that is "
        "declared as Path"
    )
