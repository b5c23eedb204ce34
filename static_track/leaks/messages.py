"""Extract features other than the text's meaning from one message, and from the tools of a call.

Features are mappings from (trait, measure) to a value. A message's position in its prompt is handled by ``traits``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from static_track.leaks.lookup import Value
from twinbench.text.messages import Message, message_text

LABEL_WORDS = (
    "low",
    "mid",
    "mid_high",
    "high",
    "easy",
    "medium",
    "hard",
    "simple",
    "complex",
    "difficult",
    "trivial",
    "cheap",
    "expensive",
    "weak",
    "strong",
    "small",
    "large",
    "tier",
    "target",
    "label",
    "difficulty",
    "gold",
)
"""Words that suggest which model a call needs; ``mid_high`` in any spelling."""

_WORDS = {word: re.compile(rf"{word}(?<![a-z]{word})(?![a-z])") for word in LABEL_WORDS if word != "mid_high"}
_WORDS["mid_high"] = re.compile(r"mid[ _-]?high(?![a-z])")
_NAMED = re.compile(
    r"(?:tier|target|label|level|difficulty|class|route|router|complexity|category|rank|grade|model)"
    r"""(?:[_-]?\w+)?["']?\s*[:=]\s*["']?([\w.-]{1,24})""",
)
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?")
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)")
_EPOCH = re.compile(r"(1\d{9})(\d{3})?(?!\d)")
_INTEGER = re.compile(r"\b\d{1,9}\b")
_HEX = re.compile(r"\b[0-9a-f]{7,64}\b")
_MARK = re.compile(r"^\s*([^\w\s]{0,4}[\[<({#@][^\]>)}\s]{1,24})")
_MARK_AT_END = re.compile(r"([\[<({#@][^\[<({\s]{1,24}[\]>)}]?[^\w\s]{0,4})\s*$")
_ID_PREFIX = re.compile(r"^[a-zA-Z]*[_-]?")
_DIGITS_AT_END = re.compile(r"\d{1,15}$")

_END = 2000
"""How many characters at either end of a text are searched for times, numbers and values."""

_USUAL = {
    ("role",),
    ("content",),
    ("name",),
    ("tool_call_id",),
    ("tool_calls", "id"),
    ("tool_calls", "type"),
    ("tool_calls", "name"),
    ("tool_calls", "arguments"),
    ("tool_calls", "function", "name"),
    ("tool_calls", "function", "arguments"),
    ("content", "type"),
    ("content", "text"),
    ("content", "thinking"),
    ("content", "signature"),
    ("content", "id"),
    ("content", "tool_use_id"),
    ("content", "name"),
    ("content", "input"),
    ("content", "content"),
}
"""Paths within a message whose values belong to other traits or to the conversation itself."""

_SCHEMA = {
    "type",
    "name",
    "description",
    "title",
    "enum",
    "default",
    "format",
    "required",
    "minimum",
    "maximum",
    "pattern",
    "examples",
    "const",
    "additionalProperties",
    "optional",
}
"""Keys of tools and JSON schemas whose values describe the tool."""

_LANGUAGE = {"arguments", "input"}
"""Keys whose objects are written by the model."""


