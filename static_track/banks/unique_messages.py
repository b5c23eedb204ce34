"""The distinct messages of a bank: prefixes of one trajectory share nearly all their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinbench.display.progress import Progress, no_progress
from twinbench.text.messages import PROTOCOL_TEXT_RULES, exact_key, message_text, semantic_key, text_rules_version
from twinbench.text.tokens import TokenizerSet

_TEXTS_PER_BATCH = 512


class UniqueMessages:
    """Distinct messages, numbered from 0 by their exact form; all lists are indexed by that number."""

    def __init__(self) -> None:
        self.semantic_ids: list[int] = []
        """Semantic ids: equal for messages that a prefix comparison treats as the same."""
        self.assistant: list[bool] = []
        """Whether the message is the assistant's."""
        self.text_rules = PROTOCOL_TEXT_RULES
        """The lowest version of the text rules that gives all messages their texts."""
        self._text_ids: list[int] = []
        self._exact: dict[str, int] = {}
        self._semantic: dict[str, int] = {}
        self._texts: dict[str, int] = {}

    @property
    def json(self) -> list[str]:
        """The exact JSON of each message."""
        return list(self._exact)

    @property
    def texts(self) -> list[str]:
        """The distinct texts whose tokens are counted; fewer than messages."""
        return list(self._texts)

    def add(self, message: Mapping[str, Any]) -> int:
        """Add a message if it is new, and return its number."""
        key = exact_key(message)
        known = self._exact.get(key)
        if known is not None:
            return known
        self.semantic_ids.append(number_of(self._semantic, semantic_key(message)))
        self._text_ids.append(number_of(self._texts, message_text(message)))
        self.assistant.append(message.get("role") == "assistant")
        self.text_rules = max(self.text_rules, text_rules_version(message))
        return number_of(self._exact, key)

    def count_tokens(self, tokenizers: TokenizerSet, progress: Progress = no_progress) -> dict[str, list[int]]:
        """Count the tokens of each message's text, by tokenizer."""
        texts = self.texts
        counts: dict[str, list[int]] = {name: [] for name in tokenizers.distinct_names}
        for start in range(0, len(texts), _TEXTS_PER_BATCH):
            progress("counting tokens", start, len(texts))
            for name, counted in tokenizers.count(texts[start : start + _TEXTS_PER_BATCH]).items():
                counts[name] += counted
        return {name: [counted[text] for text in self._text_ids] for name, counted in counts.items()}


def number_of(numbers: dict[str, int], key: str) -> int:
    """Return the number of ``key``; a new key gets the next number."""
    return numbers.setdefault(key, len(numbers))
