"""How much of a router's score could be reached through label leaks, without reading the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from static_track.banks.bank import Bank
from static_track.banks.splits import Split
from static_track.leaks.checking import LeakCheck, check_bank, enough_groups
from static_track.predictions import Predictions
from static_track.scoring import Scorer
from twinbench.display.progress import Progress, no_progress
from twinbench.storage.manifest_files import static_manifest


@dataclass(frozen=True)
class ScoreAlone:
    """The score of the most predictive trait, used as a router on the rows that a router answered."""

    check: LeakCheck | None
    """The trait's check; None if no trait is significantly better than the largest class."""
    combined: float | None
    """Combined of the trait in percent; None if there is no such trait, or Combined is undefined."""
    router_combined: float | None
    too_few: bool = False
    """Whether the rows have too few groups to find anything."""

    @property
    def share(self) -> float | None:
        """The trait's score as a share of the router's; None if the router's is not above 0."""
        if self.combined is None or self.router_combined is None or self.router_combined <= 0:
            return None
        return self.combined / self.router_combined

    @property
    def detail(self) -> str:
        """A sentence for people."""
        if self.too_few:
            return "too few groups to check for label leaks"
        if self.check is None:
            return "no feature besides the conversation predicts labels better than the largest class"
        if self.combined is None or self.router_combined is None:
            return f"{self.check.name} alone predicts {self.check.accuracy:.1f} % of the labels"
        share = "" if self.share is None else f", {100 * self.share:.0f} % of that"
        return (
            f"Combined is {self.router_combined:.1f}; predicting from {self.check.name} alone "
            f"({self.check.subject}) reaches {self.combined:.1f}{share}"
        )


def score_alone(bank: Bank, answers: Mapping[int, int | None], progress: Progress = no_progress) -> ScoreAlone:
    """Score a router's answers, and the cross-validated predictions of the most predictive trait.

    Args:
        bank: an opened bank with labels.
        answers: tier ids by row number, None for an error; all rows of some trajectories.
        progress: called as the check proceeds.

    Raises:
        UsageError: the bank has no labels.
    """
    bank.require_labels()
    if not enough_groups(bank, answers):
        return ScoreAlone(None, None, None, too_few=True)
    part = _part(bank, answers)
    report = check_bank(bank, split=part, progress=progress)
    if not report.found:
        return ScoreAlone(None, None, None)
    check = report.found[0]
    row_nos = sorted(answers)
    by_row = dict(zip(report.row_nos, check.answers, strict=True))
    with Scorer(bank.path, static_manifest(), split=part) as scorer:
        scorer.load(
            [
                Predictions(row_nos, [answers[row_no] for row_no in row_nos]),
                Predictions(row_nos, [by_row[row_no] for row_no in row_nos]),
            ]
        )
        router, alone = scorer.headline()
    return ScoreAlone(check, alone["combined"], router["combined"])


def _part(bank: Bank, answers: Mapping[int, int | None]) -> Split:
    """Return the part of the bank with the trajectories of some rows."""
    rows = bank.cursor().execute("SELECT row_no, trajectory FROM base").fetchall()
    return Split(None, tuple(sorted({trajectory for row_no, trajectory in rows if row_no in answers})))
