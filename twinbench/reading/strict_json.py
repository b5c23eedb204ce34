"""Parse JSON strictly: NaN, duplicate keys and huge numbers are refused, and the size is limited.

An error names the position of the refused value.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from twinbench.display.wording import shorten
from twinbench.errors import ContentError, Problem
from twinbench.reading.input_files import MAX_ROW_BYTES, InputError, format_mib
from twinbench.reading.validation import field_path

MAX_VALUES = 4_000_000
"""Largest number of values in one row or document; each value takes about a hundred times its length in memory."""

_MAX_FAULTS = 20  # reported per row or document
_MAX_DIGITS = 4000  # Python refuses to parse or print integers of more than 4,300 digits
_MAX_PATH_CHARACTERS = 200
_MAX_NUMBER_CHARACTERS = 40
_REPEATED_KEY = "occurs twice in one object"
_FIRST_WINDOW = 2**20
_MAX_TOKEN_CHARACTERS = 16  # of a constant or an escape sequence, which the end of the window may cut
_BYTE_ORDER_MARK = "\ufeff"
_SPACE = re.compile(r"[ \t\n\r]*")
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

Location = tuple[int | str, ...]
"""The keys and positions that lead to a value."""


class JsonError(ValueError):
    """A text cannot be read as JSON; the message continues a sentence that begins with its name."""


class NotJsonError(JsonError):
    """A text is not valid JSON; the message says what is wrong and at which position."""

    def __init__(self, what: str, *, cut_short: bool = False) -> None:
        super().__init__(f"not JSON: {what}")
        self.cut_short = cut_short
        """Whether the only error is that the text ends too early."""


@dataclass(frozen=True)
class Fault:
    """A part of a JSON value that is refused."""

    location: Location
    """Its position in the value, such as ``("messages", 3, "content")``."""
    what: str

    def to_problem(self, source: str, number: int | None, unit: str) -> Problem:
        """Make a problem of a row of ``source``; ``number`` is None if the file as a whole is one value."""
        return Problem(source, number, format_location(self.location) or None, self.what, unit)


class FaultyJsonError(JsonError):
    """A JSON text contains duplicate keys, or numbers that are NaN, infinite or too large."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(
            "; ".join(f"{format_location(each.location)}: {each.what}".removeprefix(": ") for each in faults)
        )
        self.faults = faults

    def to_problems(
        self, source: str, number: int | None = None, unit: str = "line", *, within: Location = ()
    ) -> list[Problem]:
        """Make a problem of each fault.

        Args:
            source: the name of the file.
            number: the number of the row; None if the file as a whole is one value.
            unit: what ``number`` counts.
            within: the position of the faulty value in the row.
        """
        return [Fault((*within, *each.location), each.what).to_problem(source, number, unit) for each in self.faults]


@dataclass(frozen=True)
class _RefusedNumber:
    """A placeholder for a refused number in a parsed value, until the number's position is known."""

    what: str


class _Parser:
    """A JSON decoder that records duplicate keys and refused numbers."""

    def __init__(self) -> None:
        self.repeated: dict[int, tuple[dict[str, Any], list[str]]] = {}
        """By ``id`` of a parsed dictionary: the dictionary (which keeps the id valid) and its duplicate keys."""
        self.refused: list[_RefusedNumber] = []
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_constant=lambda name: self._refuse(f"{name} is not a JSON number"),
            parse_float=self._float,
            parse_int=self._int,
        )

    def parse(self, text: str) -> Any:
        """Return the value of a JSON text."""
        self.repeated.clear()
        self.refused.clear()
        return self.check(self.decoder.decode(text))

    def check(self, value: Any) -> Any:
        """Return a parsed value unchanged if nothing in it was refused.

        Raises:
            FaultyJsonError: it has duplicate keys or refused numbers.
        """
        if self.repeated or self.refused:
            raise FaultyJsonError(list(islice(self._faults(value, ()), _MAX_FAULTS)))
        return value

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
            self.repeated[id(found)] = (found, keys)
        return found

    def _refuse(self, what: str) -> Any:
        refused = _RefusedNumber(what)
        self.refused.append(refused)
        return refused

    def _float(self, text: str) -> Any:
        number = float(text)
        if math.isinf(number):
            return self._refuse(f"the number {text[:_MAX_NUMBER_CHARACTERS]} is too large")
        return number

    def _int(self, text: str) -> Any:
        return int(text) if len(text) <= _MAX_DIGITS else self._refuse(f"an integer of {len(text):,} digits")

    def _faults(self, value: Any, path: Location) -> Iterator[Fault]:
        if isinstance(value, _RefusedNumber):
            yield Fault(path, value.what)
        elif isinstance(value, dict):
            _, keys = self.repeated.get(id(value), ({}, []))
            yield from (Fault((*path, key), _REPEATED_KEY) for key in keys)
            for key, item in value.items():
                yield from self._faults(item, (*path, key))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self._faults(item, (*path, position))


class _ThreadLocalParser(threading.local):
    """Holds one parser per thread, since making a decoder takes longer than parsing a short line."""

    def __init__(self) -> None:
        self.parser = _Parser()


_THREAD_LOCAL = _ThreadLocalParser()


