"""Metadata of a bank (its ``bank.json`` in the store), and the caveats that must accompany its numbers."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.embedded_names import EMBEDDED
from twinbench.display.wording import format_count
from twinbench.errors import TwinbenchError
from twinbench.storage.store import Store
from twinbench.text.messages import PROTOCOL_TEXT_RULES

_TASK_LABELS = (
    "In every trajectory of the bank all rows have the same label: the labels are those of tasks, not of steps, and "
    "scores say nothing about step-by-step routing."
)
_RANKS_NOTHING = "By what its rows say, results on the bank rank nothing: routers have scores on it, and no ranks."
_MOST_CAVEATS = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")

_UNLABELLED = "The bank has no labels: routers can decide its calls, but cannot be scored on it."


@dataclass(frozen=True)
class BankInfo:
    """Metadata of a bank, known without opening its file."""

    name: str
    sha256: str
    """SHA-256 of the canonical export."""
    source_sha256: str
    """SHA-256 of the imported file."""
    source: str
    rows: int
    trajectories: int
    groups: int
    """The number of groups; trajectories of the same group are not independent of each other."""
    workloads: tuple[str, ...]
    heldout_trajectories: int
    schema: int
    base: str
    """Fingerprint of what the token counts depend on besides the rows."""
    imported: str
    labelled: bool = True
    """Whether its rows have labels; either all have or none has."""
    text_rules: int = PROTOCOL_TEXT_RULES
    """The lowest version of the text rules that gives its messages the texts that were counted."""
    task_labels: bool = False
    """Whether its labels look like task labels that are repeated on every step."""
    caveats: tuple[str, ...] = ()
    """Caveats in its rows that must accompany its numbers."""
    ranks_nothing: bool = False
    """Whether its rows say that results on it rank nothing. This alone decides whether routers are ranked, on boards
    and in comparisons as on the leaderboard; every other caveat says only what the ranks are of."""

    @property
    def file_name(self) -> str:
        """The name of the bank's file in its folder."""
        return f"{self.sha256}.duckdb"

    @property
    def manifest_name(self) -> str:
        """The name of the file in its folder with the manifest of the build that made it, if it was built."""
        return f"{self.sha256}.manifest.json"

    @property
    def caveat(self) -> str | None:
        """The caveat that must accompany the bank and its numbers; None if there is none.

        Everything that shows numbers of a bank takes the caveat from here.
        """
        found = [] if self.labelled else [_UNLABELLED]
        if self.task_labels:
            found.append(_TASK_LABELS)
        if self.ranks_nothing:
            found.append(_RANKS_NOTHING)
        found += self.caveats[:_MOST_CAVEATS]
        if len(self.caveats) > _MOST_CAVEATS:
            found.append(f"Its rows have {format_count(len(self.caveats) - _MOST_CAVEATS, 'more caveat')}.")
        return " ".join(found) or None

    def to_json_with_caveat(self) -> dict[str, Any]:
        """Return the bank's metadata as a JSON object, with its caveat."""
        return self.to_json() | ({} if self.caveat is None else {"caveat": self.caveat})

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``bank.json``."""
        return asdict(self)

    def to_meta(self) -> dict[str, str]:
        """Return the metadata as texts, for the bank file itself."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.to_json().items()}


@cache
def _pointer_type() -> TypeAdapter[BankInfo]:
    return TypeAdapter(BankInfo)


def bank_info(name: str, store: Store) -> BankInfo:
    """Read a bank's metadata from the store.

    Raises:
        UsageError: the bank does not exist.
        TwinbenchError: ``bank.json`` is damaged or of a newer schema.
    """
    pointer = store.pointer(name)
    if pointer is None:
        raise store.unknown_bank(name, EMBEDDED)
    schema = pointer.get("schema")
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise TwinbenchError(
            f"the bank {name!r} has schema {schema}, but this twinbench reads up to {SCHEMA_VERSION}: "
            "update twinbench, or import the bank again with --replace"
        )
    found: BankInfo | None = None
    with suppress(ValidationError):
        # Up to schema 3 there were no groups.
        found = _pointer_type().validate_python({"groups": pointer.get("trajectories"), **pointer})
    if found is None or not _SHA256.fullmatch(found.sha256):  # the hash is part of the file's name
        raise TwinbenchError(f"{store.bank_dir(name) / 'bank.json'} is damaged: import the bank again with --replace")
    return found


def list_banks(store: Store) -> tuple[list[BankInfo], list[TwinbenchError]]:
    """Return all banks of the store by name, and the errors of those that cannot be read."""
    banks: list[BankInfo] = []
    damaged: list[TwinbenchError] = []
    for name in store.bank_names():
        try:
            banks.append(bank_info(name, store))
        except TwinbenchError as error:
            damaged.append(error)
    return banks, damaged