@dataclass(frozen=True)
class MessageFeatures:
    """The features of a message or a list of tools."""

    values: Mapping[tuple[str, str], Value] = field(default_factory=dict)
    """Values by trait and measure."""
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Counts by trait and measure that are summed over a prompt."""
    keys: frozenset[str] = frozenset()
    """Paths of all keys, such as ``tool_calls[].function.name``."""
    orders: tuple[str, ...] = ()
    """Keys of each object in their order, by path."""
    extra: Mapping[str, Value] = field(default_factory=dict)
    """Values of non-standard keys, by path."""
    call_ids: tuple[str, ...] = ()
    answered_ids: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    """The first and the last time in the text, in seconds."""
    role: str = ""


def message_features(message: Message) -> MessageFeatures:
    """Extract the features of a message."""
    keys: set[str] = set()
    orders: list[str] = []
    extra: dict[str, Value] = {}
    for path, value in _walk(message, ()):
        if isinstance(value, Mapping):
            orders.append(f"{'.'.join(path)}({', '.join(value)})")
        elif path:
            keys.add(".".join(path))
            if path not in _USUAL and not isinstance(value, list):
                extra[f"messages[].{'.'.join(path)}"] = _scalar(value)
    text = message_text({"content": message.get("content")})
    whole = message_text(message)
    values: dict[tuple[str, str], Value] = {
        **_ends(text),
        **_characters(text),
        ("prompt length", "characters"): len(whole),
        ("content's form", "content"): _form(message),
        ("content's form", "arguments"): _argument_form(message),
        ("name of a message", "name"): _scalar(message.get("name")),
        **_numbers(text),
    }
    words, last = _label_words(whole)
    named = list(_NAMED.finditer(whole[-_END:].lower()))
    values["label-like words in text", "last word"] = last
    values["label-like words in text", "last value"] = named[-1][1] if named else None
    counts = {("label-like words in text", word): number for word, number in words.items()}
    calls, answered = _ids(message)
    counts["number of tool calls", "calls"] = len(calls)
    return MessageFeatures(
        values,
        counts,
        frozenset(keys),
        tuple(dict.fromkeys(orders)),
        extra,
        tuple(calls),
        tuple(answered),
        tuple(_times(text)),
        str(message.get("role")),
    )


def tool_features(tools: Sequence[Mapping[str, Any]]) -> MessageFeatures:
    """Extract the features of a call's tools."""
    keys: set[str] = set()
    orders: list[str] = []
    extra: dict[str, Value] = {}
    for tool in tools:
        for path, value in _walk(tool, ()):
            shown = ".".join(_schema_path(path))
            if isinstance(value, Mapping):
                if "properties" not in path[-1:]:
                    orders.append(f"{shown}({', '.join(value)})")
            elif path:
                keys.add(shown)
                if path[-1] not in _SCHEMA and not _within_names(path) and not isinstance(value, list):
                    extra.setdefault(f"tools[].{shown}", _scalar(value))
    names = [str(_function(tool).get("name")) for tool in tools]
    values: dict[tuple[str, str], Value] = {
        ("number of tools", "tools"): len(tools),
        ("names of tools", "first"): names[0] if names else None,
        ("names of tools", "all"): ", ".join(names),
        ("names of tools", "sorted"): int(names == sorted(names)),
    }
    return MessageFeatures(values, {}, frozenset(keys), tuple(dict.fromkeys(orders)), extra)


def id_values(ids: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """Yield features of the ids of a prompt's tool calls."""
    for place, one in (("first", ids[0]), ("last", ids[-1])):
        prefix = _ID_PREFIX.match(one)
        start = prefix.end() if prefix is not None else 0
        digits = _DIGITS_AT_END.search(one)
        yield f"prefix of the {place}", one[:start]
        yield f"length of the {place}", len(one)
        yield f"first character of the {place} after its prefix", one[start : start + 1]
        yield f"last character of the {place}", one[-1:]
        yield f"number at the end of the {place}", int(digits[0]) if digits else None
    order = [first < second for first, second in pairwise(ids)]
    yield "order", "up" if all(order) else "mixed" if any(order) else "down"
    yield "repeated", len(ids) - len(set(ids))


def time_values(moment: float) -> Iterator[tuple[str, Value]]:
    """Yield a moment and its parts."""
    yield "moment", moment
    yield "second", int(moment) % 60
    yield "minute", int(moment) // 60 % 60
    yield "hour", int(moment) // 3600 % 24
    yield "day", int(moment) // 86400


def text_times(text: str) -> list[float]:
    """Return the first and the last time in a text, in seconds since 1970, or since midnight if there is no date."""
    return _times(text)


def words_of_keys(keys: frozenset[str]) -> list[str]:
    """Return label-like words in the names of keys."""
    return sorted({word for key in keys for word in _label_words(key.replace("_", " "))[0]})


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every nested value with the keys that lead to it; positions in lists are left out."""
    yield path, value
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key not in _LANGUAGE:
                yield from _walk(below, (*path, str(key)))
            else:
                yield (*path, str(key)), ""
    elif isinstance(value, list):
        for below in value:
            yield from _walk(below, path)


def _schema_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path within a schema with the names of properties replaced, since they are free text."""
    return tuple("*" if position and path[position - 1] == "properties" else key for position, key in enumerate(path))


def _within_names(path: tuple[str, ...]) -> bool:
    """Return whether the last key is the name of a property."""
    return len(path) > 1 and path[-2] == "properties"


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    return function if isinstance(function, Mapping) else tool


def _scalar(value: Any) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, int | float | str | None) else "an object"


def _ends(text: str) -> dict[tuple[str, str], Value]:
    stripped = text.strip()
    trailing = text[len(text.rstrip()) :]
    leading = text[: len(text) - len(text.lstrip())]
    mark, mark_at_end = _MARK.search(text[:100]), _MARK_AT_END.search(text[-100:])
    return {
        ("white space at the ends", "trailing"): _escape(trailing[-8:]),
        ("white space at the ends", "trailing characters"): len(trailing),
        ("white space at the ends", "leading"): _escape(leading[:8]),
        ("marks at the ends", "start"): mark[1] if mark else None,
        ("marks at the ends", "end"): mark_at_end[1] if mark_at_end else None,
        ("marks at the ends", "first character"): _kind_of(stripped[:1]),
        ("marks at the ends", "last character"): _kind_of(stripped[-1:]),
    }


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode()


