"""Helpers for the tests of router authors: make calls for a router, and a scripted LLM that the router may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from twinbench.routing.cache_policy import Prompt, StepTtl
from twinbench.routing.llm import MAX_TOKENS, LlmError, Reply, candidate_name
from twinbench.routing.router import Call, Candidate
from twinbench.routing.router_llm import Question, validate_question
from twinbench.routing.session import Session
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import static_manifest
from twinbench.text.messages import message_text, semantic_key
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set


class ScriptedLlm:
    """An LLM handle for ``use(llm)`` that returns prepared answers at no cost and records the questions.

    It validates questions like a real handle.

    Args:
        answers: the answers' texts, in order; an ``LlmError`` is raised instead of returned.
    """

    def __init__(self, *answers: str | LlmError) -> None:
        self._answers = answers
        self.questions: list[Question] = []
        """The questions so far, in order."""

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        candidate: Candidate | Tier | str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float | None = 0.0,
    ) -> Reply:
        """Return the next prepared answer; same arguments as ``twinbench.Llm.ask``.

        Raises:
            LlmError: the next answer is one, or the question is invalid.
            AssertionError: no answers are left.
        """
        question = validate_question(messages, candidate_name(candidate), max_tokens, temperature)
        self.questions.append(question)
        if len(self.questions) > len(self._answers):
            raise AssertionError(
                f"the test prepared {len(self._answers)} answers, but this is question {len(self.questions)}"
            )
        answer = self._answers[len(self.questions) - 1]
        if isinstance(answer, LlmError):
            raise answer
        return Reply(answer, question.candidate or Tier.LOW.label, Usage(), 0.0)


def make_call(
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    step_index: int = 1,
    session: str = "test",
) -> Call:
    """Make the first call of a session as the static track would, with tokens counted by the locked tokenizers.

    Args:
        messages: OpenAI chat messages.
        tools: OpenAI tools.
        step_index: position in the trajectory, from 1.
        session: the session key.
    """
    manifest = static_manifest()
    return Session(session, manifest.candidates(), StepTtl(manifest.cache_ttl_steps)).open_call(
        make_prompt(messages, tools=tools, step_index=step_index)
    )


def make_prompt(
    messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), step_index: int = 1
) -> Prompt:
    """Make a prompt for the static track's candidates, with its tokens counted."""
    manifest, tokenizers = static_manifest(), _tokenizers()
    counted = tokenizers.count([message_text(message) for message in messages])
    by_tokenizer = {name: tokenizers.prompt_tokens(tokens) for name, tokens in counted.items()}
    return Prompt(
        messages=tuple(messages),
        tools=tuple(tools),
        step_index=step_index,
        tokens={each.id: by_tokenizer[tokenizers.tokenizer_name(each.tier)] for each in manifest.candidates()},
        semantic_keys=[semantic_key(message) for message in messages],
    )


@cache
def _tokenizers() -> TokenizerSet:
    return find_tokenizer_set(static_manifest())
