"""Which results follow the current protocol, and what is known of banks whatever an entry says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from twinbench.submissions.manifest import Division
from twinbench.submissions.report import VerifiedResult


@dataclass(frozen=True)
class KnownBank:
    """What a bank says of itself that is known here."""

    name: str
    caveat: str | None = None
    ranks_nothing: bool = False


@dataclass(frozen=True)
class CurrentProtocols:
    """The fingerprints of the current protocols, and the banks that are known."""

    static: str
    """Fingerprint of the locked static manifest with the tokenizer set."""
    live: str
    """Fingerprint of the locked live pool."""
    banks: Mapping[str, KnownBank] = field(default_factory=dict)
    """By the SHA-256 of a bank's content, or of the file that it is imported from."""


def is_current(result: VerifiedResult, protocols: CurrentProtocols) -> bool:
    """Return whether a result follows the current protocol; the open division has none.

    Results of an earlier one stay listed, in tables of their own.
    """
    if result.division is Division.static:
        return result.setting.get("protocol") == protocols.static
    if result.division is Division.open:
        return True
    pool = result.setting.get("pool")
    return (pool.get("fingerprint") if isinstance(pool, dict) else None) == protocols.live


def conditions_of(result: VerifiedResult) -> str:
    """Return what all results have in common that may stand in one table, as far as it is named in words."""
    bank, pool = result.setting.get("bank"), result.setting.get("pool")
    named = [
        result.kind,
        bank.get("sha256") if isinstance(bank, dict) else None,
        pool.get("fingerprint") if isinstance(pool, dict) else None,
        result.setting.get("protocol"),
    ]
    return json.dumps(named)


def trusted_setting(setting: Mapping[str, JsonValue], protocols: CurrentProtocols) -> dict[str, JsonValue]:
    """Return the conditions of a result, in which a bank that is known says of itself what is known of it.

    Its name, its caveat and whether it ranks anything are then not those that the entry names. A bank that is not known
    and has the name of one that is, such as an embedded one of another release, is told apart from it.
    """
    bank = setting.get("bank")
    if not isinstance(bank, dict):
        return dict(setting)
    digests = (bank.get("sha256"), bank.get("source_sha256"))
    known = next((protocols.banks[each] for each in digests if isinstance(each, str) and each in protocols.banks), None)
    if known is None:
        if bank.get("name") in {each.name for each in protocols.banks.values()}:
            return {**setting, "bank": {**bank, "name": f"{bank['name']} (of other content)"}}
        return dict(setting)
    told = {key: value for key, value in bank.items() if key not in ("caveat", "ranks_nothing")} | {"name": known.name}
    if known.caveat is not None:
        told["caveat"] = known.caveat
    if known.ranks_nothing:
        told["ranks_nothing"] = True
    return {**setting, "bank": told}
