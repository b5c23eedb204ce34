"""Download published banks from the Hugging Face hub, identified by their SHA-256."""

from __future__ import annotations

import errno
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from static_track.banks.bank import Bank
from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import import_bank
from static_track.banks.opening import open_bank
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError
from twinbench.fingerprint import sha256_file
from twinbench.routing.tiers import TIER_LABELS
from twinbench.storage.manifests import PublishedBank
from twinbench.storage.store import Store

_KB = 1000
_REFUSED = (401, 403)
_NOT_FOUND = 404
_IMPORT = "twinbench bank import FILE --name NAME"


@dataclass(frozen=True)
class Pulled:
    """A published bank that is now in the store."""

    info: BankInfo
    imported: bool
    """Whether the bank was imported now; False if the store had it already."""
    downloaded: bool
    """Whether anything was downloaded; False if the store or the hub's cache on this machine had it."""
    differences: tuple[str, ...]
    """Differences between its counts and the published ones, as text."""


def pull_bank(
    published: PublishedBank, name: str, store: Store, *, replace: bool = False, progress: Progress = no_progress
) -> Pulled:
    """Import a published bank into the store as ``name``; nothing is downloaded if the store has it already.

    huggingface_hub's environment variables apply, among them ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and
    ``HF_HUB_OFFLINE``. The file stays in the hub's cache, so that it is downloaded once per machine.

    Raises:
        UsageError: a bank of that name has other content, and ``replace`` is False.
        TwinbenchError: the file cannot be downloaded, or has another SHA-256; nothing was changed.
    """
    if (there := _in_store(published, name, store)) is not None:
        return there
    if not replace:
        store.refuse_existing(name)
    path, downloaded = _fetched(published, progress)
    info = import_bank(str(path), name, store, replace=replace, progress=progress)
    with open_bank(name, store) as bank:
        return Pulled(info, True, downloaded, tuple(_differences(published, bank)))


def _in_store(published: PublishedBank, name: str, store: Store) -> Pulled | None:
    """Return the bank if the store has it and can read it."""
    with suppress(TwinbenchError), open_bank(name, store) as bank:
        if bank.info.source_sha256 == published.sha256:
            return Pulled(bank.info, False, False, tuple(_differences(published, bank)))
    return None


def _differences(published: PublishedBank, bank: Bank) -> Iterator[str]:
    for what, wanted, found in (
        ("rows", published.rows, bank.info.rows),
        ("trajectories", published.trajectories, bank.info.trajectories),
    ):
        if wanted != found:
            yield f"{what}: published {wanted}, imported {found}"
    labels_found = {row["workload"]: tuple(row[label] for label in TIER_LABELS) for row in bank.label_counts()}
    for workload in sorted({*published.labels, *labels_found}):
        expected, counts = published.labels.get(workload), labels_found.get(workload)
        if expected != counts:
            labels_of = f"labels of {workload}, low to high"
            yield f"{labels_of}: published {_counts(expected)}, imported {_counts(counts)}"


def _counts(labels: tuple[int, ...] | None) -> str:
    return "none" if labels is None else ", ".join(map(str, labels))


# The hub


def _fetched(published: PublishedBank, progress: Progress) -> tuple[Path, bool]:
    """Return the file, and whether it had to be downloaded."""
    from huggingface_hub import (
        constants,
        get_hf_file_metadata,
        get_token,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    place: dict[str, Any] = {"repo_type": "dataset", "revision": published.revision}
    cached = try_to_load_from_cache(published.hub, published.file, **place)
    there = isinstance(cached, str)
    if isinstance(cached, str) and sha256_file(Path(cached)) == published.sha256:
        return Path(cached), False
    endpoint = _without_user(constants.ENDPOINT)
    progress("fetching the bank", 0, None)
    try:
        with _silent():
            # hf_hub_download would retry for half a minute without a network; this request fails at once.
            url = hf_hub_url(published.hub, published.file, **place)
            get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
            # A cached file with another hash is damaged or of an earlier revision; the hub would use it unchecked.
            bar = _bar("fetching kilobytes", progress)
            path = Path(hf_hub_download(published.hub, published.file, **place, force_download=there, tqdm_class=bar))
    except Exception as error:  # noqa: BLE001 - its own errors, those of its HTTP client and of its transfer library
        raise _unfetched(published, error, endpoint, constants.HF_HUB_CACHE, get_token()) from None
    found = sha256_file(path)
    if found != published.sha256:
        _remove_from_cache(path)
        raise TwinbenchError(
            f"{published.file} of {published.hub} at {endpoint} is not the published file: its sha256 is {found}, "
            f"expected {published.sha256}. Nothing was imported, and the file was removed. If the data set has "
            "changed, twinbench needs a new manifest of banks; to use the changed file anyway, download it "
            f"yourself and import it under another name: {_IMPORT}"
        )
    return path, True


def _bar(what: str, progress: Progress) -> type[Any]:
    """Return a class that reports the hub's download progress to twinbench."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._done = int(options.get("initial") or 0)
            self._total = options.get("total")
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self._done += int(n or 0)
            progress(what, self._done // _KB, None if self._total is None else int(self._total) // _KB)

    return Bar


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the hub from writing to the terminal, since its messages may contain URLs with secrets."""
    from huggingface_hub.utils import logging as hub_logging

    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub_logging.set_verbosity(before)


def _remove_from_cache(path: Path) -> None:
    """Remove a file and its target from the hub's cache, so that it is not used next time."""
    content = path.resolve()
    for each in {path, content}:
        with suppress(OSError):  # a read-only cache; a wrong file in it is downloaded again anyway
            each.unlink(missing_ok=True)


def _unfetched(
    published: PublishedBank, error: Exception, endpoint: str, cache: str, token: str | None
) -> TwinbenchError:
    """Explain why a file could not be downloaded, and what to do."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    where = f"{published.file} of the data set {published.hub}"
    if status in _REFUSED:
        page = f"{endpoint}/datasets/{published.hub}"
        have = "the current token may not read it" if token else "no token is set"
        reason = (
            f"{endpoint} refuses {where} ({status}), and {have}: accept the conditions on {page}, "
            "and set HF_TOKEN to a token that may read it"
        )
    elif status == _NOT_FOUND:
        reason = f"{endpoint} has no {where} at revision {published.revision} (404): it was moved, renamed or removed"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        reason = f"no space left on the disk for {where}: the cache is {cache}; set HF_HOME to move it"
    else:
        reason = f"{where} could not be downloaded from {endpoint} ({_shown(error, token)})"
    return TwinbenchError(
        f"{reason}. Nothing was imported. Or download the file yourself (sha256 {published.sha256}), then run "
        f"{_IMPORT.replace('NAME', published.name)}"
    )


def _shown(error: Exception, token: str | None) -> str:
    """Return an error's first line without tokens and signed query strings."""
    text = str(error).strip().partition("\n")[0]
    text = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)
    text = text.replace(token, "…") if token else text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _without_user(url: str) -> str:
    """Return a URL without user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
