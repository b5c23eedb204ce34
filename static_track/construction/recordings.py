"""``recordings.jsonl.gz``: a build's executions, from which it can be rebuilt without models and containers.

The first line has the build's plan; then follow, task by task in the order of the search, hints, new messages, and
executions. The same build gives the same lines, in whatever order its executions ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from static_track.construction.execution_log import EXECUTIONS_FILE, ExecutionLog
from static_track.construction.lines import HeaderLine, HintsLine, StepLine, encode_line, parse_line
from static_track.construction.search import SearchOutcome
from twinbench.construction.execution import Assignment, ConstructionTask, Execution
from twinbench.errors import ContentError, Problem, TwinbenchError
from twinbench.reading.input_files import InputError, InputRows, open_input
from twinbench.storage.files import atomic_write

RECORDINGS_FILE = "recordings.jsonl.gz"


def recording_lines(header: HeaderLine, outcomes: Iterable[SearchOutcome], log: ExecutionLog) -> Iterator[bytes]:
    """Yield the lines of a build's recordings.

    Args:
        header: the first line.
        outcomes: the outcomes of all tasks, in the order of the tasks.
        log: the log with their executions.
    """
    yield encode_line(header)
    numbers: dict[int, int] = {}
    for outcome in outcomes:
        if outcome.hints:
            paid = log.hints_usd(outcome.task.id)
            yield encode_line(HintsLine(task=outcome.task.id, hints=tuple(outcome.hints), cost_usd=paid))
        for finding in outcome.findings:
            line = log.line_of(finding.execution)
            for number in _used_values(line.steps):
                if number not in numbers:
                    numbers[number] = len(numbers)
                    yield log.value_line(number)
            yield encode_line(line.model_copy(update={"steps": tuple(_renumber(step, numbers) for step in line.steps)}))
    for row in sorted(log.review):
        yield encode_line(log.review[row])


def _used_values(steps: Sequence[StepLine]) -> Iterator[int]:
    for step in steps:
        yield from step.added
        if step.functions is not None:
            yield step.functions


def _renumber(step: StepLine, numbers: Mapping[int, int]) -> StepLine:
    functions = None if step.functions is None else numbers[step.functions]
    return step.model_copy(update={"added": tuple(numbers[each] for each in step.added), "functions": functions})


def read_header(path: Path) -> HeaderLine:
    """Read the first line of recordings.

    Raises:
        UsageError: the file does not exist.
        ContentError: the file is not recordings of a build.
    """
    with _lines(path) as lines:
        data = next(lines, b"")
        try:
            line = parse_line(data) if data else None
        except ValueError as error:
            raise ContentError([Problem(str(path), 1, None, str(error))]) from None
    if not isinstance(line, HeaderLine):
        what = "is not recordings of a build: the first line is not their header"
        raise ContentError([Problem(str(path), None, None, what)])
    return line


def unpack_recordings(path: Path, folder: Path) -> None:
    """Unpack recordings to the ``executions.jsonl`` of a build.

    Args:
        path: the recordings, compressed with gzip or not.
        folder: the build's directory.

    Raises:
        ContentError: the file is damaged.
        TwinbenchError: the folder cannot be written.
    """
    with _lines(path) as lines, atomic_write(folder / EXECUTIONS_FILE) as target, target.open("wb") as laid_out:
        next(lines, b"")  # skip the header
        for line in lines:
            laid_out.write(line)


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    with open_input(path) as file:
        try:
            yield InputRows(file).lines()
        except InputError as error:
            raise ContentError([Problem(str(path), None, None, str(error))]) from None


class RecordedExecutor:
    """An executor that executes nothing: every execution has to be in the recordings."""

    def __init__(self, header: HeaderLine, source: Path) -> None:
        self._header = header
        self._source = source

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """The tasks of the recorded build."""
        return self._header.plan.identity.construction_tasks()

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """The candidates of the recorded build, by tier."""
        return self._header.plan.identity.tiers

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identity of the recorded build's executor."""
        return self._header.plan.identity.executor.identity

    @property
    def spent_usd(self) -> Decimal:
        """The cost of the recorded build, in USD."""
        return self._header.spent_usd

    def worst_case_usd(self, task: str) -> Decimal:  # noqa: ARG002 - nothing is paid for any task
        """Return 0: recorded executions cost nothing."""
        return Decimal(0)

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Fail: recorded executions are found before an executor is called.

        Raises:
            TwinbenchError: always.
        """
        named = ", ".join((*assignment.first, f"then {assignment.rest}"))
        raise TwinbenchError(
            f"{self._source} lacks an execution of {task} by {named} (repeat {repeat}): these recordings are incomplete"
        )


class RecordedProposer:
    """A proposer that proposes nothing: all hints have to be in the recordings."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """An empty identity."""
        return {}

    @property
    def spent_usd(self) -> Decimal:
        """0: recorded hints cost nothing."""
        return Decimal(0)

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:  # noqa: ARG002 - refuses any
        """Fail: recorded hints are found before a proposer is called.

        Raises:
            TwinbenchError: always.
        """
        raise TwinbenchError(f"the recordings lack the hints for {task.id}: they are incomplete")
