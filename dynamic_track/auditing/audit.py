"""The audit of a run: everything that cannot be true, and what its cases must not have done.

It reads the run's directory and its pool, and other runs only if they are named (``against``). Each check is a function
of that data and is listed once in ``CHECKS``, with the reason why its findings cannot occur in an honest run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dynamic_track.auditing import calls, conduct, outcome, record
from dynamic_track.auditing.evidence import Evidence, Remark, read_evidence
from dynamic_track.auditing.tokens import TokenRatio, other_ratios, token_ratios, tokens
from dynamic_track.running.run_dir import RunDirectory
from twinbench.checks import CheckResult, Status
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, JournalError, UsageError
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest

_MALFORMED = (ArithmeticError, AttributeError, JournalError, LookupError, RecursionError, TypeError, ValueError)
"""The exceptions that may be raised by reading data that no run writes."""


@dataclass(frozen=True)
class Check:
    """One check of a run."""

    name: str
    reason: str
    """Why its findings cannot occur in an honest run, as a sentence."""
    unit: str
    """The unit that it looks at: each ``line``, ``trial``, ``call``, ``command`` or ``patch``."""
    find: Callable[[Evidence], Iterator[Remark]]
    applies_to_imported: bool = True
    """Whether an imported run has the data that it looks at."""


CHECKS: tuple[Check, ...] = (
    Check("chain", "each line of the journal names the hash of the one before it", "line", record.chain),
    Check("lines", "a line has the fields of its kind: counts, amounts, hashes", "line", record.lines),
    Check("plan", "every trial began with the pool, the agent and the tasks of the plan", "trial", record.plan),
    Check(
        "simulation",
        "responses of simulated models are marked as such, others are not",
        "call",
        record.simulation,
        applies_to_imported=False,
    ),
    Check(
        "missing-case",
        "every chosen case has its trials, and they ended and were graded",
        "trial",
        record.missing_case,
    ),
    Check(
        "steps",
        "each decision is followed by its call, each call by its outcome, each answer by its commands",
        "line",
        record.steps,
    ),
    Check("limits", "an agent stops at its step and cost limits", "call", record.limits, applies_to_imported=False),
    Check(
        "time", "times do not run backwards, and nothing takes longer than the time that passed", "line", record.time
    ),
    Check("budget", "a request is sent only if its worst-case cost fits under the cap", "call", record.budget),
    Check("usage", "the usage is that of the recorded response", "call", calls.usage),
    Check("cost", "a cost is the usage at the locked prices, or the reservation", "call", calls.cost),
    Check("model", "the model that was chosen answered", "call", calls.model),
    Check(
        "constant-usage",
        "a longer prompt has more tokens, and different answers have different counts",
        "call",
        calls.constant_usage,
    ),
    Check("cache", "a cache contains no more than what was sent before", "call", calls.cache),
    Check("tokens", "the prompts and answers have about the tokens that are billed for them", "call", tokens),
    Check(
        "request",
        "the requests are those that follow from the conversation",
        "call",
        calls.request,
        applies_to_imported=False,
    ),
    Check("reused-trace", "no response and no series of decision times occurs twice", "call", calls.reused_trace),
    Check("case-file", "case.json follows from the journal", "trial", outcome.case_file),
    Check(
        "trajectory",
        "the conversation consists of the recorded responses and observations",
        "trial",
        outcome.trajectory,
        applies_to_imported=False,
    ),
    Check(
        "submission",
        "the patch is what the agent's last command printed",
        "trial",
        outcome.submission,
        applies_to_imported=False,
    ),
    Check(
        "end",
        "the event that ended an agent is recorded before its end",
        "trial",
        outcome.end,
        applies_to_imported=False,
    ),
    Check("patch", "patch.diff and its hash agree with the journal", "trial", outcome.patch),
    Check(
        "verdict", "a verdict belongs to this patch, and follows from the tests that it names", "trial", outcome.verdict
    ),
    Check("history", "a case must not look for its fix in the project's history", "command", conduct.history),
    Check("fetch", "a case must not download its fix", "command", conduct.fetch),
    Check("conftest", "a case must not change files that every test run loads", "patch", conduct.conftest),
    Check("runner", "a case must not end the test runner, nor print results in its place", "patch", conduct.runner),
    Check("tests", "a case must not change test helpers, which are not tests themselves", "patch", conduct.tests),
)


@dataclass(frozen=True)
class Finding:
    """Something that cannot be true, or that a case must not do; a warning is something that a person may want to look
    at.
    """

    check: str
    """The name of the check that found it."""
    case: str | None
    """The case, or the case and its trial as ``id/trial``; None: the run as a whole."""
    detail: str
    """What was found, and where."""
    value: float | None = None
    """The impossible number, if the finding is about one."""
    status: Status = Status.failed


@dataclass(frozen=True, repr=False)
class Audit(Tabular):
    """The result of an audit."""

    run: Path
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    tokens: tuple[TokenRatio, ...]
    """The tokens that were billed for each candidate, compared with our count."""
    unit_counts: dict[str, int]
    """The numbers of lines, trials, calls, commands and patches."""
    simulated: bool
    imported: bool
    head: tuple[int, str] | None
    """The number and the hash of the journal's last line; None if its chain is broken, or it is empty."""
    notes: tuple[str, ...]
    """Remarks that are not findings."""

    def finding_count(self, check: Check) -> int:
        """Return how many findings a check has."""
        return sum(finding.check == check.name for finding in self.findings)

    def unit_count(self, check: Check) -> int:
        """Return how many units a check looked at."""
        return 0 if self.imported and not check.applies_to_imported else self.unit_counts[check.unit]

    @property
    def checks(self) -> list[CheckResult]:
        """One result for each finding and warning, and one for each check without any.

        For a check that passed, ``value`` is the number of lines, trials, calls, commands or patches that it looked at.
        """
        rows = []
        for check in CHECKS:
            found = [each for each in (*self.findings, *self.warnings) if each.check == check.name]
            rows += [
                CheckResult(check.name, each.case or str(self.run), each.status, each.detail, each.value)
                for each in found
            ]
            if not found:
                looked_at = self.unit_count(check)
                skipped = self.imported and not check.applies_to_imported
                reason = "an imported run has none of the data that this check looks at" if skipped else check.reason
                rows.append(CheckResult(check.name, str(self.run), Status.passed, reason, looked_at))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the audit as a JSON object."""
        return {
            "run": str(self.run),
            "simulated": self.simulated,
            "imported": self.imported,
            "looked_at": self.unit_counts,
            "checks": [check.to_json() for check in self.checks],
            "tokens": [ratio.to_json() for ratio in self.tokens],
            "head": None if self.head is None else {"line": self.head[0], "sha256": self.head[1]},
            "notes": list(self.notes),
        }

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each of ``checks``."""
        return [check.to_json() for check in self.checks]

    @property
    def summary(self) -> str:
        """The audit in one line, for a person."""
        over = f"{format_count(len(CHECKS), 'check')} of {format_count(self.unit_counts['trial'], 'trial')}"
        over += f" with {format_count(self.unit_counts['call'], 'call')}"
        if not self.findings:
            return f"nothing found: {over}"
        return f"{format_count(len(self.findings), 'finding')}: {over}"