def format_location(location: Location) -> str:
    """Format a position for messages, such as ``messages[3].content``; long keys are cut, lone surrogates escaped."""
    path = field_path(location)
    path = shorten(path, _MAX_PATH_CHARACTERS)
    return path.encode("utf-8", "backslashreplace").decode()


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        FaultyJsonError: an object has a duplicate key, or a number is NaN, infinite or too large.
        JsonError: it is not JSON, or has more than ``MAX_VALUES`` values.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        raise NotJsonError("it begins with a byte order mark")
    _refuse_too_many_values(text, MAX_VALUES)
    try:
        return _THREAD_LOCAL.parser.parse(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        raise NotJsonError(_add_position(error.msg, error.lineno, error.colno), cut_short=cut) from None
    except RecursionError:
        raise NotJsonError("nested too deeply") from None


def parse_document(data: bytes, name: str, unit: str = "row") -> Any:
    """Parse a file's content as one JSON value.

    Args:
        data: the file's bytes.
        name: the file's name in problems.
        unit: what problems call a member of a top-level list.

    Raises:
        ContentError: it is not UTF-8 or not JSON, or a part of it is refused.
    """
    try:
        return parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        what = f"not UTF-8: byte {error.start + 1}"
    except FaultyJsonError as error:
        problems = []
        for fault in error.faults:
            place = fault.location
            number = place[0] + 1 if place and isinstance(place[0], int) else None
            problems.append(Fault(place if number is None else place[1:], fault.what).to_problem(name, number, unit))
        raise ContentError(problems) from None
    except JsonError as error:
        what = str(error)
    raise ContentError([Problem(name, None, None, what)])


def read_list_members(blocks: Iterator[bytes]) -> Iterator[Any]:
    """Yield the members of a JSON list, with no more than one or two of them in memory at a time.

    For a member with refused values, its ``FaultyJsonError`` is yielded instead.

    Args:
        blocks: the list's bytes.

    Raises:
        JsonError: the text is not a list, or stops being valid JSON.
        InputError: a member is larger than a row may be, or reading fails.
    """
    return _ListReader(blocks).members()


class _ListReader:
    """Reads a JSON list through a window of text that moves on with every member."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes = 0
        self._has_begun = False
        self._text = ""
        self._at = 0
        self._lines = 1
        self._column = 1
        """Line and column of the window's first character."""

    def members(self) -> Iterator[Any]:
        first = self._next_character()
        if first == "":
            raise self._error_at("Expecting value")
        if first != "[":
            if first in '{"-0123456789ntf':
                raise JsonError("a .json file is one list of rows; for a row a line use .jsonl")
            raise self._error_at("Expecting value")
        self._at += 1
        mark = "," if self._next_character() != "]" else "]"
        while mark == ",":
            self._next_character()
            yield self._read_member()
            mark = self._next_character()
            if mark not in (",", "]"):
                raise self._error_at("Expecting ',' delimiter")
            self._at += mark == ","
        self._at += 1
        if self._next_character():
            raise self._error_at("Extra data")

    def _read_member(self) -> Any:
        while True:
            parsing = _Parser()
            try:
                value, end = parsing.decoder.raw_decode(self._text, self._at)
                if self._is_whole(end) or not self._grow():
                    self._at = end
                    return parsing.check(value)
            except FaultyJsonError as error:
                return error
            except json.JSONDecodeError as error:
                cut = "Unterminated" in error.msg or error.pos > len(self._text) - _MAX_TOKEN_CHARACTERS
                wrong = self._error_at(error.msg, error.pos)  # made before the window moves on
                if not (cut and self._grow()):
                    raise wrong from None
            except RecursionError:
                raise NotJsonError("nested too deeply") from None

    def _is_whole(self, end: int) -> bool:
        """Return whether a value surely ends at ``end``; a number at the window's end may continue (``1.``)."""
        behind = self._text[end : end + _MAX_TOKEN_CHARACTERS]
        return len(behind) == _MAX_TOKEN_CHARACTERS or behind.lstrip()[:1] in (",", "]")

    def _next_character(self) -> str:
        """Move to the next non-space character and return it; an empty string at the end of the input."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None  # noqa: S101 - it also matches an empty string
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def _grow(self) -> bool:
        """Double the part of the window that is not parsed yet; return False if there is no more input."""
        left = len(self._text) - self._at
        if left > MAX_ROW_BYTES:
            raise InputError(f"a row is larger than {format_mib(MAX_ROW_BYTES)}, the limit")
        parts: list[str] = []
        size = 0
        block: bytes | None = b""
        while size <= max(left, _FIRST_WINDOW) and (block := next(self._blocks, None)) is not None:
            parts.append(self._decode(block))
            size += len(parts[-1])
        if block is None:
            parts.append(self._decode(b""))
        if not any(parts):
            return False
        passed = self._text[: self._at]
        lines = passed.count("\n")
        self._column = len(passed) - passed.rfind("\n") if lines else self._column + len(passed)
        self._lines += lines
        self._text = "".join((self._text[self._at :], *parts))
        self._at = 0
        _refuse_too_many_values(self._text, 2 * MAX_VALUES)  # it may also hold a part of the next member
        return True

    def _decode(self, block: bytes) -> str:
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise JsonError(f"not UTF-8: byte {self._bytes - pending + error.start + 1}") from None
        self._bytes += len(block)
        if text and not self._has_begun:
            self._has_begun = True
            return text.removeprefix(_BYTE_ORDER_MARK)
        return text

    def _error_at(self, what: str, position: int | None = None) -> NotJsonError:
        before = self._text[: self._at if position is None else position]
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") if lines else self._column + len(before)
        return NotJsonError(_add_position(what, self._lines + lines, column))


def _add_position(what: str, line: int, column: int) -> str:
    place = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return f"{what.removesuffix(' at')} at {place}"


def _refuse_too_many_values(text: str, max_values: int) -> None:
    # Commas separate values but also occur in strings; strings are only removed if there are many commas.
    if text.count(",") > max_values and _TEXT.sub("", text).count(",") > max_values:
        raise JsonError(f"has more than {MAX_VALUES:,} values, the maximum")
