"""Review of labels by people: draw rows, read verdicts, apply them. Source: construction.md, stage 7.

Verdicts are stored in ``executions.jsonl`` beside the executions, so that recordings have them too. Reviewers' names
are not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from static_track.construction.ladder import Ladder
from static_track.construction.lines import ReviewLine, Verdict
from twinbench.display.html.page import render_page
from twinbench.errors import ContentError, Problem
from twinbench.fingerprint import sha256_text
from twinbench.reading.input_files import InputError, InputRows, open_input
from twinbench.reading.strict_json import parse_json
from twinbench.routing.tiers import Tier
from twinbench.statistics.intervals import exact_bound, share_interval
from twinbench.text.messages import message_text

LEVEL = 0.95
_TEMPLATE = Path(__file__).with_name("review.html")

Row = Mapping[str, Any]


def reviewable_rows(rows: Iterable[Row], ladder: Ladder) -> list[Row]:
    """Return the rows that can be reviewed: those of multi-step workloads with a tier below their label."""
    rows = list(rows)
    several = {row["benchmark"] for row in rows if row["total_steps"] > 1}
    lowest = ladder.rungs[0][0]
    return [row for row in rows if row["benchmark"] in several and row["target_tier_id"] > lowest]


def draw_rows(rows: Iterable[Row], ladder: Ladder, share: float, seed: int) -> list[Row]:
    """Draw a share (at least one) of the rows of each workload that may be lowered, in their order.

    Args:
        rows: the bank's rows.
        ladder: the tiers of the build.
        share: from 0 to 1; 0 draws nothing.
        seed: the seed of the draw.
    """
    by_workload: dict[str, list[Row]] = {}
    for row in reviewable_rows(rows, ladder):
        by_workload.setdefault(row["benchmark"], []).append(row)
    drawn: set[str] = set()
    for of_workload in by_workload.values():
        shuffled = sorted(of_workload, key=lambda row: sha256_text(f"{seed}\0{row['id']}"))
        drawn |= {row["id"] for row in shuffled[: math.ceil(share * len(shuffled))]}
    return [row for of_workload in by_workload.values() for row in of_workload if row["id"] in drawn]


def review_record(row: Row, ladder: Ladder) -> dict[str, Any]:
    """Return a row as a reviewer gets it: the prompt, the label, and a verdict to fill in."""
    functions = {"functions": row["functions"]} if "functions" in row else {}
    return {
        "row": row["id"],
        "label": row["target_tier"],
        "lower": next_lower_tier(Tier(row["target_tier_id"]), ladder).label,
        "verdict": None,
        "messages": row["messages"],
        **functions,
    }


def review_page(rows: Sequence[Row], ladder: Ladder, name: str, command: str) -> str:
    """Render an HTML page that shows each drawn row.

    Args:
        rows: the drawn rows.
        ladder: the tiers of the build.
        name: the bank's name.
        command: the command that made the page.
    """
    shown = [
        {
            "id": row["id"],
            "label": row["target_tier"],
            "lower": next_lower_tier(Tier(row["target_tier_id"]), ladder).label,
            "place": f"step {row['step_index']} of {row['total_steps']}",
            "messages": [(str(message["role"]), message_text(message)) for message in row["messages"]],
        }
        for row in rows
    ]
    verdicts = [each.value for each in Verdict]
    content = {"title": f"Review of {name}", "rows": shown, "verdicts": verdicts, "sections": [("rows", "Rows")]}
    return render_page(_TEMPLATE, content | {"command": command})


def read_verdicts(path: Path, labels: Mapping[str, str]) -> list[ReviewLine]:
    """Read the verdicts of a file of review records; records without a verdict are skipped.

    Args:
        path: JSON lines with ``row``, ``label`` and ``verdict``; other fields are ignored.
        labels: the bank's labels as the search found them, by row.

    Raises:
        UsageError: the file does not exist.
        ContentError: a line is not a valid record, or names a row or label that the bank does not have.
    """
    found: list[ReviewLine] = []
    problems: list[Problem] = []
    with open_input(path) as file:
        try:
            for number, data in enumerate(InputRows(file).lines(), 1):
                if data.strip():
                    try:
                        found += _verdict(parse_json(data.decode()), labels)
                    except ValueError as error:
                        problems.append(Problem(str(path), number, None, str(error)))
        except InputError as error:
            problems.append(Problem(str(path), None, None, str(error)))
    if problems:
        raise ContentError(problems, hint="No verdict was applied.")
    return found


def _verdict(record: Any, labels: Mapping[str, str]) -> Iterator[ReviewLine]:
    if not isinstance(record, dict):
        raise ValueError("a review record must be a JSON object")
    row, label, verdict = (record.get(name) for name in ("row", "label", "verdict"))
    if not isinstance(row, str) or row not in labels:
        raise ValueError(f"field row: the bank has no row {row!r}")
    if label != labels[row]:
        raise ValueError(
            f"field label: {row} has the label {labels[row]}, but the reviewer saw {label!r}: export it again"
        )
    if verdict is None:
        return
    if verdict not in [each.value for each in Verdict]:
        known = ", ".join(each.value for each in Verdict)
        raise ValueError(f"field verdict: {verdict!r} is invalid; use {known}, or null for no verdict")
    yield ReviewLine(row=row, label=labels[row], verdict=Verdict(verdict))


def next_lower_tier(tier: Tier, ladder: Ladder) -> Tier:
    """Return the next tier below ``tier`` that has a candidate; ``tier`` itself if there is none."""
    return max((each for each, _ in ladder.rungs if each < tier), default=tier)


def apply_review(
    rows: Iterable[dict[str, Any]], review: Mapping[str, ReviewLine], ladder: Ladder
) -> Iterator[dict[str, Any]]:
    """Yield rows with the labels after review: one tier lower if the verdict says so.

    Args:
        rows: rows with the labels that the search found.
        review: the last verdict on each row; a verdict on another label than the row's is ignored.
        ladder: the tiers of the build.
    """
    for row in rows:
        verdict = review.get(row["id"])
        if (
            verdict is None
            or verdict.label != row["target_tier"]
            or verdict.verdict is not Verdict.further_downgradeable
        ):
            yield row
        else:
            tier = next_lower_tier(Tier(row["target_tier_id"]), ladder)
            yield row | {"target_tier": tier.label, "target_tier_id": int(tier)}


@dataclass(frozen=True)
class ReviewState:
    """The state of the review of a bank's labels."""

    may_be_lowered: int
    """Number of rows that can be reviewed."""
    counts: Mapping[Verdict, int]
    groups: Mapping[str, tuple[int, int]]
    """By group of tasks: the number of tight rows, and of rows with a verdict other than uncertain."""
    uncertain: Sequence[str]
    """Rows that block publication."""

    @property
    def tight_share(self) -> float | None:
        """The share of tight labels among those with a verdict other than uncertain; None if there are none."""
        decided = sum(number for _, number in self.groups.values())
        return sum(tight for tight, _ in self.groups.values()) / decided if decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of ``tight_share``, by groups of tasks; None if there are fewer than two groups."""
        share = self.tight_share
        clusters = len(self.groups)
        if share is None or clusters < 2:
            return None
        if share in (0, 1):
            bound = exact_bound(clusters, LEVEL)
            return (0.0, bound) if share == 0 else (1 - bound, 1.0)
        decided = sum(number for _, number in self.groups.values())
        squares = sum((tight - share * number) ** 2 for tight, number in self.groups.values())
        variance = clusters / (clusters - 1) * squares / decided**2
        return share_interval(share, variance, clusters - 1, LEVEL, observations=decided)

    def to_json(self) -> dict[str, Any]:
        """Return the state as a JSON object; shares are in percent."""
        share, interval = self.tight_share, self.interval
        return {
            "may_be_lowered": self.may_be_lowered,
            "reviewed": sum(self.counts.values()),
            **{verdict.value: self.counts.get(verdict, 0) for verdict in Verdict},
            "tight_percent": None if share is None else 100 * share,
            "interval": None if interval is None else [100 * end for end in interval],
        }


def review_state(rows: Iterable[Row], review: Mapping[str, ReviewLine], ladder: Ladder) -> ReviewState:
    """Summarise the verdicts on rows.

    Args:
        rows: rows with the labels that the search found.
        review: the last verdict on each row.
        ladder: the tiers of the build.
    """
    counts: dict[Verdict, int] = {}
    groups: dict[str, tuple[int, int]] = {}
    uncertain: list[str] = []
    about = reviewable_rows(rows, ladder)
    for row in about:
        said = review.get(row["id"])
        if said is None or said.label != row["target_tier"]:
            continue
        counts[said.verdict] = counts.get(said.verdict, 0) + 1
        if said.verdict is Verdict.uncertain:
            uncertain.append(row["id"])
            continue
        group = row.get("group") or f"{row['benchmark']}\0{row['instance_id']}"
        tight, number = groups.get(group, (0, 0))
        groups[group] = (tight + (said.verdict is Verdict.tight), number + 1)
    return ReviewState(len(about), counts, groups, uncertain)
