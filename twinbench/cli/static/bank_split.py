"""``twinbench bank split``: split a bank into parts, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from twinbench.cli.options import BankArgument, FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress
from twinbench.display.wording import format_count, format_trajectories


def groups_column(fewer: Iterable[bool]) -> Column:
    """Make the column of groups, which people see only if there are fewer groups than trajectories."""
    return Column("groups", "Groups", kind=int, for_people=any(fewer))


def split(
    name: BankArgument,
    *,
    split_name: Annotated[str, typer.Option("--name", metavar="SPLIT", help="The split's name.")] = "default",
    parts: Annotated[
        str, typer.Option("--parts", metavar="SHARES", help="The parts with their shares.")
    ] = "train=60,dev=20,test=20",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random split.")] = 0,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates/--no-near-duplicates",
            help="Keep trajectories with nearly the same first messages in one part.",
        ),
    ] = True,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Split a bank into parts by trajectory, stratified by workload and label.

    Trajectories of one group are put in one part, and so are near-duplicates: those whose first messages share four
    fifths of their five-word sequences.
    Instances of heldout100 are in the part "heldout" only. Score a part with: twinbench static score … --split PART.
    """
    from static_track.banks.opening import open_bank
    from twinbench.routing.tiers import TIER_LABELS
    from twinbench.storage.store import Store

    with progress() as shown, open_bank(name, Store(store), shown) as bank:
        shown("comparing first messages", 0, None)
        plan = bank.make_split(split_name, parts, seed, near_duplicates=near_duplicates)
        rows = [{"part": part, **bank.part_counts(numbers)} for part, numbers in plan.parts.items()]
    if json_:
        told = {} if bank.info.caveat is None else {"caveat": bank.info.caveat}
        print_json(plan.to_json(bank.info.sha256) | {"counts": rows} | told, output)
        return
    columns = [
        Column("part", "Part"),
        Column("trajectories", "Trajectories", kind=int),
        groups_column(row["groups"] < row["trajectories"] for row in rows if "groups" in row),  # not of an empty part
        Column("rows", "Rows", kind=int),
        *(Column(label, label) for label in TIER_LABELS),
    ]
    title = f"Split {split_name} of {name}, seed {seed}"
    near, named = (None if each is None else each.to_json() for each in (plan.near_duplicates, plan.named_groups))
    notes = [grouping_summary(near, named)]
    print_table(Table(title, columns, rows, notes, caveat=bank.info.caveat), form, output)


def grouping_summary(near: Mapping[str, Any] | None, named: Mapping[str, Any] | None) -> str:
    """Describe in one line what a split did with near-duplicates and with named groups."""
    if near is None:
        found = "near-duplicates: not kept together"
    else:
        found = _grouping_text("near-duplicates", near) if near["groups"] else "near-duplicates: none"
    return found if named is None else f"{found}; {_grouping_text('named groups', named)}"


def _grouping_text(what: str, grouping: Mapping[str, Any]) -> str:
    joined = len(grouping["joined_heldout"])
    return (
        f"{what}: {format_count(grouping['groups'], 'group')}, each in one part: "
        f"{format_trajectories(grouping['trajectories'])}, {grouping['largest']} in the largest"
        + (f"; held out with an instance of heldout100: {format_trajectories(joined)}" if joined else "")
    )
