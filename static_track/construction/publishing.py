"""Publish a build: rows, release checks, manifest, evidence. Source: construction.md, stage 8."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from static_track.banks.build_output import MANIFEST_FILE, ROWS_FILE
from static_track.banks.rows import canonical_line, compact_json, extra_json, row_problems
from static_track.construction.ladder import Ladder
from static_track.construction.lines import ReviewLine
from static_track.construction.plan import BuildPlan
from static_track.construction.reviewing import ReviewState, apply_review, review_state
from static_track.construction.search import Finding, SearchOutcome
from static_track.construction.settings import BankSection
from static_track.construction.step_rules import StepRule
from twinbench.calls.translation import PLAIN_FIELDS
from twinbench.construction.execution import Execution
from twinbench.errors import ContentError, Problem
from twinbench.fingerprint import canonical_json
from twinbench.routing.tiers import TIER_LABELS
from twinbench.routing.usage import Usage
from twinbench.storage.files import atomic_write
from twinbench.storage.manifest_files import static_manifest
from twinbench.text.tokens import find_tokenizer_set

EVIDENCE_FILE = "evidence.jsonl.gz"

_FIELDS = frozenset(
    (
        *("id", "benchmark", "instance_id", "step_index", "total_steps", "messages", "functions"),
        *("target_tier", "target_tier_id", "group", "caveat", "ranks_nothing"),
    )
)
"""The fields of a published row; nothing else is published, so that rows name no model, search or reviewer."""


def bank_rows(outcomes: Iterable[SearchOutcome], ladder: Ladder, bank: BankSection) -> Iterator[dict[str, Any]]:
    """Yield the rows of a bank in canonical order: each step of the labelled execution, with the prompt that was sent.

    Args:
        outcomes: the outcomes of all tasks.
        ladder: the tiers of the candidates.
        bank: what the rows say about the bank.
    """
    labelled = [outcome for outcome in outcomes if outcome.labelled_execution is not None]
    for outcome in sorted(labelled, key=lambda each: (each.task.workload, each.task.id)):
        task, locked = outcome.task, outcome.labelled_execution
        assert locked is not None  # noqa: S101 - chosen above
        for number, step in enumerate(locked.steps, 1):
            tier = ladder.tier_of[locked.assignment.candidate(number)]
            row: dict[str, Any] = {
                "id": f"{task.workload}/{task.id}/{number}",
                "benchmark": task.workload,
                "instance_id": task.id,
                "step_index": number,
                "total_steps": len(locked.steps),
                "messages": [dict(message) for message in step.messages],
            }
            if step.functions is not None:
                row["functions"] = list(step.functions)
            row |= {"target_tier": tier.label, "target_tier_id": int(tier)}
            if task.group:
                row["group"] = task.group
            if bank.caveat is not None:
                row["caveat"] = bank.caveat
            if bank.ranks_nothing:
                row["ranks_nothing"] = True
            yield row


def release_problems(
    outcomes: Iterable[SearchOutcome], ladder: Ladder, rule: StepRule, bank: BankSection
) -> Iterator[Problem]:
    """Yield what forbids publishing; derived from the executions themselves, not from the search's conclusions."""
    for outcome in outcomes:
        if outcome.labelled_execution is not None:
            yield from (
                Problem(f"task {outcome.task.id}", None, None, what)
                for what in _release_violations(outcome, ladder, rule)
            )
    for row in bank_rows(outcomes, ladder, bank):
        yield from _row_problems(row)


def _release_violations(outcome: SearchOutcome, ladder: Ladder, rule: StepRule) -> Iterator[str]:
    seed, locked = outcome.seed, outcome.labelled_execution
    if seed is None or locked is None or not seed.passed:
        yield "its seed did not pass"
        return
    if any(step.candidate not in ladder.strongest for step in seed.steps):
        yield "its seed was not executed by the strongest tier alone"
    if not locked.passed:
        yield "the execution with its labels did not pass"
    if not rule.admits(len(seed.steps), len(locked.steps)):
        yield f"its labels have {len(locked.steps)} steps, its seed {len(seed.steps)}, against step rule {rule.name}"
    for number, step in enumerate(locked.steps, 1):
        if step.candidate != locked.assignment.candidate(number) or step.candidate not in ladder.tier_of:
            yield f"step {number} was not answered by its label's candidate"
    for finding in outcome.findings:
        if finding.purpose.endswith("_repeat") and not finding.accepted:
            yield f"it did not pass again in repeat {finding.execution.repeat}"


