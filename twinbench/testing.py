"""For the tests of router authors: calls to ask a router about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from twinbench.cache_policy import Prompt, StepTtl
from twinbench.messages import message_text, semantic_key
from twinbench.pools import static_manifest
from twinbench.router import Call
from twinbench.session import Session
from twinbench.tokens import TokenizerSet, tokenizer_set


def make_call(
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    step_index: int = 1,
    session: str = "test",
) -> Call:
    """A first call as the static track would make it, tokens counted by the locked tokenizers.

    Args:
        messages: OpenAI chat messages.
        tools: OpenAI tools.
        step_index: position in the trajectory, from 1.
        session: the session's key.
    """
    manifest = static_manifest()
    return Session(session, manifest.candidates(), StepTtl(manifest.cache_ttl_steps)).call(
        make_prompt(messages, tools=tools, step_index=step_index)
    )


def make_prompt(
    messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), step_index: int = 1
) -> Prompt:
    """A prompt for the static track's candidates, its tokens counted."""
    manifest, tokenizers = static_manifest(), _tokenizers()
    counted = tokenizers.count([message_text(message) for message in messages])
    by_tokenizer = {name: tokenizers.prompt_tokens(tokens) for name, tokens in counted.items()}
    return Prompt(
        messages=tuple(messages),
        tools=tuple(tools),
        step_index=step_index,
        tokens={each.id: by_tokenizer[tokenizers.of_tier(each.tier)] for each in manifest.candidates()},
        semantic_keys=[semantic_key(message) for message in messages],
    )


@cache
def _tokenizers() -> TokenizerSet:
    return tokenizer_set(static_manifest())
