"""The page of an entry: who submitted it, what was verified, and the commands that reproduce its results."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twinbench.checks import Status
from twinbench.display.wording import format_count
from twinbench.leaderboard.entries import Entry, Version
from twinbench.leaderboard.tables import BoardTable, Row
from twinbench.submissions.report import Level, ReportedCheck

MOST_CHECKS = 100
"""Lines of the table of checks; all of them are in the entry's JSON."""
MOST_DESCRIPTION_LINES = 40
MOST_WITHDRAWN_BEFORE = 20
"""Earlier versions that were withdrawn and that the page names first, with the reason, the latest of them."""

LEVEL_WORDS = {
    Level.verify: "the archive: digests, predictions scored again, costs from raw usage, the audit",
    Level.ask: "the router, called again under strict isolation",
    Level.grade: "patches, graded again",
    Level.replay: "commands of recorded cases, run again",
    Level.rerun: "cases, run again with real models",
}
"""What was verified at each level."""

_SAMPLED = (Level.ask, Level.grade, Level.replay, Level.rerun)
"""The levels whose name is the option that says how much of them is done."""


@dataclass(frozen=True)
class CheckLine:
    """One line of the table of checks: checks of the same name and level that passed, or one that did not."""

    name: str
    level: Level
    status: Status
    subjects: str
    reason: str


def entry_content(entry: Entry) -> dict[str, Any]:
    """Return what the template of an entry's page prints, beside its results."""
    version = entry.current
    lines = list(check_lines(version.report.checks))
    return {
        "entry": entry,
        "listed": version,
        "withdrawn_before": [
            (number, each.withdrawal) for number, each in enumerate(entry.earlier, 1) if each.withdrawal is not None
        ][-MOST_WITHDRAWN_BEFORE:],
        "facts": list(_facts(version)),
        "links": [link for link in (version.manifest.contact.url, *version.manifest.links) if link is not None],
        "verified_facts": list(_verified_facts(version)),
        "done": [(str(level), LEVEL_WORDS[level]) for level in version.report.levels],
        "not_done": [(str(level), LEVEL_WORDS[level]) for level in _levels_left(version)],
        "checks": lines[:MOST_CHECKS],
        "more_checks": len(lines[MOST_CHECKS:]),
        "number_of_checks": len(version.report.checks),
        "commands": list(reproducing_commands(version)),
        "about_commands": list(_about_commands(version)),
        "description": version.manifest.description.splitlines()[:MOST_DESCRIPTION_LINES],
    }


def headed_rows(rows: Sequence[tuple[BoardTable, Row]]) -> list[tuple[str, BoardTable, Row]]:
    """Return an entry's results with a heading each: those of the present version, then earlier ones, the latest first.

    A heading is the title of the table, with the result's place in the submission where the version has several results
    in that table, and with the version where it is not the present one.
    """
    times = Counter((row.version, table.title) for table, row in rows)
    found = []
    for table, row in sorted(rows, key=lambda each: -each[1].version):
        heading = table.title if times[row.version, table.title] == 1 else f"{table.title}, {row.subject}"
        if not row.present:
            heading += f", version {row.version} of {row.added_at}, {row.state}"
        found.append((heading, table, row))
    return found


def _levels_left(version: Version) -> Iterator[Level]:
    """Return the levels that results of these kinds could have been verified at and were not."""
    kinds = {result.kind for result in version.scores.results}
    for level in LEVEL_WORDS:
        of_kind = kinds if level is Level.verify else kinds & {"static" if level is Level.ask else "live"}
        if of_kind and level not in version.report.levels:
            yield level


def entry_json(entry: Entry, rows: Sequence[tuple[BoardTable, Row]]) -> dict[str, Any]:
    """Return everything about an entry as a JSON object."""
    return {
        "format": "twinbench leaderboard entry 1",
        "division": str(entry.division),
        "name": entry.name,
        "rows": [{"comparable": table.comparable, "table": table.title, **row.to_json()} for table, row in rows],
        "versions": [
            {
                "title": version.manifest.title,
                "contact": version.manifest.contact.model_dump(mode="json", exclude={"email"}),
                "licence": version.manifest.licence,
                "scores": version.scores.model_dump(mode="json"),
                "verification": version.report.to_json(),
                "withdrawn": None if version.withdrawal is None else version.withdrawal.model_dump(mode="json"),
                "reproduce": list(reproducing_commands(version)),
            }
            for version in entry.versions
        ],
    }


