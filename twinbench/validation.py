"""Pydantic's findings in our words: which field, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

_MOST_SHOWN = 60
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
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}…"


def kind(value: Any) -> str:
    """What a parsed JSON value is, for a person."""
    return _KINDS.get(type(value), "a number")
