"""Compares the billed tokens with our own count of the same text: can a provider's usage belong to what was sent?

A provider counts with its own tokenizer and adds a template, so the ratio of its count to ours is not fixed. But it is
nearly the same in all calls of a model: ``token_ratios.toml`` contains what was measured in honest runs.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dynamic_track.auditing.evidence import AuditedCall, AuditedTrial, Evidence, Remark
from dynamic_track.auditing.trajectory import calls_with_conversation, read_trajectory
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.translation import plain_message
from twinbench.display.wording import format_count
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import static_manifest
from twinbench.text.messages import message_text
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

_FILE = Path(__file__).parent / "token_ratios.toml"

MIN_CALLS = 3
"""The least number of calls of one model for which its ratio is checked."""
TEMPLATE_TOKENS = 1000
"""The tokens that a provider's own template and tools may add to any prompt."""
_UNCOUNTED_TOKENS = 200
"""The tokens of a prompt that we count and a provider may not: tools, and the wrapping of messages."""
_MAX_CALL_RATIO = 3
"""A single prompt that is billed at more than this many times our count is a different prompt."""
_MEASURED_MARGIN = 1.15
"""The factor by which a run of a measured model may be outside its measured calls: other tasks, tool calls instead of
text.
"""
_LOWER_MARGIN = 1.25
_UPPER_MARGIN = 1.5
"""The same factors for any other model, below and above: more above, since new tokenizers make more tokens of code, and
since a usage that is too high is to the disadvantage of the router that is billed."""
_MIN_OUTPUT_RATIO = 0.5
"""The least ratio of billed tokens to our count of the answers. Hidden reasoning only adds to the billed tokens; a
call's arguments, which we count as JSON, take fewer tokens in the form in which some models write them."""
_MIN_ANSWER_TOKENS = 200
"""The least number of tokens that we count in a model's answers for which its output is checked."""
_MAX_RUN_RATIO = 1.25
"""The ratios of two runs of one model differ by less than this factor: in five runs of one case each, the highest is
1.10 times the lowest."""


class _Ratios(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str
    least: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)]
    source: str


class _Measured(_Ratios):
    model: str
    calls: int
    median: float


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    measured: tuple[_Measured, ...]
    others: tuple[_Ratios, ...]


@dataclass(frozen=True)
class HonestRatio:
    """The bounds for the median ratio of an honest run's calls."""

    low: float
    high: float
    model: str | None
    """The model with which it was measured; None: any."""
    source: str
    """The data on which it was measured."""


@dataclass(frozen=True)
class TokenRatio:
    """The tokens that were billed for a candidate's calls in a run, compared with our count."""

    candidate: str
    tokenizer: str
    """The name of the tokenizer of our count."""
    calls: int
    median: float
    """The ratio of a prompt's billed tokens to our count; the median of all calls."""
    low: float
    high: float
    """The 5th and the 95th percentile of the calls' ratios."""
    output: float | None
    """The ratio of all answers' billed tokens to our count; None if the answers are too short."""
    honest: HonestRatio

    def to_json(self) -> dict[str, Any]:
        """Return the ratio as a JSON object."""
        return asdict(self)

    @property
    def has_enough_calls(self) -> bool:
        """Whether there are enough calls for a check."""
        return self.calls >= MIN_CALLS

    def __str__(self) -> str:
        spread = f"{self.low:.2f} to {self.high:.2f} in {format_count(self.calls, 'call')}"
        return f"{self.candidate}: prompts are billed {self.median:.2f} times our count by {self.tokenizer} ({spread})"


def honest_ratio(model: str, tokenizer: str) -> HonestRatio:
    """Return what honest runs show for a model, or for any model if it was not measured.

    Args:
        model: its name at the gateway.
        tokenizer: the name of the tokenizer of our count.
    """
    for each in _table().measured:
        if (each.model, each.tokenizer) == (model, tokenizer):
            return HonestRatio(each.least / _MEASURED_MARGIN, each.most * _MEASURED_MARGIN, model, each.source)
    return _any_ratio(tokenizer)


def _any_ratio(tokenizer: str) -> HonestRatio:
    """Return the bounds for any model; for a tokenizer without measurements, the widest bounds."""
    table = _table()
    same = [each for each in table.others if each.tokenizer == tokenizer] or table.others
    least, most = min(each.least for each in same), max(each.most for each in same)
    return HonestRatio(least / _LOWER_MARGIN, most * _UPPER_MARGIN, None, same[0].source)