def run_pool(run_dir: Path, named: str | None = None) -> LiveManifest:
    """Read the pool that a run was made with.

    Args:
        run_dir: the run's directory.
        named: the pool's name or file, if it is not where it was.

    Raises:
        UsageError: there is no such run, or no such pool.
    """
    if named is not None:
        return live_manifest(named)
    try:
        where = RunDirectory(run_dir).plan().pool
    except ContentError:  # the audit reports it
        return live_manifest()
    try:
        return live_manifest(where)
    except UsageError as error:
        raise UsageError(f"{error}\nThe run was made with that pool: name it with --pool FILE") from None


def audit(
    run_dir: Path,
    pool: LiveManifest,
    *,
    head: tuple[int, str] | None = None,
    against: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> Audit:
    """Audit the directory of a run, or a copy of it.

    Args:
        run_dir: the directory; nothing in it is changed.
        pool: the pool that the run was made with.
        head: the number and the hash of a journal line that were published before; the journal must contain that line.
        against: directories of other runs, which must not contain the same responses.
        progress: called for each check.

    Raises:
        UsageError: there is no such run.
    """
    run = read_evidence(RunDirectory(run_dir), pool)
    findings: list[Finding] = []
    for done, check in enumerate(CHECKS):
        progress(f"auditing, {check.name}", done, len(CHECKS))
        if run.is_imported and not check.applies_to_imported:
            continue
        findings += _to_findings(check.name, _remarks(check.find, run))
    for path in against:
        progress(f"auditing, against {path}", len(CHECKS), len(CHECKS))
        other = read_evidence(RunDirectory(path), pool)
        findings += _to_findings("reused-trace", _remarks(partial(calls.shared_traces, other=other), run))
        findings += _to_findings("tokens", _remarks(partial(other_ratios, other=other), run))
    progress("auditing", len(CHECKS), len(CHECKS))
    warnings = _to_findings("tests", _remarks(conduct.changed_tests, run), Status.warned)
    end = (run.entries[-1].number, run.entries[-1].sha256) if run.entries and run.damage is None else None
    if head is not None and not any((entry.number, entry.sha256) == head for entry in run.entries):
        findings.insert(0, Finding("chain", None, f"journal, line {head[0]}: does not have the hash {head[1]}"))
    looked_at = {
        "line": len(run.entries) + len(run.misshapen),
        "trial": len(run.trials),
        "call": len(run.calls),
        "command": sum(len(trial.commands) for trial in run.each_trial()),
        "patch": sum(bool(trial.patch) for trial in run.each_trial()),
    }
    return Audit(
        run=run_dir,
        findings=tuple(findings),
        warnings=tuple(warnings),
        tokens=_token_ratios(run),
        unit_counts=looked_at,
        simulated=run.is_simulated,
        imported=run.is_imported,
        head=end,
        notes=() if run.torn is None else (run.torn,),
    )


def _remarks(find: Callable[[Evidence], Iterator[Remark]], run: Evidence) -> Iterator[Remark]:
    try:
        yield from find(run)
    except _MALFORMED as error:
        yield Remark(None, f"this check could not finish, because of data that no run writes: {error!r}")


def _token_ratios(run: Evidence) -> tuple[TokenRatio, ...]:
    try:
        return tuple(token_ratios(run))
    except _MALFORMED:  # the check ``tokens`` reports it
        return ()


def _to_findings(check: str, remarks: Iterator[Remark], status: Status = Status.failed) -> list[Finding]:
    return [Finding(check, remark.case, remark.detail, remark.value, status) for remark in remarks]
