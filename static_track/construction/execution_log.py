"""``executions.jsonl``: every completed execution of a build, appended and flushed, so that none is executed twice.

An incomplete last line (after a kill) is removed when the file is opened again; any other damage is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from static_track.banks.rows import compact_json
from static_track.construction.lines import (
    ExecutionLine,
    HintsLine,
    ReviewLine,
    StepLine,
    ValueLine,
    conversations_of,
    encode_line,
    parse_line,
    steps_to_lines,
)
from twinbench.construction.execution import Assignment, ExecutedStep, Execution
from twinbench.errors import ContentError, Problem
from twinbench.storage.files import flush_folder

EXECUTIONS_FILE = "executions.jsonl"

Key = tuple[str, Assignment, int]
"""Task, assignment and repeat."""


class ExecutionLog:
    """The log of a build's executions; thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if it is missing.

        Raises:
            ContentError: a line is damaged; the problem names it.
            OSError: the file cannot be opened or written.
        """
        self._path = path
        self._lock = threading.Lock()
        self._file_lock = threading.Lock()
        self._numbers: dict[bytes, int] = {}
        """The number of each value, by the SHA-256 of its text."""
        self._places: list[tuple[int, int]] = []
        """Offset and length of each value's line."""
        self._functions: dict[int, Any] = {}
        self._executions: dict[Key, ExecutionLine] = {}
        self._hints: dict[str, HintsLine] = {}
        self._review: dict[str, ReviewLine] = {}
        self._torn: OSError | None = None
        """What left a part of a line at the end of the file, after which nothing more can be appended."""
        self._file = path.open("a+b", buffering=0)
        try:
            flush_folder(path.parent)
            self._end = self._read()
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._executions)

    def find(self, task: str, assignment: Assignment, repeat: int) -> Execution | None:
        """Return a recorded execution, whose messages are read on demand; None if there is none."""
        line = self._executions.get((task, assignment, repeat))
        return None if line is None else self._execution(line)

    def executions(self) -> Iterator[Execution]:
        """Yield all recorded executions, in the order in which they ended."""
        return map(self._execution, list(self._executions.values()))

    def add(self, execution: Execution) -> Execution:
        """Append a completed execution; once this returns, it survives a crash of the machine.

        Returns:
            The same execution, with messages that are read on demand.

        Raises:
            OSError: it cannot be written; the file is unchanged.
        """
        with self._lock:
            writing = _NewValues(len(self._places), self._numbers)
            steps = [(step, [writing.number(message) for message in step.messages]) for step in execution.steps]
            line = ExecutionLine(
                task=execution.task,
                first=execution.assignment.first,
                rest=execution.assignment.rest,
                repeat=execution.repeat,
                passed=bool(execution.passed),
                steps=steps_to_lines(
                    [numbers for _, numbers in steps],
                    [
                        (
                            None if step.functions is None else writing.number(list(step.functions)),
                            step.candidate,
                            step.usage,
                            step.cost_usd,
                        )
                        for step, _ in steps
                    ],
                ),
                detail=execution.detail,
                spend_usd=execution.spend_usd,
                paid_calls=execution.paid_calls,
            )
            self._append(writing.lines, line)
            self._numbers |= writing.new
            self._add_execution_line(line)
        return self._execution(line)

    def hints(self, task: str) -> Sequence[str] | None:
        """Return the recorded hints for a task's seed; None if the proposer was not called yet."""
        line = self._hints.get(task)
        return None if line is None else line.hints

    def hints_usd(self, task: str) -> Decimal:
        """The cost of the proposer's hints for a task, in USD."""
        line = self._hints.get(task)
        return Decimal(0) if line is None else line.cost_usd

    def add_hints(self, task: str, hints: Sequence[str], paid_usd: Decimal = Decimal(0)) -> None:
        """Keep a proposer's hints, so that it is called once.

        Args:
            task: the task of the seed.
            hints: the hints that it gave.
            paid_usd: their cost.

        Raises:
            OSError: it cannot be written; the file is as it was.
        """
        with self._lock:
            line = HintsLine(task=task, hints=tuple(hints), cost_usd=paid_usd)
            self._append([], line)
            self._hints[task] = line

    @property
    def review(self) -> Mapping[str, ReviewLine]:
        """The last verdict on each row, by row id."""
        return self._review

    def add_verdict(self, line: ReviewLine) -> None:
        """Append a reviewer's verdict on a label.

        Raises:
            OSError: it cannot be written; the file is unchanged.
        """
        with self._lock:
            self._append([], line)
            self._review[line.row] = line

    def value(self, number: int) -> Any:
        """Read a message or a list of tools by its number."""
        text: bytes = self.value_line(number)
        return json.loads(text)["value"]

    def value_line(self, number: int) -> bytes:
        """Return the line of a message or a list of tools, as it is in the file."""
        start, length = self._places[number]
        if self._file.closed:  # of a build that is over, whose executions are looked at
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        with self._file_lock:
            self._file.seek(start)
            return self._file.read(length)

    def requests(self, execution: Execution) -> Iterator[Hashable]:
        """Return what was sent at each step of a kept execution; equal if the response cache gives the same answer."""
        line = self.line_of(execution)
        for step, numbers in zip(line.steps, conversations_of(line.steps), strict=True):
            yield line.task, line.repeat, step.candidate, step.functions, tuple(numbers)

    def line_of(self, execution: Execution) -> ExecutionLine:
        """Return the line of a recorded execution."""
        return self._executions[execution.task, execution.assignment, execution.repeat]

    def _append(self, values: Sequence[bytes], line: HintsLine | ExecutionLine | ReviewLine) -> None:
        data = b"".join((*values, encode_line(line)))
        if self._torn is not None:
            raise self._torn
        try:
            with self._file_lock:  # readers use the same file position
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:]) or 0
                os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = str(self._path)
            try:
                self._file.truncate(self._end)
            except OSError:
                self._torn = error  # what was written of the line is taken away when the file is opened again
            raise
        place = self._end
        for value in values:
            self._places.append((place, len(value)))
            place += len(value)
        self._end += len(data)

    def _read(self) -> int:
        """Read all complete lines; return where the last of them ends."""
        end = 0
        with self._path.open("rb") as file:
            for number, data in enumerate(file, 1):
                if not data.endswith(b"\n"):
                    break
                try:
                    self._process_line(data, end)
                except ValueError as error:
                    raise ContentError(
                        [Problem(str(self._path), number, None, str(error))],
                        hint="Nothing was changed. Put the file back from a copy, or build in another directory.",
                    ) from None
                end += len(data)
        return end

    def _process_line(self, data: bytes, start: int) -> None:
        line = parse_line(data)
        if isinstance(line, ValueLine):
            self._numbers[_digest(compact_json(line.value))] = len(self._places)
            self._places.append((start, len(data)))
        elif isinstance(line, HintsLine):
            self._hints[line.task] = line
        elif isinstance(line, ExecutionLine):
            self._add_execution_line(line)
        elif isinstance(line, ReviewLine):
            self._review[line.row] = line
        else:
            raise ValueError("is the first line of recordings, which is not allowed here")

    def _add_execution_line(self, line: ExecutionLine) -> None:
        used = {number for step in line.steps for number in (*step.added, step.functions) if number is not None}
        if used and max(used) >= len(self._places):
            raise ValueError(f"field steps: refers to value {max(used)}, but only {len(self._places)} come before it")
        conversations_of(line.steps)
        self._executions.setdefault((line.task, Assignment(line.first, line.rest), line.repeat), line)

    def _execution(self, line: ExecutionLine) -> Execution:
        return Execution(
            task=line.task,
            assignment=Assignment(line.first, line.rest),
            repeat=line.repeat,
            passed=line.passed,
            steps=_Steps(self, line.steps),
            detail=line.detail,
            spend_usd=line.spend_usd,
            paid_calls=line.paid_calls,
        )

    def decode_step(self, line: StepLine, numbers: Sequence[int]) -> ExecutedStep:
        """Decode a step of a recorded execution.

        Args:
            line: the step's line.
            numbers: the numbers of its messages.
        """
        functions = None
        if line.functions is not None:
            functions = self._functions.get(line.functions)
            if functions is None:
                functions = self._functions[line.functions] = self.value(line.functions)
        return ExecutedStep(_Messages(self, numbers), functions, line.candidate, line.usage.usage(), line.cost_usd)