def check_lines(checks: Sequence[ReportedCheck]) -> Iterator[CheckLine]:
    """Put checks into lines: first each that failed or warned, then those that passed, one line a name and level."""
    for check in checks:
        if check.status is not Status.passed:
            yield CheckLine(check.name, check.level, check.status, check.subject, check.reason)
    passed: dict[tuple[str, Level], list[ReportedCheck]] = {}
    for check in checks:
        if check.status is Status.passed:
            passed.setdefault((check.name, check.level), []).append(check)
    for (name, level), own in passed.items():
        alone = len(own) == 1
        subjects = own[0].subject if alone else f"{format_count(len(own), 'subject')}, such as {own[0].subject}"
        yield CheckLine(name, level, Status.passed, subjects, own[0].reason)


def reproducing_commands(version: Version) -> Iterator[str]:
    """Return the commands that verify a submission again and score each of its results in the division again."""
    file, folder = version.report.file.name, version.manifest.name
    options = ["--ask", "none"] if Level.ask in _levels_left(version) else []
    kinds = {result.kind for result in version.scores.results}
    for level in version.report.levels:
        if level in _SAMPLED and (level is not Level.ask or "static" in kinds):
            options += [f"--{level}", str(version.report.samples.get(level, "N"))]
    if Level.rerun in version.report.levels:
        options += ["--run-usd", "USD", "--api-base", "URL"]
    yield shlex.join(["twinbench", "submit", "verify", file, "--nonce", version.report.nonce, *options])
    yield shlex.join(["unzip", "-q", file, "-d", folder])
    for result in version.scores.results:
        place = f"{folder}/{result.subject}"
        if result.kind == "live":
            yield shlex.join(["twinbench", "dynamic", "score", place])
            continue
        bank = result.setting.get("bank")
        bank = bank if isinstance(bank, dict) else {}
        if (splitting := _splitting_command(version, result.subject)) is not None:
            yield splitting
        words = ["twinbench", "static", "score", "--bank", str(bank.get("name"))]
        if bank.get("split"):
            words += ["--split", str(bank["split"])]
        if seed := result.setting.get("order_seed"):
            words += ["--order-seed", str(seed)]
        yield shlex.join([*words, "--predictions", place])


def _about_commands(version: Version) -> Iterator[str]:
    """Return in sentences what the command of the verification samples, and what is to be filled in."""
    sampled = [level for level in version.report.levels if level in _SAMPLED]
    if sampled:
        yield "The nonce draws the same samples again."
    if any(level not in version.report.samples for level in sampled):
        yield "N stands for the number that the checks above name."
    if Level.rerun in sampled:
        yield "USD stands for the most that may be spent, and URL for the gateway of the models."


def _splitting_command(version: Version, predictions: str) -> str | None:
    """Return the command that splits the bank of a static result; None if it belongs to no split."""
    for part in version.manifest.static:
        if part.predictions == predictions and part.split is not None:
            split = part.split
            shares = ",".join(f"{name}={share}" for name, share in split.shares.items())
            words = ["twinbench", "bank", "split", part.bank, "--name", split.name, "--parts", shares]
            words += ["--seed", str(split.seed), *([] if split.near_duplicates else ["--no-near-duplicates"])]
            return shlex.join(words)
    return None


def _facts(version: Version) -> Iterator[tuple[str, str]]:
    manifest = version.manifest
    yield "Submitted by", manifest.contact.name
    yield "Router", manifest.router.spec + (" (closed)" if manifest.router.closed else "")
    if manifest.router.fingerprint is not None:
        yield "Router's fingerprint", manifest.router.fingerprint
    yield "Licence", manifest.licence
    yield "Listed since", version.scores.added_at
    yield "Packed by", f"twinbench {manifest.twinbench}"


def _verified_facts(version: Version) -> Iterator[tuple[str, str]]:
    report = version.report
    yield "Verified at", report.verified_at
    yield "Verified by", f"twinbench {report.twinbench}"
    yield "File", f"{report.file.name}, {report.file.bytes:,} bytes"
    yield "SHA-256 of the file", report.file.sha256
    yield "Nonce of samples", report.nonce
    signature = report.signature
    signed = "not signed"
    if signature.signed:
        signed = f"by {signature.signer or 'a key of an unknown owner'}" + (
            f", {signature.key}" if signature.key else ""
        )
    yield "Signature", signed
