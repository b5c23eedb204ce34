"""What a router raised, in words: the error, the place in its own code, and what to do where its process is the reason.

Standard library only: it is part of a router's own process.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

_RUNTIME = Path(__file__).parents[1]
_LIBRARY = Path(os.__file__).parent
_MOST_TEXT = 2000
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|HOME|URL|BASE|HOST|PATH|DIR|FILE)\b")
"""A word in an error's text that reads like the name of an environment variable."""


def describe_error(error: BaseException, arguments: Mapping[str, str] | None = None) -> str:
    """What was raised and where, as the end of a sentence that begins with the name of what was called.

    Args:
        error: what was raised.
        arguments: those of the router's spec, as texts.
    """
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - an exception's text is the router's code too
        text = "an error whose text cannot be had"
    frames = traceback.extract_tb(error.__traceback__)
    place = _place(frames)
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    what = f"raised {type(error).__name__}: {shown}{place}" if shown else f"raised {type(error).__name__}{place}"
    remedy = _remedy(error, text, frames, arguments or {})
    return f"{what}; {remedy}" if remedy else what


def _place(frames: traceback.StackSummary) -> str:
    """Where in the router's own code; where that is not on the way, in whatever is."""
    foreign = [frame for frame in frames if _RUNTIME not in Path(frame.filename).parents and frame.filename[:1] != "<"]
    own = [frame for frame in foreign if not _is_installed(Path(frame.filename))]
    found = (own or foreign)[-1:]
    return f" ({Path(found[0].filename).name}, line {found[0].lineno})" if found else ""


def _is_installed(file: Path) -> bool:
    return _LIBRARY in file.parents or "site-packages" in file.parts


def _remedy(
    error: BaseException, text: str, frames: traceback.StackSummary, arguments: Mapping[str, str]
) -> str | None:
    """What to do where the reason is what a router's process has and has not."""
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
