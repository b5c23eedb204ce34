"""Checks of an answer's text: it equals an expected text, or contains expected texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from static_track.construction.turns.comparing import values_match
from static_track.construction.turns.evaluating import PASSED, Answer, Check, CheckContext, Evaluation, fail

Texts = Annotated[tuple[str, ...], Field(min_length=1)]


class Exact(Check):
    """The answer equals one of the expected texts, ignoring white space and optionally case."""

    text: Texts
    ignore_case: bool = False

    def evaluate(self, answers: Sequence[Answer], _tools: CheckContext) -> Evaluation:
        """Compare the answer."""
        said = answers[-1].text
        if any(_equals(said, each, ignore_case=self.ignore_case) for each in self.text):
            return PASSED
        return fail(f"the answer is not {self.text[0]!r:.80}")


class Contains(Check):
    """The answer contains every expected text, ignoring case, and is not too long."""

    text: Texts
    most_characters: Annotated[int, Field(gt=0)]
    """Largest length of the answer; otherwise an answer that quotes its whole prompt would pass."""

    def evaluate(self, answers: Sequence[Answer], _tools: CheckContext) -> Evaluation:
        """Look for each text."""
        said = answers[-1].text.casefold()
        if len(said) > self.most_characters:
            return fail(f"the answer has {len(said):,} characters; {self.most_characters:,} are allowed")
        missing = [each for each in self.text if each.casefold() not in said]
        return fail(f"the answer does not contain {missing[0]!r:.80}") if missing else PASSED


def _equals(said: str, expected: str, *, ignore_case: bool) -> bool:
    return values_match(said, expected) if ignore_case else said.split() == expected.split()
