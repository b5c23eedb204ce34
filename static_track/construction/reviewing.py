"""People look at labels: rows drawn for review, their verdicts, what these change. Source: construction.md, stage 7.

Verdicts stand in ``executions.jsonl`` beside what they are about, so recordings have them too; who gave one is kept
nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from static_track.construction.ladder import Ladder
from static_track.construction.lines import ReviewLine, Verdict
from twinbench.display.html.page import rendered
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


def may_be_lowered(rows: Iterable[Row], ladder: Ladder) -> list[Row]:
    """The rows that a review is about: those of workloads with several steps, and with a tier below their label."""
    rows = list(rows)
    several = {row["benchmark"] for row in rows if row["total_steps"] > 1}
    lowest = ladder.rungs[0][0]
    return [row for row in rows if row["benchmark"] in several and row["target_tier_id"] > lowest]


def draw(rows: Iterable[Row], ladder: Ladder, share: float, seed: int) -> list[Row]:
    """A share of the rows of each workload that may be lowered, one at least, in their order.

    Args:
        rows: of the bank.
        ladder: the tiers of the build.
        share: from 0 to 1; 0 draws nothing.
        seed: another one draws others.
    """
    by_workload: dict[str, list[Row]] = {}
    for row in may_be_lowered(rows, ladder):
        by_workload.setdefault(row["benchmark"], []).append(row)
    drawn: set[str] = set()
    for of_workload in by_workload.values():
        shuffled = sorted(of_workload, key=lambda row: sha256_text(f"{seed}\0{row['id']}"))
        drawn |= {row["id"] for row in shuffled[: math.ceil(share * len(shuffled))]}
    return [row for of_workload in by_workload.values() for row in of_workload if row["id"] in drawn]


def review_record(row: Row, ladder: Ladder) -> dict[str, Any]:
    """A row as a reviewer gets it: what the model was shown, the label, and a verdict to be filled in."""
    functions = {"functions": row["functions"]} if "functions" in row else {}
    return {
        "row": row["id"],
        "label": row["target_tier"],
        "lower": lowered(Tier(row["target_tier_id"]), ladder).label,
        "verdict": None,
        "messages": row["messages"],
        **functions,
    }


def review_page(rows: Sequence[Row], ladder: Ladder, name: str, command: str) -> str:
    """A page that shows each drawn row readably.

    Args:
        rows: that were drawn.
        ladder: the tiers of the build.
        name: of the bank.
        command: that made the page.
    """
    shown = [
        {
            "id": row["id"],
            "label": row["target_tier"],
            "lower": lowered(Tier(row["target_tier_id"]), ladder).label,
            "place": f"step {row['step_index']} of {row['total_steps']}",
            "messages": [(str(message["role"]), message_text(message)) for message in row["messages"]],
        }
        for row in rows
    ]
    verdicts = [each.value for each in Verdict]
    content = {"title": f"Review of {name}", "rows": shown, "verdicts": verdicts, "sections": [("rows", "Rows")]}
    return rendered(_TEMPLATE, content | {"command": command})


def read_verdicts(path: Path, labels: Mapping[str, str]) -> list[ReviewLine]:
    """The verdicts of a file of review records; those without a verdict are passed over.

    Args:
        path: JSON lines with ``row``, ``label`` and ``verdict``; other fields are not read.
        labels: of the bank, as the search found them, by row.

    Raises:
        UsageError: there is no such file.
        ContentError: a line is no such record, or is about a row or label that the bank does not have.
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
        raise ContentError(problems, hint="No verdict was taken.")
    return found


def _verdict(record: Any, labels: Mapping[str, str]) -> Iterator[ReviewLine]:
    if not isinstance(record, dict):
        raise ValueError("a review record must be a JSON object")
    row, label, verdict = (record.get(name) for name in ("row", "label", "verdict"))
    if not isinstance(row, str) or row not in labels:
        raise ValueError(f"field row: the bank has no row {row!r}")
    if label != labels[row]:
        raise ValueError(
            f"field label: {row} has the label {labels[row]}, and the reviewer saw {label!r}: export it again"
        )
    if verdict is None:
        return
    if verdict not in [each.value for each in Verdict]:
        known = ", ".join(each.value for each in Verdict)
        raise ValueError(f"field verdict: {verdict!r} is none: {known}, or null for none")
    yield ReviewLine(row=row, label=labels[row], verdict=Verdict(verdict))


def lowered(tier: Tier, ladder: Ladder) -> Tier:
    """The next tier below one that has a candidate; the tier itself where there is none."""
    return max((each for each, _ in ladder.rungs if each < tier), default=tier)


def reviewed_rows(
    rows: Iterable[dict[str, Any]], review: Mapping[str, ReviewLine], ladder: Ladder
) -> Iterator[dict[str, Any]]:
    """Rows with the labels that their review leaves them: one tier lower where a reviewer says so.

    Args:
        rows: as the search labels them.
        review: the last verdict on each row; one on another label than the row has says nothing of it.
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
            tier = lowered(Tier(row["target_tier_id"]), ladder)
            yield row | {"target_tier": tier.label, "target_tier_id": int(tier)}


@dataclass(frozen=True)
class ReviewState:
    """What was said of the labels of a bank so far."""

    may_be_lowered: int
    """Rows that a review can be about."""
    counts: Mapping[Verdict, int]
    groups: Mapping[str, tuple[int, int]]
    """Of each group of tasks, how many rows were found tight, and how many were found tight or not."""
    uncertain: Sequence[str]
    """Rows that block publication."""

    @property
    def tight_share(self) -> float | None:
        """The share of tight labels among those that are tight or not; None where there are none."""
        decided = sum(number for _, number in self.groups.values())
        return sum(tight for tight, _ in self.groups.values()) / decided if decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval, by groups of tasks; None where there are fewer than two."""
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
        """The state as a JSON object; shares in percent."""
        share, interval = self.tight_share, self.interval
        return {
            "may_be_lowered": self.may_be_lowered,
            "reviewed": sum(self.counts.values()),
            **{verdict.value: self.counts.get(verdict, 0) for verdict in Verdict},
            "tight_percent": None if share is None else 100 * share,
            "interval": None if interval is None else [100 * end for end in interval],
        }


def review_state(rows: Iterable[Row], review: Mapping[str, ReviewLine], ladder: Ladder) -> ReviewState:
    """What was said of rows.

    Args:
        rows: as the search labels them.
        review: the last verdict on each row.
        ladder: the tiers of the build.
    """
    counts: dict[Verdict, int] = {}
    groups: dict[str, tuple[int, int]] = {}
    uncertain: list[str] = []
    about = may_be_lowered(rows, ladder)
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
