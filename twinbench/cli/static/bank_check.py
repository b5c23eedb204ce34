"""``twinbench bank check``, and its short form after an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from twinbench.cli.options import BankArgument, FormatOption, JsonOption, OutputOption, SplitOption, StoreOption
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from static_track.banks.bank_info import BankInfo
    from static_track.leaks.checking import LeakCheck
    from twinbench.display.progress import Progress
    from twinbench.storage.store import Store

_NAMED_AT_IMPORT = 3


def check(
    name: BankArgument,
    *,
    split: SplitOption = None,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Check a bank for label leaks: how well labels can be predicted without reading the conversation.

    Tries step index, lengths, counts, keys and their order, ids, times, label-like words and more, each alone. Exit
    code 1 if one of them predicts significantly more than 5 points more labels than always guessing the largest class.
    """
    from static_track.banks.opening import open_bank
    from static_track.leaks.checking import check_bank
    from twinbench.storage.store import Store

    with progress() as shown, open_bank(name, Store(store), shown) as bank:
        report = check_bank(bank, split=bank.split(split), progress=shown)
    if json_:
        print_json(report.to_json(), output)
    else:
        columns = [
            Column("name", "Check"),
            Column("status", "Status"),
            Column("value", "Points over largest class", 1, interval_keys=("low", "high")),
            Column("low", "", kind=float, for_people=False),
            Column("high", "", kind=float, for_people=False),
            Column("within_workloads", "Within workloads", 1, for_people=report.workload is not None),
            Column("accuracy", "Accuracy, %", 1, for_people=False),
            Column("subject", "Predicted from"),
            Column("reason", "Reason"),
        ]
        title = (
            f"Label leaks of {name}: {format_count(report.rows, 'row')} in {format_count(report.groups, 'group')}, "
            f"{report.largest_class:.1f} % of the labels are the largest class"
        )
        print_table(Table(title, columns, report.records(), report.notes, caveat=report.caveat), form, output)
    if report.failed:
        failed = ", ".join(each.name for each in report.checks if each.status == "fail")
        typer.echo(f"error: failed checks: {make_printable(failed)}", err=True)
        raise typer.Exit(1)


def quick_check(info: BankInfo, store: Store, shown: Progress) -> list[LeakCheck]:
    """Check a sample of a bank that was just imported for label leaks."""
    from static_track.banks.bank import Bank
    from static_track.leaks.checking import glance

    with Bank.open(info.name, store) as bank:
        return glance(bank, shown)


def print_leaks(info: BankInfo, found: list[LeakCheck]) -> None:
    """Print to standard error which leaks were found; nothing if none."""
    if not found:
        return
    named = [f"{check.name} (+{check.value:.1f} points)" for check in found[:_NAMED_AT_IMPORT]]
    if len(found) > _NAMED_AT_IMPORT:
        named.append(f"{len(found) - _NAMED_AT_IMPORT} more")
    typer.echo(
        make_printable(
            f"note: labels can be predicted without reading the conversation, by {', '.join(named)}: "
            f"twinbench bank check {info.name}"
        ),
        err=True,
    )
