"""What share of a router's score could be had from what a bank gives away, without reading the conversation."""

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
    """The trait that predicts most labels, played as a router on the rows that a router answered."""

    check: LeakCheck | None
    """None where no trait predicts surely better than the largest class."""
    combined: float | None
    """Percent; what the trait would score. None where there is no such trait, or Combined is undefined."""
    router_combined: float | None
    too_few: bool = False
    """Whether the rows are of too few groups to find anything."""

    @property
    def share(self) -> float | None:
        """Of the router's score; None where it has none above 0."""
        if self.combined is None or self.router_combined is None or self.router_combined <= 0:
            return None
        return self.combined / self.router_combined

    @property
    def detail(self) -> str:
        """A sentence for people."""
        if self.too_few:
            return "too few groups to tell what predicts their labels"
        if self.check is None:
            return "on these rows nothing but the conversation predicts labels better than the largest class"
        if self.combined is None or self.router_combined is None:
            return f"{self.check.name} alone predicts {self.check.accuracy:.1f} % of the labels"
        share = "" if self.share is None else f", {100 * self.share:.0f} % of that"
        return (
            f"Combined is {self.router_combined:.1f}; answering by {self.check.name} alone "
            f"({self.check.subject}) gives {self.combined:.1f}{share}"
        )


def score_alone(bank: Bank, answers: Mapping[int, int | None], progress: Progress = no_progress) -> ScoreAlone:
    """The score of a router's answers beside that of the trait that predicts most labels, each row by the other folds.

    Args:
        bank: opened; with labels.
        answers: tier ids by row number, None for an error; all rows of some trajectories.
        progress: told what is going on.

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
    """The trajectories of some rows."""
    rows = bank.cursor().execute("SELECT row_no, trajectory FROM base").fetchall()
    return Split(None, tuple(sorted({trajectory for row_no, trajectory in rows if row_no in answers})))
