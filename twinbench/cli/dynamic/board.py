"""Shows a run's progress: a live table of its cases on a terminal, else a line for each finished case."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import typer

from twinbench.calls.lines import CommandLine, DecisionLine, End, Settle, TrialLine, VerdictLine
from twinbench.causes import Cause
from twinbench.cli.output import make_printable
from twinbench.display.wording import shorten

if TYPE_CHECKING:
    from twinbench.calls.recording import Recording

_REDRAW_EVERY_S = 0.25
_MOST_ROWS = 30
_SHOWN_CHARACTERS = 200


@dataclass
class _Row:
    case: str
    trial: int
    state: str = "starting"
    step: int = 0
    model: str = ""
    cost_usd: Decimal = Decimal(0)
    since: float = 0.0


class LiveBoard:
    """Shows the progress of a run's trials; a listener of its journal.

    Args:
        planned: the number of planned trials.
        spent_usd: what earlier executions of the run spent.
        run_usd: the spending cap, if any.
        graded: whether a trial ends with its verdict, rather than with the end of its agent.
    """

    def __init__(self, planned: int, spent_usd: Decimal, run_usd: Decimal | None, *, graded: bool = True) -> None:
        self._planned = planned
        self._spent = spent_usd
        self._cap = run_usd
        self._rows: dict[tuple[str, int], _Row] = {}
        self._graded = graded
        self._ended: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._live: Any = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def __call__(self, recording: Recording, line: TrialLine) -> None:
        """Process a journal line; a lost terminal must not fail a case."""
        with self._lock, suppress(OSError):
            key = (recording.case, recording.trial)
            row = self._rows.setdefault(key, _Row(recording.case, recording.trial, since=time.monotonic()))
            self._update_row(row, line)
            self._ended.discard(key)  # in case another machine continues a trial that one has lost
            if (last := self._ending_line(line)) is not None:
                self._ended.add(key)
                del self._rows[key]
                if self._live is None:
                    self._print_result(row, last)
            if self._live is not None and time.monotonic() - self._drawn > _REDRAW_EVERY_S:
                self._drawn = time.monotonic()
                self._live.update(self._table(), refresh=True)

    def _update_row(self, row: _Row, line: TrialLine) -> None:
        match line:
            case DecisionLine():
                row.step, row.model, row.state = line.step, str(line.candidate), "waiting for model"
            case Settle():
                row.cost_usd += line.cost_usd
                self._spent += line.cost_usd
                row.state = "answered" if line.cause is None else f"retrying: {line.cause}"
            case CommandLine():
                row.state = "running command"
            case End():
                row.state = "grading"

    def _ending_line(self, line: TrialLine) -> VerdictLine | End | None:
        """Return a line that ends its trial; None for all other lines."""
        if isinstance(line, VerdictLine):
            return line
        return line if isinstance(line, End) and (line.cause is not None or not self._graded) else None

    def _print_result(self, row: _Row, last: VerdictLine | End) -> None:
        none = "no verdict" if self._graded else "not graded"
        resolved = last.resolved if isinstance(last, VerdictLine) else None
        came = {True: "resolved", False: "unresolved", None: none}[resolved]
        what = f"{came} ({last.cause})" if last.cause is not None else came
        if last.cause is Cause.router and last.detail is not None:
            what = f"{came} (router: {shorten(' '.join(last.detail.split()), _SHOWN_CHARACTERS)})"
        done = f"{len(self._ended)}/{self._planned}"
        line = f"{row.case} {row.trial}: {what}, {row.step} steps, {row.cost_usd:.4f} USD ({done})"
        typer.echo(make_printable(line), err=True)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        capped = "" if self._cap is None else f" of {self._cap}"
        table = Table(title=f"{len(self._ended)} of {self._planned} done, {self._spent:.4f}{capped} USD spent")
        for name in ("Case", "Trial", "Step", "Model", "USD", "State", "s"):
            table.add_column(name)
        for row in list(self._rows.values())[:_MOST_ROWS]:
            cells = [row.case, row.trial, row.step, row.model, f"{row.cost_usd:.4f}", row.state]
            cells.append(f"{time.monotonic() - row.since:.0f}")
            table.add_row(*(Text(make_printable(str(cell))) for cell in cells))
        return table
