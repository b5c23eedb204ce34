"""Predictions of one router on one bank: in memory, and as a JSONL file.

Source: static.md, "Predictions".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any

from twinbench.errors import ContentError, Problem
from twinbench.fingerprint import fingerprint
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import MAX_PROBLEMS, Source, open_source
from twinbench.reading.validation import format_value
from twinbench.routing.tiers import Tier

_TIERS = len(Tier)

SLOW_DECISION_MS = 5000.0
TIMES_SLOWER = 10
"""How much longer than the others a decision takes that loads something."""


@dataclass(frozen=True)
class Predictions:
    """A router's answers for each row of a part of a bank; lists are in the order of ``row_nos``."""

    row_nos: Sequence[int]
    tier_ids: Sequence[int | None]
    """The picked tiers; None for an error."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """Error messages by row number."""
    latencies_ms: Sequence[float] | None = None
    """How long each decision took; None if it was not measured."""
    scores: Sequence[float | None] | None = None
    rationales: Sequence[str | None] | None = None
    router_usd: Sequence[Decimal | None] | None = None
    """Cost of the router's own LLM calls by decision (None if it asked nothing); None if it never asked."""
    llm_failure: str | None = None
    """Why an LLM call of the router got no answer, for a reason that may not recur: provider, cap, no provider given.
    """
    stopped: bool = False
    """Whether the router was stopped after too many failures in a row."""
    in_sample: bool = False
    """Whether the router was trained on these rows."""

    @property
    def warnings(self) -> list[str]:
        """Notes on a router beside its failure, each as the end of a sentence."""
        found = [] if (slow := self._slow_decision) is None else [slow]
        if self.llm_failure is not None and self.failure is None:
            found.append(
                "got no answer to some of its LLM calls, so its result is not cached; the first error: "
                f"{self.llm_failure}"
            )
        return found

    @property
    def _slow_decision(self) -> str | None:
        """Whether one decision took far longer than the others, as the first does that loads a model."""
        slowest, usual = max(self.latencies_ms or [0.0]), median(self.latencies_ms or [0.0])
        if slowest < SLOW_DECISION_MS or slowest < TIMES_SLOWER * usual:
            return None
        return (
            f"took {slowest / 1e3:,.1f} s for its slowest decision, {usual:,.0f} ms for the median; what takes long to "
            "load belongs in the constructor or in warm_up(), which does not count as deciding (twinbench router check "
            "says whether it was the first)"
        )

    @property
    def failure(self) -> str | None:
        """How the router failed as a whole, as the end of a sentence; None if it did not."""
        return failure_text(given_up=self.stopped, rows=len(self.row_nos), errors=len(self.errors))

    @property
    def total_router_usd(self) -> float | None:
        """The total cost of the router's own LLM calls; None if it made none."""
        if self.router_usd is None:
            return None
        return float(sum((usd for usd in self.router_usd if usd is not None), Decimal(0)))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the answers alone."""
        return fingerprint(list(zip(self.row_nos, self.tier_ids, strict=True)))


def failed_rows(row_nos: Sequence[int], why: str) -> Predictions:
    """An error for each of some rows, of a router that could not be called at all."""
    return Predictions(row_nos, [None] * len(row_nos), dict.fromkeys(row_nos, why), stopped=True)


def failure_text(*, given_up: bool, rows: int, errors: int) -> str | None:
    """Return how a router failed as a whole, as the end of a sentence; None if it did not."""
    if given_up:
        return "was stopped after too many failures in a row"
    return "failed on every row" if errors == rows else None


def read_predictions(path: str, row_ids: Sequence[str], row_nos: Sequence[int]) -> Predictions:
    """Read a prediction file, for the rows of a part of a bank.

    A row of the part without a line becomes an error row; lines of other rows of the bank are ignored.

    Args:
        path: JSONL, plain or gzipped, or ``-`` for standard input.
        row_ids: the ids of all rows of the bank, by row number.
        row_nos: the rows of the part.

    Raises:
        UsageError: the file does not exist.
        ContentError: a line is not a valid prediction, or its id is unknown or duplicate.
    """
    number_of = {row_id: number for number, row_id in enumerate(row_ids)}
    answers: dict[int, int | None] = {}
    errors: dict[int, str] = {}
    problems: list[Problem] = []
    lines: dict[int, int] = {}
    in_sample = False
    with open_source(path) as source:
        for found in source.rows:
            if len(problems) > MAX_PROBLEMS:
                break
            if isinstance(found, Problem):
                problems.append(found)
                continue
            wrong = _prediction_problem(found, number_of)
            if wrong is not None:
                problems.append(source.problem(found.number, *wrong))
                continue
            row_no = number_of[found.row["id"]]
            if row_no in lines:
                what = f"{format_value(found.row['id'])} is a duplicate of {source.unit} {lines[row_no]}"
                problems.append(source.problem(found.number, "id", what))
                continue
            lines[row_no] = found.number
            answers[row_no] = found.row.get("tier_id")
            in_sample |= found.row.get("in_sample") is True
            if "error" in found.row:
                errors[row_no] = found.row["error"]
    _raise_if_invalid(source, problems, has_lines=bool(lines))
    missing = {number: "no prediction for this row" for number in row_nos if number not in answers}
    wanted = set(row_nos)
    return Predictions(
        row_nos=row_nos,
        tier_ids=[answers.get(number) for number in row_nos],
        errors={number: text for number, text in (errors | missing).items() if number in wanted},
        in_sample=in_sample,
    )


def prediction_lines(predictions: Predictions, row_ids: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a prediction file, one JSON object per row in the bank's order."""
    for row_no, tier_id in zip(predictions.row_nos, predictions.tier_ids, strict=True):
        line: dict[str, Any] = {"id": row_ids[row_no]}
        if tier_id is None:
            line["error"] = predictions.errors.get(row_no, "error")
        else:
            line["tier_id"] = tier_id
        if predictions.in_sample:
            line["in_sample"] = True
        yield json.dumps(line, ensure_ascii=False)


def _raise_if_invalid(source: Source, problems: Sequence[Problem], *, has_lines: bool) -> None:
    if not problems and not has_lines:
        problems = [source.problem(None, None, "the file contains no predictions")]
    if problems:
        raise ContentError(problems, hint='A prediction is {"id": …, "tier_id": 0 to 3} or {"id": …, "error": "why"}.')


def _prediction_problem(found: NumberedRow, known: Mapping[str, int]) -> tuple[str | None, str] | None:
    row = found.row
    if not isinstance(row, dict):
        return None, "a prediction must be a JSON object"
    if not isinstance(row.get("id"), str):
        return "id", "is missing" if "id" not in row else f"must be a string (found {format_value(row['id'])})"
    if row["id"] not in known:
        return "id", f"the bank has no row {format_value(row['id'])}"
    if "error" in row:
        if row.get("tier_id") is not None:
            return "error", "is given together with a tier_id; give only one of them"
        return (
            None
            if isinstance(row["error"], str)
            else ("error", f"must be a string (found {format_value(row['error'])})")
        )
    if "tier_id" not in row:
        return "tier_id", "is missing, and there is no error field either"
    tier_id = row["tier_id"]
    if isinstance(tier_id, bool) or not isinstance(tier_id, int) or not 0 <= tier_id < _TIERS:
        return "tier_id", f"must be 0, 1, 2 or 3 (found {format_value(tier_id)})"
    return None
