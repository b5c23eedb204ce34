"""Counts tokens as a provider would, and which of them are in its prompt cache."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.rehearsal.replies import TokenCounts, UsageFormat
from twinbench.fingerprint import canonical_json, sha256_text

_PER_MESSAGE = 4


TokenCounter = Callable[[str, str], int]
"""Returns the number of tokens of a text, given the model and the text."""


def approximate_token_count(value: Any) -> int:
    """Return an approximate token count: one token for every four characters."""
    text = value if isinstance(value, str) else canonical_json(value)
    return -(-len(text) // 4)


class PromptCache:
    """Keeps prefixes of conversations for each session and model, for a limited time.

    For Claude models, the cache stores what precedes a ``cache_control`` mark, and reads what it stored of the part
    before the last mark. For the other models, it stores every prefix of whole messages, free of charge.

    Args:
        ttl_s: how long a prefix is kept after its last use.
        clock: gives the time if a call does not.
        tokens: counts the tokens.
    """

    def __init__(
        self,
        ttl_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        tokens: TokenCounter = lambda _model, text: approximate_token_count(text),
    ) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._tokens = tokens
        self._seen: dict[tuple[str, str, str], float] = {}

    def count(self, session: str, body: Mapping[str, Any], shape: UsageFormat, at: float | None = None) -> TokenCounts:
        """Count the tokens of a prompt, those read from the cache, and those written to it.

        Args:
            session: the session whose caches are used.
            body: the request.
            shape: decides whether the cache follows marks.
            at: the time, by the clock; None: now.
        """
        now = self._clock() if at is None else at
        by_mark = shape in (UsageFormat.anthropic, UsageFormat.openrouter)
        prefixes = list(self._prefixes(body))
        length = prefixes[-1].tokens if prefixes else 0
        kept = [each for each in prefixes if each.marked or not by_mark]
        read = 0
        for prefix in prefixes:
            key = (session, str(body.get("model")), prefix.name)
            if kept and prefix.tokens <= kept[-1].tokens and now - self._seen.get(key, -math.inf) <= self._ttl_s:
                read = prefix.tokens
                self._seen[key] = now  # reading a prefix prolongs its life
            if prefix in kept:
                self._seen[key] = now
        written = kept[-1].tokens - read if by_mark and kept else 0
        return TokenCounts(length, read, written)

    def remember(self, session: str, model: str, prefix: str, at: float) -> None:
        """Enter a prefix (``prefix_name``) that was cached before this object was made."""
        self._seen[session, model, prefix] = at

    def prompt_tokens(self, body: Mapping[str, Any]) -> int:
        """Return the number of tokens of the prompt."""
        prefixes = list(self._prefixes(body))
        return prefixes[-1].tokens if prefixes else 0

    def prefix_name(self, body: Mapping[str, Any]) -> str:
        """Name a whole prompt as a prefix of later ones; marks make no difference."""
        return list(self._prefixes(body))[-1].name

    def _prefixes(self, body: Mapping[str, Any]) -> Iterator[_Prefix]:
        """Yield every prefix, the shortest first; tools precede all messages."""
        model = str(body.get("model"))
        tools = body.get("tools") or []
        name = sha256_text(canonical_json(tools))
        length = self._tokens(model, canonical_json(tools)) if tools else 0
        messages: Sequence[Mapping[str, Any]] = body.get("messages") or []
        for message in messages:
            plain = json.dumps(_without_marks(message), sort_keys=True)
            name = sha256_text(name + plain)
            length += self._tokens(model, plain) + _PER_MESSAGE
            yield _Prefix(name, length, _is_marked(message))


@dataclass(frozen=True)
class _Prefix:
    """A conversation up to the end of one message."""

    name: str
    tokens: int
    marked: bool


def _without_marks(value: Any) -> Any:
    """Return a message as a cache compares it: without marks, and with a single block of text replaced by the text,
    which is equivalent.
    """
    if isinstance(value, Mapping):
        return {key: _without_marks(item) for key, item in value.items() if key != "cache_control"}
    if isinstance(value, list):
        items = [_without_marks(item) for item in value]
        if len(items) == 1 and isinstance(items[0], dict) and items[0].keys() == {"type", "text"}:
            return items[0]["text"]
        return items
    return value


def _is_marked(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "cache_control" in value or any(map(_is_marked, value.values()))
    return isinstance(value, list) and any(map(_is_marked, value))