def token_ratios(run: Evidence) -> list[TokenRatio]:
    """Return the ratio of billed to counted tokens of each candidate that answered with a usage."""
    tokenizers = find_tokenizer_set(static_manifest())
    found = []
    for candidate, calls in _by_candidate(run).items():
        tokenizer = tokenizers.tokenizer_name(Tier.from_label(run.candidates[candidate].tier))
        ratios = [billed / ours for _, _, billed, ours in calls]
        cuts = quantiles(ratios, n=20, method="inclusive") if len(ratios) > 1 else ratios
        found.append(
            TokenRatio(
                candidate,
                tokenizer,
                len(ratios),
                median(ratios),
                cuts[0],
                cuts[-1],
                _output_ratio([call for _, call, _, _ in calls], tokenizers, tokenizer),
                honest_ratio(run.candidates[candidate].model, tokenizer),
            )
        )
    return found


def tokens(run: Evidence) -> Iterator[Remark]:
    """Count the prompts again: the counts used by routers and reservations must be right, and the billed tokens near
    them.
    """
    yield from _check_counts(run)
    by_candidate = _by_candidate(run)
    for ratio in token_ratios(run):
        honest = ratio.honest
        whose = f"honest runs of {'other models' if honest.model is None else 'it'}"
        if ratio.has_enough_calls and not honest.low <= ratio.median <= honest.high:
            what = f"{ratio}; {whose} show {honest.low:.2f} to {honest.high:.2f}"
            yield Remark(None, what, value=ratio.median)
        else:
            yield from _find_outliers(ratio, by_candidate[ratio.candidate])
        if ratio.has_enough_calls and ratio.output is not None and ratio.output < _MIN_OUTPUT_RATIO:
            what = f"answers are billed {ratio.output:.2f} times our count of what was said"
            yield Remark(
                None, f"{ratio.candidate}: {what}; not below {_MIN_OUTPUT_RATIO:g} in honest runs", ratio.output
            )


def other_ratios(run: Evidence, other: Evidence) -> Iterator[Remark]:
    """Find models whose prompts are billed differently than in another run; simulated models are compared with
    simulated ones.
    """
    if run.is_simulated != other.is_simulated:
        return
    theirs = {(each.candidate, each.tokenizer): each for each in token_ratios(other) if each.has_enough_calls}
    for each in token_ratios(run):
        there = theirs.get((each.candidate, each.tokenizer))
        if there is None or not each.has_enough_calls:
            continue
        if max(each.median, there.median) > _MAX_RUN_RATIO * min(each.median, there.median):
            yield Remark(None, f"{each}, in {other.directory.path} {there.median:.2f} times", value=each.median)


def _check_counts(run: Evidence) -> Iterator[Remark]:
    tokenizers = find_tokenizer_set(static_manifest())
    for trial in run.each_trial():
        spoken = read_trajectory(trial)
        if spoken is None:
            continue
        counter = PromptCounter(run.pool.candidates, tokenizers)
        for call, before in calls_with_conversation(trial, spoken):
            if call.decision is None:
                continue
            ours = counter.make_prompt([each.plain for each in before], spoken.tools, call.step).tokens
            if dict(ours) != call.decision.line.prompt_tokens:
                what = "the token count of the decision is not that of the conversation in trajectory.json"
                yield Remark(trial.name, f"journal, line {call.decision.number}, step {call.step}: {what}")
                break


_BilledCall = tuple[AuditedTrial, AuditedCall, int, int]
"""An answered call, the billed tokens of its prompt, and our count of them."""


def _by_candidate(run: Evidence) -> dict[str, list[_BilledCall]]:
    found: dict[str, list[_BilledCall]] = defaultdict(list)
    for trial in run.each_trial():
        for call in trial.answers:
            billed, ours = call.prompt_tokens, call.counted_tokens
            if billed is not None and ours and call.candidate in run.candidates:
                found[call.candidate].append((trial, call, billed, ours))
    return found


def _find_outliers(ratio: TokenRatio, calls: Sequence[_BilledCall]) -> Iterator[Remark]:
    """Find calls billed for far more or fewer tokens than their text has, where the bills of most calls fit."""
    low = _any_ratio(ratio.tokenizer).low
    for trial, call, billed, ours in calls:
        if billed > _MAX_CALL_RATIO * ours + TEMPLATE_TOKENS or billed + _UNCOUNTED_TOKENS < low * ours:
            what = f"a prompt of {billed:,} tokens is billed, but by our count it has {ours:,}"
            yield Remark(trial.name, f"{call.place}: {what}", value=billed / ours)


def _output_ratio(calls: Sequence[AuditedCall], tokenizers: TokenizerSet, tokenizer: str) -> float | None:
    said = sum(tokenizers.tokenizers[tokenizer].count([message_text(plain_message(call.message)) for call in calls]))
    billed = sum(call.usage.output for call in calls if call.usage is not None)
    return billed / said if said >= _MIN_ANSWER_TOKENS else None


@cache
def _table() -> _Table:
    return _Table.model_validate(tomllib.loads(_FILE.read_text("utf-8")))
