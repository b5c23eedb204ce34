"""Turn pydantic's validation errors into plain messages, and find values that cannot be stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from twinbench.display.wording import shorten

MAX_DEPTH = 512
"""Largest nesting depth of objects and lists. Values are written and compared recursively, and Python allows about a
thousand nested calls."""

_MAX_CHARACTERS = 60
_SURROGATE = "holds a lone surrogate (half of a UTF-16 pair), which is not valid text"
_TYPE_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def field_path(location: Sequence[int | str]) -> str:
    """Format a location such as ``("messages", 3, "content")`` as ``messages[3].content``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


_MESSAGES: Mapping[str, str] = {
    **dict.fromkeys(("missing", "missing_argument", "missing_keyword_only_argument"), "is missing"),
    "extra_forbidden": "is not a known field",
    "unexpected_keyword_argument": "is not a known argument",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "must be a number"),
    "finite_number": "must be a number, neither infinite nor NaN",
    **dict.fromkeys(("string_type", "string_unicode", "bytes_type", "path_type"), "must be a string"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "dataclass_type"), "must be an object"),
    **dict.fromkeys(("model_attributes_type", "dataclass_exact_type", "arguments_type"), "must be an object"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "none_required": "must be null",
    "invalid_key": "has a key that is not a string",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "must be a date such as 2026-04-23"),
    **dict.fromkeys(("datetime_type", "datetime_parsing"), "must be a time such as 2026-04-23T12:00:00Z"),
    **dict.fromkeys(("literal_error", "enum"), "must be {expected}"),
    "is_instance_of": "must be a {class}",
    "union_tag_not_found": "does not say {discriminator}",
    "union_tag_invalid": "has an unknown {discriminator} {tag!r}; known: {expected_tags}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} members",
    "too_long": "must have at most {max_length} members",
    "string_too_short": "must be at least {min_length} characters long",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} digits behind the point",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
}
"""Message for each pydantic error type; names in braces come from the error's context."""

_WITHOUT_VALUE = ("missing", "extra_forbidden", "unexpected_keyword_argument", "missing_keyword_only_argument")


def describe_validation_error(details: Mapping[str, Any]) -> str:
    """Describe one of ``ValidationError.errors()``; the message continues a sentence that begins with the field."""
    type_, context = details["type"], details.get("ctx", {})
    if type_ in ("value_error", "assertion_error"):  # raised by one of our validators, with its own message
        return str(context["error"])
    words = _MESSAGES.get(type_, "is not a valid value").format(**context)
    if context.get("min_length") == 1:
        words = "must not be empty"
    return words if type_ in _WITHOUT_VALUE else f"{words} (found {format_value(details['input'])})"


def format_value(value: Any) -> str:
    """Format a parsed value for messages; long values are cut."""
    if isinstance(value, dict | list):
        return json_type_name(value)
    if isinstance(value, str | Decimal):
        text = repr(str(value)) if isinstance(value, str) else str(value)
    else:
        text = json.dumps(value, default=str)
    return shorten(text, _MAX_CHARACTERS)


def json_type_name(value: Any) -> str:
    """Return the type of a parsed JSON value in words, such as "an object" or "a number"."""
    return _TYPE_NAMES.get(type(value), "a number")


def find_unstorable(value: Any, path: str = "", *, surrogates: bool = True) -> tuple[str, str] | None:
    """Find the first part of a parsed JSON value that cannot be stored: nested too deeply, or with a lone surrogate.

    Args:
        value: the value.
        path: the value's own path, which begins the returned one.
        surrogates: whether to look for lone surrogates, which UTF-8 cannot encode.

    Returns:
        The path and what is wrong there; None if the value can be stored.
    """
    return _find_unstorable(value, path, MAX_DEPTH, surrogates)


def _find_unstorable(value: Any, path: str, depth: int, surrogates: bool) -> tuple[str, str] | None:
    if isinstance(value, str):
        return None if not surrogates or _is_text(value) else (path, _SURROGATE)
    if not isinstance(value, dict | list):
        return None
    if depth == 0:
        return f"{path[:_MAX_CHARACTERS]}…", f"is nested too deeply: more than {MAX_DEPTH} objects and lists"
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}".lstrip(".")
            if surrogates and not _is_text(key):
                return ascii(here), _SURROGATE
            if (found := _find_unstorable(item, here, depth - 1, surrogates)) is not None:
                return found
        return None
    for position, item in enumerate(value):
        if (found := _find_unstorable(item, f"{path}[{position}]", depth - 1, surrogates)) is not None:
            return found
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
