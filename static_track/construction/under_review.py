"""Open a finished build for review: draw rows, apply verdicts, publish again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from static_track.construction.build_directory import open_directory
from static_track.construction.building import never
from static_track.construction.execution_log import ExecutionLog
from static_track.construction.lines import HeaderLine
from static_track.construction.plan import PLAN_FILE, Plan, read_plan
from static_track.construction.proposers import Hints
from static_track.construction.publishing import Publication
from static_track.construction.recordings import (
    RECORDINGS_FILE,
    RecordedExecutor,
    RecordedProposer,
    read_header,
    recording_lines,
)
from static_track.construction.reviewing import Row, draw, read_verdicts
from static_track.construction.search import Outcome
from static_track.construction.working import Work
from twinbench.errors import StoreWriteError, UsageError


@dataclass(frozen=True)
class UnderReview:
    """A finished build, opened for review."""

    directory: Path
    plan: Plan
    log: ExecutionLog
    publication: Publication

    def drawn(self, share: float, seed: int) -> list[Row]:
        """Draw rows for review.

        Args:
            share: the share of each workload's rows that may be lowered.
            seed: the seed of the draw.
        """
        return draw(self.publication.searched_rows(), self.publication.ladder, share, seed)

    def apply(self, file: Path) -> tuple[int, Mapping[str, Any]]:
        """Store the verdicts of a file, and publish the bank accordingly.

        Returns:
            The number of verdicts, and the manifest.

        Raises:
            UsageError: the file does not exist.
            ContentError: a record is invalid, and no verdict was applied; or a verdict blocks publishing.
            TwinbenchError: something cannot be written.
        """
        labels = {row["id"]: str(row["target_tier"]) for row in self.publication.searched_rows()}
        verdicts = read_verdicts(file, labels)
        try:
            for verdict in verdicts:
                self.log.add_verdict(verdict)
        except OSError as error:
            raise StoreWriteError(f"cannot write {error.filename} ({error.strerror or error})") from None
        return len(verdicts), self.publication.write(self.directory, RECORDINGS_FILE)


@contextmanager
def open_review(directory: Path) -> Iterator[UnderReview]:
    """Open a finished build for review, and lock it within the block.

    Raises:
        UsageError: the directory has no build, or an unfinished one.
        ContentError: a file in it is damaged.
    """
    if not (directory / PLAN_FILE).exists():
        raise UsageError(f"{directory} is not a build's directory: it has no {PLAN_FILE}")
    unfinished = UsageError(f"the build in {directory} is not finished: continue it with twinbench bank build")
    with open_directory(directory) as opened:
        plan = read_plan(directory)
        if not (directory / RECORDINGS_FILE).exists():
            raise unfinished
        header = HeaderLine(plan=plan, spent_usd=read_header(directory / RECORDINGS_FILE).spent_usd)
        ladder = plan.identity.ladder()
        executor = RecordedExecutor(header, directory / RECORDINGS_FILE)
        with opened.log() as log:
            work = Work(
                executor, log, ladder, plan.identity.rules_of_search(), Hints(RecordedProposer()), is_stopping=never
            )
            ended = work.run(plan.identity.construction_tasks(), 1)
            outcomes = [each for each in ended.values() if isinstance(each, Outcome)]
            if len(outcomes) < len(ended):
                raise unfinished
            hints_usd = sum((log.hints_usd(each) for each in ended), Decimal(0))
            lines = recording_lines(header, outcomes, log)
            publication = Publication(
                plan, outcomes, ladder, header.spent_usd, log.requests, lines, hints_usd, log.review
            )
            yield UnderReview(directory, plan, log, publication)
