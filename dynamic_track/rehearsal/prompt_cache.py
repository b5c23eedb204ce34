"""Tokens as a provider would count them, and which of them it has in its cache."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.rehearsal.replies import Counts, Shape
from twinbench.fingerprint import canonical_json, sha256_text

_PER_MESSAGE = 4


Tokens = Callable[[str, str], int]
"""How many tokens a text has, by model and text."""


def tokens_of(value: Any) -> int:
    """A count that grows with the text; every fourth character is a token."""
    text = value if isinstance(value, str) else canonical_json(value)
    return -(-len(text) // 4)


class PromptCache:
    """Prefixes of conversations, for each session and model, for a time.

    Claude models write what stands before a ``cache_control`` mark, and read what was written of the part before the
    last mark. The others keep every prefix of whole messages, at no price.

    Args:
        ttl_s: how long a prefix is kept after it was last used.
        clock: where nobody says when a prompt comes.
        tokens: what counts them.
    """

    def __init__(
        self,
        ttl_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        tokens: Tokens = lambda _model, text: tokens_of(text),
    ) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._tokens = tokens
        self._seen: dict[tuple[str, str, str], float] = {}

    def count(self, session: str, body: Mapping[str, Any], shape: Shape, at: float | None = None) -> Counts:
        """How long the prompt is, what of it was cached, and what is from now on.

        Args:
            session: whose caches.
            body: the request.
            shape: whether the cache goes by marks.
            at: when, by the clock; None: now.
        """
        now = self._clock() if at is None else at
        by_mark = shape in (Shape.anthropic, Shape.openrouter)
        prefixes = list(self._prefixes(body))
        length = prefixes[-1].tokens if prefixes else 0
        kept = [each for each in prefixes if each.marked or not by_mark]
        read = 0
        for prefix in prefixes:
            key = (session, str(body.get("model")), prefix.name)
            if kept and prefix.tokens <= kept[-1].tokens and now - self._seen.get(key, -math.inf) <= self._ttl_s:
                read = prefix.tokens
                self._seen[key] = now  # what is read is kept on
            if prefix in kept:
                self._seen[key] = now
        written = kept[-1].tokens - read if by_mark and kept else 0
        return Counts(length, read, written)

    def remember(self, session: str, model: str, prefix: str, at: float) -> None:
        """What was cached before this cache was made (``prefix_name``)."""
        self._seen[session, model, prefix] = at

    def prompt_tokens(self, body: Mapping[str, Any]) -> int:
        """How long the prompt is."""
        prefixes = list(self._prefixes(body))
        return prefixes[-1].tokens if prefixes else 0

    def prefix_name(self, body: Mapping[str, Any]) -> str:
        """Names a whole prompt as a prefix of later ones; marks do not matter."""
        return list(self._prefixes(body))[-1].name

    def _prefixes(self, body: Mapping[str, Any]) -> Iterator[_Prefix]:
        """Every prefix, the shortest first; tools stand before all messages."""
        model = str(body.get("model"))
        tools = body.get("tools") or []
        name = sha256_text(canonical_json(tools))
        length = self._tokens(model, canonical_json(tools)) if tools else 0
        messages: Sequence[Mapping[str, Any]] = body.get("messages") or []
        for message in messages:
            plain = json.dumps(_unmarked(message), sort_keys=True)
            name = sha256_text(name + plain)
            length += self._tokens(model, plain) + _PER_MESSAGE
            yield _Prefix(name, length, _is_marked(message))


@dataclass(frozen=True)
class _Prefix:
    """A conversation up to the end of a message."""

    name: str
    tokens: int
    marked: bool


def _unmarked(value: Any) -> Any:
    """A message as a cache compares it: without marks, and a single block of text as that text, which is the same."""
    if isinstance(value, Mapping):
        return {key: _unmarked(item) for key, item in value.items() if key != "cache_control"}
    if isinstance(value, list):
        items = [_unmarked(item) for item in value]
        if len(items) == 1 and isinstance(items[0], dict) and items[0].keys() == {"type", "text"}:
            return items[0]["text"]
        return items
    return value


def _is_marked(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "cache_control" in value or any(map(_is_marked, value.values()))
    return isinstance(value, list) and any(map(_is_marked, value))
