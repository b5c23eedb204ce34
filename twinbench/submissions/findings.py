"""Checks of a verification as they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from twinbench.checks import CheckResult, Status
from twinbench.submissions.fields import printable_line, printable_text
from twinbench.submissions.report import Level, ReportedCheck

MOST_OF_A_CHECK = 20
"""Results of one check of one subject that a report holds."""


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
        found = 0
        for problem in problems:
            found += 1
            if found <= MOST_OF_A_CHECK:
                self.add(name, subject, Status.failed, problem, level=level)
        self._count_more(name, subject, found, Status.failed, level)
        if not found:
            self.add(name, subject, Status.passed, passed, value=value, level=level)
        return not found

    def add_results(self, results: Iterable[CheckResult], subject: str, level: Level = Level.verify) -> None:
        """Add results of another command's checks, under the name of a part of the submission."""
        number: Counter[tuple[str, Status]] = Counter()
        for each in results:
            number[each.name, each.status] += 1
            if number[each.name, each.status] <= MOST_OF_A_CHECK:
                told = subject if each.subject == subject else f"{subject}: {each.subject}"
                self.add(each.name, told, each.status, each.reason, value=each.value, level=level)
        for (name, status), found in number.items():
            self._count_more(name, subject, found, status, level)

    def _count_more(self, name: str, subject: str, found: int, status: Status, level: Level) -> None:
        """Say how many results of a check are left out: a forger may write a million."""
        if (more := found - MOST_OF_A_CHECK) > 0:
            self.add(name, subject, status, f"and {more:,} more", value=found, level=level)

    def was_done(self, name: str) -> bool:
        """Whether a check of this name passed or failed for any subject: a warning says that it could not be done."""
        return any(each.name == name and each.status is not Status.warned for each in self.checks)

    def failed(self, name: str, subject: str) -> bool:
        """Whether a check of this name failed for a subject."""
        return any(
            each.name == name and each.subject == subject and each.status is Status.failed for each in self.checks
        )