class _NewValues:
    """Collects the values of one execution that are new to a log."""

    def __init__(self, next_number: int, known: Mapping[bytes, int]) -> None:
        self._next = next_number
        self._known = known
        self.new: dict[bytes, int] = {}
        self.lines: list[bytes] = []

    def number(self, value: Mapping[str, Any] | Sequence[Any]) -> int:
        kept = dict(value) if isinstance(value, Mapping) else list(value)
        text = compact_json(kept)
        digest = _digest(text)
        if (known := self._known.get(digest, self.new.get(digest))) is not None:
            return known
        number = self.new[digest] = self._next + len(self.new)
        self.lines.append(f'{{"kind":"value","value":{text}}}\n'.encode())
        return number


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class _Messages(Sequence[Mapping[str, Any]]):
    """The messages of a step, each read on demand."""

    def __init__(self, log: ExecutionLog, numbers: Sequence[int]) -> None:
        self._log = log
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return _Messages(self._log, self._numbers[index])
        found: Mapping[str, Any] = self._log.value(self._numbers[index])
        return found


class _Steps(Sequence[ExecutedStep]):
    """The steps of a recorded execution."""

    def __init__(self, log: ExecutionLog, lines: Sequence[StepLine]) -> None:
        self._log = log
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> ExecutedStep: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ExecutedStep]: ...
    def __getitem__(self, index: int | slice) -> ExecutedStep | Sequence[ExecutedStep]:
        return list(self)[index]

    def __iter__(self) -> Iterator[ExecutedStep]:
        conversations = conversations_of(self._lines)
        return (self._log.decode_step(line, numbers) for line, numbers in zip(self._lines, conversations, strict=True))