def _row_problems(row: Mapping[str, Any]) -> Iterator[Problem]:
    source = f"row {row['id']}"
    for field, what in row_problems(row):
        yield Problem(source, None, field, what)
    for name in row.keys() - _FIELDS:
        yield Problem(source, None, name, "is not a field of a published row")
    for number, message in enumerate(row["messages"]):
        for name in message.keys() - set(PLAIN_FIELDS):
            what = "is a provider-specific field: the executor has to leave it out of the conversation"
            yield Problem(source, None, f"messages[{number}].{name}", what)


@dataclass(frozen=True)
class Publication:
    """A bank that is to be published."""

    plan: BuildPlan
    outcomes: Sequence[SearchOutcome]
    """The outcomes of all tasks, in the order of the tasks."""
    ladder: Ladder
    spent_usd: Decimal
    requests: Callable[[Execution], Iterable[Hashable]]
    """Returns what was sent at each step of an execution; equal if the response cache gives the same answer."""
    recordings: Iterable[bytes]
    """The lines of the recordings."""
    proposer_usd: Decimal
    """The cost of the proposer's hints, in USD."""
    review: Mapping[str, ReviewLine]
    """The last verdict on each row."""

    def check_release_rules(self) -> None:
        """Check every row against the rules for publication.

        Raises:
            ContentError: something forbids publishing.
        """
        rule = self.plan.identity.search_rules().step_rule
        if problems := list(release_problems(self.outcomes, self.ladder, rule, self.plan.bank)):
            raise ContentError(problems, hint="No rows were written; every execution is kept.")
        if uncertain := self.review_state().uncertain:
            what = "its review is uncertain, which blocks publishing the bank"
            raise ContentError(
                [Problem(f"row {row}", None, None, what) for row in uncertain],
                hint="No rows were written. Give another verdict: twinbench bank review apply DIR FILE",
            )

    def searched_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows with the labels that the search found."""
        return bank_rows(self.outcomes, self.ladder, self.plan.bank)

    def review_state(self) -> ReviewState:
        """Return the state of the review of the labels."""
        return review_state(self.searched_rows(), self.review, self.ladder)

    def write(self, folder: Path, recordings_file: str) -> dict[str, Any]:
        """Write rows, recordings, evidence and, last, the manifest; return the manifest.

        Raises:
            ContentError: a rule for publication is violated; nothing was written.
            TwinbenchError: a file cannot be written.
        """
        (folder / MANIFEST_FILE).unlink(missing_ok=True)  # without it, the other files are not a bank
        self.check_release_rules()
        rows = list(apply_review(self.searched_rows(), self.review, self.ladder))
        sums = {
            ROWS_FILE: write_gzip(folder / ROWS_FILE, map(_canonical, rows)),
            recordings_file: write_gzip(folder / recordings_file, self.recordings),
            EVIDENCE_FILE: write_gzip(folder / EVIDENCE_FILE, map(_json_line, evidence(self.outcomes))),
        }
        manifest = self._manifest(rows, sums)
        with atomic_write(folder / MANIFEST_FILE) as file:
            file.write_text(canonical_manifest(manifest), "utf-8")
        return manifest

    def _manifest(self, rows: Sequence[Mapping[str, Any]], sums: Mapping[str, str]) -> dict[str, Any]:
        identity = self.plan.identity
        executions = [finding.execution for outcome in self.outcomes for finding in outcome.findings]
        cost = sum((each.cost_usd for each in executions), Decimal(0))
        saved = cost - sum((each.spend_usd for each in executions), Decimal(0))
        calls = sum(len(each.steps) for each in executions)
        paid = sum(each.paid_calls for each in executions)
        spent, kept = self._tokens(executions)
        static = static_manifest()
        labels: dict[str, Counter[str]] = {}
        for row in rows:
            labels.setdefault(row["benchmark"], Counter())[row["target_tier"]] += 1
        left_out = [outcome for outcome in self.outcomes if outcome.labelled_execution is None]
        return {
            **self.plan.bank.to_json(),
            "fingerprint": identity.fingerprint,
            "rows": len(rows),
            "trajectories": len(self.outcomes) - len(left_out),
            "groups": len({row.get("group") or (row["benchmark"], row["instance_id"]) for row in rows}),
            "labels": {name: {tier: counts[tier] for tier in TIER_LABELS} for name, counts in sorted(labels.items())},
            "review": self.review_state().to_json(),
            "tasks": len(self.outcomes),
            "left_out": [{"task": each.task.id, "reason": each.reason} for each in left_out],
            "tiers": identity.tiers,
            "tiers_not_executed": [tier.label for tier in self.ladder.missing],
            "rules": identity.rules,
            "search": identity.search.model_dump(mode="json"),
            "proposer": identity.proposer,
            "executor": identity.executor.model_dump(mode="json"),
            "protocol": {
                "static": static.fingerprint,
                "tokenizers": find_tokenizer_set(static).fingerprint_parts,
            },
            "executions": len(executions),
            "calls": calls,
            "calls_from_cache": calls - paid,
            "tokens_spent": spent.to_json(),
            "tokens_saved": kept.to_json(),
            "cost_usd": float(cost),
            "spent_usd": float(self.spent_usd),
            "proposer_usd": float(self.proposer_usd),
            "saved_usd": float(saved),
            "sha256": dict(sums),
        }

    def _tokens(self, executions: Iterable[Execution]) -> tuple[Usage, Usage]:
        """The tokens of calls that had to be made, and of those that repeat one that was made before."""
        spent, saved = Usage(), Usage()
        seen: set[Hashable] = set()
        for execution in executions:
            for request, step in zip(self.requests(execution), execution.steps, strict=True):
                if request in seen:
                    saved += step.usage
                else:
                    seen.add(request)
                    spent += step.usage
        return spent, saved


def evidence(outcomes: Iterable[SearchOutcome]) -> Iterator[dict[str, Any]]:
    """Yield every execution of a build with what the search concluded from it, in the search's order."""
    for outcome in outcomes:
        for number, finding in enumerate(outcome.findings, 1):
            yield {"task": outcome.task.id, "number": number, **_finding(finding)}


