"""``twinbench dynamic audit``: check a run for inconsistencies and for forbidden actions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli import completion
from twinbench.cli.dynamic.options import MovedPoolOption, RunArgument
from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from dynamic_track.auditing.audit import Audit

_HEAD = re.compile(r"(?P<number>[1-9]\d{0,17}):(?P<sha256>[0-9a-f]{64})")
_REHEARSAL = "a rehearsal with simulated models"


def audit(
    run_dir: RunArgument,
    *,
    pool: MovedPoolOption = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="NUMBER:SHA256",
            help="Number and hash of a journal line that were published earlier; the journal must contain that line.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Another run, which must not contain the same responses; repeatable.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = None,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Audit a run: find everything that is inconsistent, and anything that a case must not do.

    Reads only the run directory and the pool: needs no engine, provider or tasks. Exit code 0 if nothing is found, 1 if
    something is.
    """
    from dynamic_track.auditing.audit import audit as audit_run
    from dynamic_track.auditing.audit import run_pool

    known = None if head is None else _parse_head(head)
    manifest = run_pool(run_dir, pool)
    with progress() as shown:
        found = audit_run(run_dir, manifest, head=known, against=against or (), progress=shown)
    if json_:
        if found.simulated:
            typer.echo(f"note: this is {_REHEARSAL}", err=True)
        print_json(found.to_json(), output)
    else:
        print_table(_people_table(found) if form.for_people else _program_table(found), form, output)
    if found.findings:
        raise typer.Exit(1)


def _parse_head(text: str) -> tuple[int, str]:
    from twinbench.errors import UsageError

    match = _HEAD.fullmatch(text.lower())
    if match is None:
        raise UsageError(f"--head {text[:80]}: give a line's number and hash, such as 17:9f86d0…")
    return int(match["number"]), match["sha256"]


def _people_table(found: Audit) -> Table:
    from dynamic_track.auditing.audit import CHECKS

    columns = [
        Column("check", "Check"),
        Column("looked_at", "Checked"),
        Column("found", "Findings"),
        Column("reason", "What an honest run has"),
    ]
    rows = [
        {
            "check": check.name,
            "looked_at": format_count(
                found.unit_count(check), check.unit, "patches" if check.unit == "patch" else None
            ),
            "found": found.finding_count(check),
            "reason": check.reason,
        }
        for check in CHECKS
    ]
    told = [f"{each.check}: {each.case + ': ' if each.case else ''}{each.detail}" for each in found.findings]
    told += [f"note: {each.case}: {each.detail}" for each in found.warnings]
    told += [f"tokens of {each}" for each in found.tokens]
    head = [] if found.head is None else [f"the journal ends with line {found.head[0]}, {found.head[1]}"]
    title = f"Audit of {found.run}" + (f", {_REHEARSAL}" if found.simulated else "")
    return Table(title, columns, rows, [*told, *found.notes, *head, found.summary])


def _program_table(found: Audit) -> Table:
    columns = [
        Column("name", "Check"),
        Column("subject", "Run or case"),
        Column("status", "Status"),
        Column("value", "Value", kind=float),
        Column("reason", "Reason"),
    ]
    caveat = f"this is {_REHEARSAL}" if found.simulated else None
    return Table("", columns, [check.to_json() for check in found.checks], caveat=caveat)
