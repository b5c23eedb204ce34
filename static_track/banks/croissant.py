"""A bank's card as Croissant, the JSON-LD by which catalogues and loaders know data sets; written by mlcroissant."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from static_track.banks.card import BankCard
from twinbench.errors import TwinbenchError, UsageError

if TYPE_CHECKING:
    import mlcroissant as mlc

EXTRA = "pip install 'twinbench[croissant]'"

RECORDS = "rows"
"""The id of the record set."""

_ROWS_FILE = "rows-file"
_NUMBERS = frozenset(("step_index", "total_steps", "target_tier_id"))
_COMMANDS = {"messages": ("role", "content")}
"""The values that are described of the objects in a list, which loaders have no type for."""
_LEFT_OUT = "functions"
"""Definitions of tools, which have two forms; the description of the rows names them."""
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Published:
    """The publisher's statements about a data set."""

    url: str | None = None
    """The address of its page."""
    creator: str | None = None
    """The name of the organisation or person that made it."""
    on: date | None = None
    """The day of publication."""
    version: str | None = None
    """Its version, such as ``1.0.0``."""


def make_croissant(card: BankCard, published: Published) -> dict[str, Any]:
    """Return a card as Croissant, validated.

    What ``published`` leaves out is left out; Croissant recommends to have it.

    Raises:
        UsageError: mlcroissant finds the card invalid, as with a version that is none.
        TwinbenchError: mlcroissant is not installed.
    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise TwinbenchError(
            f"Croissant is written by mlcroissant, which cannot be imported ({error}): {EXTRA}"
        ) from None
    _quiet()
    rows_file = mlc.FileObject(
        id=_ROWS_FILE,
        name=card.file.name,
        description="The rows, as JSON lines.",
        content_url=card.file.name,
        content_size=None if card.file.size is None else f"{card.file.size} B",
        encoding_formats=[mlc.EncodingFormat.JSON_LINES],
        sha256=card.file.sha256,
    )
    described = {name: meaning for name, meaning in card.fields.items() if name != _LEFT_OUT}
    others = (f" The file has {name} too: {card.fields[name]}" for name in card.fields.keys() - described.keys())
    records = mlc.RecordSet(
        id=RECORDS,
        name=RECORDS,
        description=f"One row for each call.{''.join(others)}",
        key=[f"{RECORDS}/id"],
        fields=[_field(name, meaning, texts_only=card.texts_only) for name, meaning in described.items()],
    )
    try:
        metadata = mlc.Metadata(
            name=_NO_NAME.sub("-", card.name),
            description=card.description,
            license=[_licence_url(card.licence)] if card.licence else None,
            url=published.url,
            creators=[mlc.Organization(name=published.creator)] if published.creator else [],
            date_published=None if published.on is None else datetime.combine(published.on, datetime.min.time()),
            version=published.version,
            keywords=["LLM routing", "agents", "twinbench"],
            distribution=[rows_file],
            record_sets=[records],
            data_limitations=None if card.caveat is None else [card.caveat],
        )
        found: dict[str, Any] = json.loads(json.dumps(metadata.to_json(), default=str))
    except mlc.ValidationError as error:
        raise UsageError(f"this would be no valid Croissant: {error}") from None
    return found


def _field(name: str, meaning: str, *, texts_only: bool) -> mlc.Field:
    import mlcroissant as mlc

    parts = [part for part in _COMMANDS.get(name, ()) if texts_only or part != "content"]
    return mlc.Field(
        id=f"{RECORDS}/{name}",
        name=name,
        description=meaning,
        data_types=[] if parts else [mlc.DataType.INTEGER if name in _NUMBERS else mlc.DataType.TEXT],
        repeated=True if parts else None,
        source=None if parts else _source(name),
        sub_fields=[_part(name, part) for part in parts],
    )


def _part(name: str, part: str) -> mlc.Field:
    """Return the field for one value of each object in a list."""
    import mlcroissant as mlc

    identity = f"{RECORDS}/{name}/{part}"
    return mlc.Field(
        id=identity, name=identity, data_types=[mlc.DataType.TEXT], repeated=True, source=_source(name, part)
    )


def _source(column: str, part: str | None = None) -> mlc.Source:
    import mlcroissant as mlc

    transforms = [] if part is None else [mlc.Transform(json_path=part)]
    return mlc.Source(file_object=_ROWS_FILE, extract=mlc.Extract(column=column), transforms=transforms)


def _licence_url(licence: str) -> str:
    """Return the address of a licence that SPDX names; any other text as it is."""
    return f"https://spdx.org/licenses/{licence}" if _SPDX.fullmatch(licence) else licence


def _quiet() -> None:
    """Have mlcroissant not write what it recommends to standard error."""
    logging.getLogger("absl").setLevel(logging.ERROR)
