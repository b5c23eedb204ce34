"""Checks of a verification as they are made."""

from __future__ import annotations

from collections.abc import Iterable

from twinbench.checks import CheckResult, Status
from twinbench.submissions.fields import printable_line, printable_text
from twinbench.submissions.report import Level, ReportedCheck


class Findings:
    """Collects the results of checks."""

    def __init__(self) -> None:
        self.checks: list[ReportedCheck] = []

    def add(
        self,
        name: str,
        subject: str,
        status: Status,
        reason: str,
        *,
        value: float | None = None,
        level: Level = Level.verify,
    ) -> None:
        """Add the result of a check; texts may be a stranger's."""
        self.checks.append(
            ReportedCheck(
                name=name,
                subject=printable_line(subject),
                status=status,
                value=value,
                reason=printable_text(reason),
                level=level,
            )
        )

    def judge(
        self,
        name: str,
        subject: str,
        problems: Iterable[str],
        passed: str,
        *,
        value: float | None = None,
        level: Level = Level.verify,
    ) -> bool:
        """Add a failed check for each problem, or else that it passed.

        Returns:
            Whether there was no problem.
        """
        found = False
        for problem in problems:
            found = True
            self.add(name, subject, Status.failed, problem, level=level)
        if not found:
            self.add(name, subject, Status.passed, passed, value=value, level=level)
        return not found

    def add_results(self, results: Iterable[CheckResult], subject: str, level: Level = Level.verify) -> None:
        """Add results of another command's checks, under the name of a part of the submission."""
        for each in results:
            told = subject if each.subject.endswith(subject) else f"{subject}: {each.subject}"
            self.add(each.name, told, each.status, each.reason, value=each.value, level=level)

    def failed(self, name: str, subject: str) -> bool:
        """Whether a check of this name failed for a subject."""
        return any(
            each.name == name and each.subject == subject and each.status is Status.failed for each in self.checks
        )
