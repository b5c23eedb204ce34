"""Remove secrets from whatever is written down, in every form in which they are likely to appear."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from twinbench.calls.packing import MOST_DEPTH, PACKED, packed, unpacked
from twinbench.errors import JournalError

REDACTED = "[secret]"
SHORTEST_SECRET = 7
"""Shorter values are not treated as secrets: local servers get placeholders such as ``none`` or ``ollama`` as keys, and
removing those would garble model names."""

_ESCAPE = "\\u"
"""Start of a JSON escape of a character by its code."""


class Secrets:
    """The secrets that must not be written down, in every form in which they are likely to appear."""

    def __init__(self, values: Iterable[str]) -> None:
        """Make the set of secrets; values shorter than ``SHORTEST_SECRET`` are ignored."""
        secrets = {value.strip() for value in values if len(value.strip()) >= SHORTEST_SECRET}
        forms = set().union(*map(_forms, secrets))
        self._texts = sorted(forms, key=lambda form: (-len(form), form))
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in self._texts]
        quoted = [_quoted_form(secret) for secret in sorted(secrets, key=lambda secret: (-len(secret), secret))]
        self._quoted = [re.compile(form) for form in quoted]
        self._quoted_bytes = [re.compile(form.encode()) for form in quoted]
        escaped = [_escaped_form(secret) for secret in sorted(secrets, key=lambda secret: (-len(secret), secret))]
        self._escaped = [re.compile(form) for form in escaped]
        self._escaped_bytes = [re.compile(form.encode()) for form in escaped]

    def redacted(self, text: str) -> str:
        """Replace each secret in ``text`` by ``[secret]``."""
        for form in self._texts:
            text = text.replace(form, REDACTED)
        # These patterns search character by character, which is slow: use them only if a marker is present.
        for quoted in self._quoted if "%" in text or "+" in text else ():
            text = quoted.sub(REDACTED, text)
        for escaped in self._escaped if _ESCAPE in text else ():
            text = escaped.sub(REDACTED, text)
        return text

    def redacted_bytes(self, data: bytes) -> bytes:
        """Replace each secret in ``data`` by ``[secret]``."""
        for form in self._bytes:
            data = data.replace(form, REDACTED.encode())
        for quoted in self._quoted_bytes if b"%" in data or b"+" in data else ():
            data = quoted.sub(REDACTED.encode(), data)
        for escaped in self._escaped_bytes if _ESCAPE.encode() in data else ():
            data = escaped.sub(REDACTED.encode(), data)
        return data

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Convert ``value`` to plain JSON without secrets.

        Args:
            value: the value.
            depth: the value's nesting depth within the whole.

        Raises:
            TypeError: a value has a type that a journal cannot store.
            JournalError: the value is nested more than ``MOST_DEPTH`` levels deep.
        """
        if isinstance(value, str):
            return self._plain_text(str(value))
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Decimal):
            return format(value, "f")
        if isinstance(value, bytes | bytearray | memoryview):
            return packed(self.redacted_bytes(bytes(value)))
        if isinstance(value, Path):
            return self.redacted(str(value))
        if depth > MOST_DEPTH:
            raise JournalError(f"a journal line cannot be nested more than {MOST_DEPTH} levels deep")
        if isinstance(value, Mapping):
            return {self.redacted(str(key)): self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item, depth + 1) for item in value]
        raise TypeError(f"a journal cannot store a {type(value).__name__}: {value!r:.60}")

    def _plain_text(self, text: str) -> str:
        if self._texts and text.startswith(PACKED):
            with suppress(JournalError):
                data = unpacked(text)
                cleaned = self.redacted_bytes(data)
                return text if cleaned == data else packed(cleaned)
        return self.redacted(text)


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, JSON-escaped once and twice, and in base64, alone or within longer data."""
    once = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped = once | {json.dumps(text)[1:-1] for text in once}
    escaped |= {text.replace("/", "\\/") for text in (secret, *once)}  # as PHP and some gateways write JSON
    data = secret.encode("utf-8", "surrogatepass")
    encoded = set()
    for before in range(3):
        # Base64 depends on the offset in a group of three bytes; only characters made of the secret alone are kept.
        text = base64.b64encode(bytes(before) + data).decode()
        own = text[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        encoded |= {own, own.translate(str.maketrans("+/", "-_"))}
    encoded |= {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    return {secret, *escaped, *encoded}


def _quoted_form(secret: str) -> str:
    """Return a pattern for a secret in a URL; encoders differ in which characters they quote and in letter case."""
    parts = []
    for byte in secret.encode("utf-8", "surrogatepass"):
        code, char = f"%(?i:{byte:02x})", re.escape(chr(byte))
        if byte >= 0x80:
            parts.append(code)
        elif byte == ord(" "):
            parts.append(rf"(?: |\+|{code})")
        else:
            parts.append(char if chr(byte).isalnum() else f"(?:{char}|{code})")
    return "".join(parts)


def _escaped_form(secret: str) -> str:
    """Return a pattern for a secret in JSON (or JSON within JSON), any of whose characters may be escaped."""
    parts = []
    for char in secret:
        units = char.encode("utf-16-be", "surrogatepass")
        codes = (f"(?i:{units[place : place + 2].hex()})" for place in range(0, len(units), 2))
        # JSON within JSON doubles backslashes: eight are three levels deep. Without a bound, a long run of them would
        # take quadratic time, during which no other thread runs.
        coded = "".join(rf"\\{{1,8}}u{code}" for code in codes)
        plain = rf"\\{{0,8}}{re.escape(char)}" if char in '"\\/' else re.escape(char)
        parts.append(f"(?:{plain}|{coded})")
    return "".join(parts)
