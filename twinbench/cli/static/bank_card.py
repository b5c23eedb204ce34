"""``twinbench bank card``: what a bank holds and how its labels came about, for those who are to use it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.help import Panel
from twinbench.cli.options import OutputOption, StoreOption
from twinbench.cli.output import progress, write_text

if TYPE_CHECKING:
    from static_track.banks.card import BankCard


def card(
    target: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bank of the store, or the directory of one that was built.")
    ],
    *,
    json_: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write Croissant (JSON-LD), which catalogues and loaders of data sets know, instead of Markdown.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="For Croissant: the data set's page.", show_default=False),
    ] = None,
    creator: Annotated[
        str | None,
        typer.Option("--creator", metavar="NAME", help="For Croissant: who made it.", show_default=False),
    ] = None,
    published: Annotated[
        datetime | None,
        typer.Option(
            "--published",
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="For Croissant: the day of publication, as 2026-11-30.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="X.Y.Z", help="For Croissant: the data set's version.", show_default=False),
    ] = None,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Write a bank's card, to be published beside its rows; Markdown, with the header that the Hugging Face hub reads.

    Of a bank of the store, the rows are what bank export -o NAME.jsonl writes.
    """
    from static_track.banks.croissant import Published, make_croissant
    from twinbench.errors import UsageError

    told = {"--url": url, "--creator": creator, "--published": published, "--version": version}
    if not json_ and (given := [name for name, value in told.items() if value is not None]):
        raise UsageError(f"{given[0]} is for Croissant: add --json")
    found = _card(target, store)
    if not json_:
        write_text(found.markdown(), output)
        return
    about = Published(url, creator, None if published is None else published.date(), version)
    write_text(json.dumps(make_croissant(found, about), indent=2, ensure_ascii=False) + "\n", output)


def _card(target: str, store: str | None) -> BankCard:
    from static_track.banks.card import card_of_bank, card_of_build
    from static_track.banks.opening import open_bank
    from twinbench.reading.input_files import is_folder
    from twinbench.storage.store import Store

    if is_folder(Path(target)):
        return card_of_build(Path(target))
    with progress() as shown, open_bank(target, Store(store), shown) as bank:
        return card_of_bank(bank)
