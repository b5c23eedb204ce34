"""A finished build whose labels are looked at: drawn, given verdicts, published again."""

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
    """A finished build, opened."""

    directory: Path
    plan: Plan
    log: ExecutionLog
    publication: Publication

    def drawn(self, share: float, seed: int) -> list[Row]:
        """The rows that are drawn for review.

        Args:
            share: of the rows of each workload that may be lowered.
            seed: another one draws others.
        """
        return draw(self.publication.searched_rows(), self.publication.ladder, share, seed)

    def apply(self, file: Path) -> tuple[int, Mapping[str, Any]]:
        """Keep the verdicts of a file, and publish the bank as they leave it.

        Returns:
            How many verdicts there were, and the manifest.

        Raises:
            UsageError: there is no such file.
            ContentError: a record is refused, and no verdict was taken; or a verdict forbids to publish.
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
    """A finished build; no other process works on it within the block.

    Raises:
        UsageError: the directory holds no build, or one that is not finished.
        ContentError: something in it is damaged.
    """
    if not (directory / PLAN_FILE).exists():
        raise UsageError(f"{directory} holds no build: it has no {PLAN_FILE}")
    unfinished = UsageError(f"the build in {directory} is not finished: twinbench bank build goes on with it")
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
