"""Turn a running conversation into a prompt with token counts; each message is counted only once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routing.cache_policy import Prompt
from twinbench.routing.tiers import Tier
from twinbench.storage.manifests import LiveCandidate
from twinbench.text.messages import Message, exact_key, message_text, semantic_key
from twinbench.text.tokens import TokenizerSet


class PromptCounter:
    """Counts the prompts of one trial; each candidate is counted by its tier's tokenizer (static.md)."""

    def __init__(self, candidates: Sequence[LiveCandidate], tokenizers: TokenizerSet) -> None:
        self._tokenizer_of = {each.id: tokenizers.tokenizer_name(Tier.from_label(each.tier)) for each in candidates}
        self._tokenizers = tokenizers
        self._counted: dict[str, Mapping[str, int]] = {}

    def make_prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], step_index: int) -> Prompt:
        """Make a prompt from a conversation; the offered tools count as their JSON text."""
        texts = {exact_key(message): message_text(message) for message in messages}
        keys = [exact_key(message) for message in messages]
        offered = json.dumps(list(tools), ensure_ascii=False) if tools else ""
        if offered:
            texts[offered] = offered
        new = [key for key in texts if key not in self._counted]
        counts = self._tokenizers.count([texts[key] for key in new])
        for number, key in enumerate(new):
            self._counted[key] = {name: of_texts[number] for name, of_texts in counts.items()}
        total = {
            name: self._tokenizers.prompt_tokens([self._counted[key][name] for key in keys])
            + (self._counted[offered][name] if offered else 0)
            for name in set(self._tokenizer_of.values())
        }
        return Prompt(
            messages=tuple(messages),
            tools=tuple(tools),
            step_index=step_index,
            tokens={candidate: total[name] for candidate, name in self._tokenizer_of.items()},
            semantic_keys=[semantic_key(message) for message in messages],
        )
