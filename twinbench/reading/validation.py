"""Pydantic's findings in our words: which field, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from twinbench.display.wording import shortened

MOST_DEPTH = 512
"""Objects and lists within each other. What writes and compares values calls itself for each, and Python ends that at a
thousand calls."""

_MOST_SHOWN = 60
_SURROGATE = "holds a lone surrogate (half of a UTF-16 pair), which is no text"
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def field_path(location: Sequence[int | str]) -> str:
    """A location such as ``("messages", 3, "content")`` as ``messages[3].content``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def worded(details: Mapping[str, Any]) -> str:
    """One of ``ValidationError.errors()`` as a sentence's end."""
    message: str = details["msg"].removeprefix("Value error, ")
    if details["type"] == "missing":
        return "is missing"
    if details["type"] == "extra_forbidden":
        return "is not a field that is known here"
    return message if details["type"] == "value_error" else f"{message} (found {shown(details['input'])})"


def shown(value: Any) -> str:
    """A parsed value as messages show it, cut where it is long."""
    if isinstance(value, dict | list):
        return kind(value)
    if isinstance(value, str | Decimal):
        text = repr(str(value)) if isinstance(value, str) else str(value)
    else:
        text = json.dumps(value, default=str)
    return shortened(text, _MOST_SHOWN)


def kind(value: Any) -> str:
    """What a parsed JSON value is, for a person."""
    return _KINDS.get(type(value), "a number")


def find_unkeepable(value: Any, path: str = "", *, surrogates: bool = True) -> tuple[str, str] | None:
    """The first thing in a parsed JSON value that no file of ours can keep, as (path, what is wrong there).

    Args:
        value: the value.
        path: where it stands in what the path is of.
        surrogates: whether halves of surrogate pairs are looked for too, which UTF-8 does not have.
    """
    return _find_unkeepable(value, path, MOST_DEPTH, surrogates)


def _find_unkeepable(value: Any, path: str, depth: int, surrogates: bool) -> tuple[str, str] | None:
    if isinstance(value, str):
        return None if not surrogates or _is_text(value) else (path, _SURROGATE)
    if not isinstance(value, dict | list):
        return None
    if depth == 0:
        return f"{path[:_MOST_SHOWN]}…", f"is nested too deeply: more than {MOST_DEPTH} objects and lists"
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}".lstrip(".")
            if surrogates and not _is_text(key):
                return ascii(here), _SURROGATE
            if (found := _find_unkeepable(item, here, depth - 1, surrogates)) is not None:
                return found
        return None
    for position, item in enumerate(value):
        if (found := _find_unkeepable(item, f"{path}[{position}]", depth - 1, surrogates)) is not None:
            return found
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
