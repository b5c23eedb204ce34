"""The numbers of each row that scoring needs, computed once when a bank is imported.

Source: static.md, "Cost of one row on one path" and "Tokens of a message list". None of them depends on a prediction
or a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

from static_track.banks.unique_messages import UniqueMessages
from twinbench.fingerprint import fingerprint
from twinbench.routing.tiers import Tier
from twinbench.storage.manifests import StaticManifest
from twinbench.text.messages import PROTOCOL_TEXT_RULES
from twinbench.text.tokens import TokenizerSet


@dataclass(frozen=True, slots=True)
class StepMessages:
    """A row's place and label, with its messages by number."""

    row_no: int
    trajectory: int
    step_index: int
    target: int | None
    """The label's tier id; None in a bank without labels."""
    messages: Sequence[int]


@dataclass(frozen=True, slots=True)
class BaseRow:
    """A row of the table ``base``; lists have one count per tier, low to high."""

    row_no: int
    trajectory: int
    step_index: int
    target: int | None
    prompt: list[int]
    reusable: list[int] | None
    output: int | None
    """Billed output tokens, by the tokenizer of the label's tier; None in a bank without labels."""
    visible: list[int] | None


def base_fingerprint(manifest: StaticManifest, tokenizers: TokenizerSet, text_rules: int = PROTOCOL_TEXT_RULES) -> str:
    """Return the fingerprint of what the numbers depend on besides the bank: tokenizers, token constants, text rules.

    Args:
        manifest: the manifest with the token constants.
        tokenizers: the tokenizers that count.
        text_rules: the version of the text rules that the bank's messages need.
    """
    constants = (manifest.tokens_per_message, manifest.tokens_priming, manifest.fallback_output_tokens)
    rules = {} if text_rules == PROTOCOL_TEXT_RULES else {"text_rules": text_rules}
    return fingerprint({"tokenizers": tokenizers.fingerprint_parts, "constants": constants} | rules)


def base_rows(
    steps: Sequence[StepMessages],
    messages: UniqueMessages,
    tokens: Mapping[str, Sequence[int]],
    manifest: StaticManifest,
    tokenizers: TokenizerSet,
) -> Iterator[BaseRow]:
    """Yield the ``base`` row of every row, for steps in canonical order.

    Args:
        steps: all rows of the bank.
        messages: the bank's messages.
        tokens: tokens of each message's text, by tokenizer.
        manifest: the token constants.
        tokenizers: which tokenizer counts for which tier.
    """
    per_message = manifest.tokens_per_message

    def answer_tokens(step: StepMessages, following: StepMessages) -> list[int]:
        """Count the assistant's tokens between two rows by tier, without the list's own 2 tokens."""
        said = [number for number in following.messages[len(step.messages) :] if messages.assistant[number]]
        counted = {name: sum(of[number] for number in said) + per_message * len(said) for name, of in tokens.items()}
        return [counted[tokenizers.tokenizer_name(tier)] for tier in Tier]

    def prompt(step: StepMessages) -> list[int]:
        counted = {
            name: tokenizers.prompt_tokens([of[number] for number in step.messages]) for name, of in tokens.items()
        }
        return [counted[tokenizers.tokenizer_name(tier)] for tier in Tier]

    def continues(earlier: StepMessages, later: StepMessages) -> bool:
        """Return whether the earlier row's messages are a semantic prefix of the later row's."""
        if len(earlier.messages) > len(later.messages):
            return False
        semantic = messages.semantic_ids
        return all(a == b or semantic[a] == semantic[b] for a, b in zip(earlier.messages, later.messages, strict=False))

    for _, group in groupby(steps, key=attrgetter("trajectory")):
        rows = list(group)
        visible: list[list[int] | None] = [*(answer_tokens(*pair) for pair in pairwise(rows)), None]
        outputs = _outputs([row.target for row in rows], visible, manifest.fallback_output_tokens)
        previous: tuple[StepMessages, list[int]] | None = None
        for row, counts, output in zip(rows, visible, outputs, strict=True):
            tokens_of_prompt = prompt(row)
            reusable = previous[1] if previous is not None and continues(previous[0], row) else None
            yield BaseRow(
                row.row_no, row.trajectory, row.step_index, row.target, tokens_of_prompt, reusable, output, counts
            )
            previous = (row, tokens_of_prompt)


def _outputs(
    targets: Sequence[int | None], visible: Sequence[Sequence[int] | None], fallback: int
) -> Sequence[int | None]:
    """Return the billed output tokens of a trajectory's rows; the last row, which has no recorded answer, gets the
    mean.
    """
    if any(target is None for target in targets):
        return [None] * len(targets)
    labelled = [(target, counts) for target, counts in zip(targets, visible, strict=True) if target is not None]
    billed = [counts[target] for target, counts in labelled if counts is not None]
    positive = [count for count in billed if count > 0]
    return [*billed, sum(positive) // len(positive) if positive else fallback]