def _finding(finding: Finding) -> dict[str, Any]:
    execution = finding.execution
    step = finding.step
    return {
        "purpose": finding.purpose,
        "step": step,
        "tier": None if finding.tier is None else finding.tier.label,
        "candidate": None if step is None else execution.assignment.candidate(step),
        "first": list(execution.assignment.first),
        "rest": execution.assignment.rest,
        "repeat": execution.repeat,
        "passed": execution.passed,
        "steps": len(execution.steps),
        "accepted": finding.accepted,
        "refusal": finding.refusal,
        "detail": execution.detail,
        "cost_usd": float(execution.cost_usd),
        "spend_usd": float(execution.spend_usd),
        "paid_calls": execution.paid_calls,
    }


def write_gzip(path: Path, lines: Iterable[bytes]) -> str:
    """Write lines compressed with gzip; the same lines give the same bytes.

    Returns:
        The SHA-256 (hex) of the uncompressed lines, since compression differs between versions of zlib.

    Raises:
        TwinbenchError: the file cannot be written.
    """
    digest = hashlib.sha256()
    with (
        atomic_write(path) as target,
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        for line in lines:
            digest.update(line)
            packed.write(line)
    return digest.hexdigest()


def canonical_manifest(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as JSON text, as it is written."""
    return json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _canonical(row: Mapping[str, Any]) -> bytes:
    return (
        canonical_line(
            id=row["id"],
            benchmark=row["benchmark"],
            instance_id=row["instance_id"],
            step_index=row["step_index"],
            total_steps=row["total_steps"],
            messages=map(compact_json, row["messages"]),
            functions=compact_json(row["functions"]) if "functions" in row else None,
            target=row["target_tier_id"],
            extra=extra_json(row),
        )
        + "\n"
    ).encode()


def _json_line(value: Mapping[str, Any]) -> bytes:
    return (canonical_json(value) + "\n").encode()