def _kind_of(character: str) -> str:
    """Return a class for a letter or digit, and other characters as they are."""
    if character.isalpha():
        return "capital" if character.isupper() else "letter"
    return "digit" if character.isdigit() else _escape(character)


def _characters(text: str) -> dict[tuple[str, str], Value]:
    odd: list[str] = [] if text.isascii() else [char for char in text if not char.isascii()]
    hidden = sorted({char for char in odd if unicodedata.category(char) in ("Cf", "Co", "Cn", "Zs", "Zl", "Zp", "Mn")})
    alphabets = {unicodedata.name(char, "?").partition(" ")[0] for char in set(odd) if char.isalpha()}
    return {
        ("unusual characters", "not ASCII"): len(odd),
        ("unusual characters", "invisible"): _escape("".join(hidden)),
        ("unusual characters", "alphabets"): ", ".join(sorted(alphabets)),
        ("unusual characters", "composed"): "yes" if unicodedata.is_normalized("NFC", text) else "no",
        ("white space within", "carriage returns"): text.count("\r"),
        ("white space within", "tabs"): text.count("\t"),
        ("white space within", "two spaces"): text.count("  "),
        ("white space within", "spaces at ends of lines"): text.count(" \n"),
        ("white space within", "empty lines"): text.count("\n\n"),
    }


def _numbers(text: str) -> dict[tuple[str, str], Value]:
    first, last = _INTEGER.search(text[:_END]), _INTEGER.findall(text[-_END:])[-1:]
    ids = [found[0] for found in _HEX.finditer(text[:_END]) if _is_mixed(found[0])]
    ids_at_end = [found for found in _HEX.findall(text[-_END:]) if _is_mixed(found)] if len(text) > _END else ids
    return {
        ("numbers in text", "first"): int(first[0]) if first else None,
        ("numbers in text", "last"): int(last[0]) if last else None,
        ("hexadecimal ids in text", "first digit of the first"): ids[0][0] if ids else None,
        ("hexadecimal ids in text", "last digit of the first"): ids[0][-1] if ids else None,
        ("hexadecimal ids in text", "first digit of the last"): ids_at_end[-1][0] if ids_at_end else None,
        ("hexadecimal ids in text", "last digit of the last"): ids_at_end[-1][-1] if ids_at_end else None,
    }


def _is_mixed(digits: str) -> bool:
    """Return whether hexadecimal digits are neither a number nor a word."""
    return not digits.isdigit() and not digits.isalpha()


def _label_words(text: str) -> tuple[dict[str, int], str | None]:
    """Return label-like words with their counts, and the last of them."""
    lowered = text.lower()
    found, last = {}, (-1, "")
    for word, pattern in _WORDS.items():
        if word[:3] in lowered and (places := [each.start() for each in pattern.finditer(lowered)]):
            found[word] = len(places)
            last = max(last, (places[-1], word))
    return found, last[1] or None


def _times(text: str) -> list[float]:
    parts = [(0, text)] if len(text) <= 2 * _END else [(0, text[:_END]), (len(text) - _END, text[-_END:])]
    found: list[tuple[int, float]] = []
    for start, part in parts:
        for match in _TIME.finditer(part):
            year, month, day, hour, minute, second, fraction = (int(each or 0) for each in match.groups())
            try:
                moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()
            except ValueError:  # only looks like a date
                continue
            found.append((start + match.start(), moment + float(f"0.{fraction}")))
        found += [(start + match.start(), float(match[1])) for match in _EPOCH.finditer(part)]
    if not found:
        for start, part in parts:
            for match in _CLOCK.finditer(part):
                hour, minute, second = map(int, match.groups())
                found.append((start + match.start(), hour * 3600.0 + minute * 60 + second))
    found.sort()
    return [found[0][1], found[-1][1]] if found else []


def _ids(message: Message) -> tuple[list[str], list[str]]:
    """Return the ids of a message's tool calls, and of those that it answers."""
    calls = [call.get("id") for call in message.get("tool_calls") or ()]
    answered = [message.get("tool_call_id")]
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping):
            if str(block.get("type")).endswith("tool_use"):
                calls.append(block.get("id"))
            answered.append(block.get("tool_use_id"))
    return [one for one in calls if isinstance(one, str) and one], [one for one in answered if isinstance(one, str)]


def _form(message: Message) -> str:
    if "content" not in message:
        return "absent"
    content = message["content"]
    if isinstance(content, list):
        return "blocks " + ", ".join(str(block.get("type")) if isinstance(block, Mapping) else "" for block in content)
    return "null" if content is None else "text" if content else "empty"


def _argument_form(message: Message) -> str | None:
    """Return how the arguments of a message's first tool call are written."""
    for call in message.get("tool_calls") or ():
        function = _function(call)
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            spaced = '": ' in arguments
            return "text, spaced" if spaced else "text, narrow"
        return "object" if isinstance(arguments, Mapping) else "none"
    return None
