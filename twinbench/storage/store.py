"""The store: a directory of banks, tables of outcomes, predictions and scores, each immutable once written.

Everything is written aside and moved into place, so a reader sees the old state or the new one, and a killed or failed
writer leaves nothing but a file that the next writer clears away.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from twinbench.display.wording import did_you_mean
from twinbench.errors import StoreWriteError, TwinbenchError, UsageError
from twinbench.reading.input_files import path_exists
from twinbench.reading.rows import SUFFIXES, TRAJECTORY_SUFFIXES
from twinbench.storage import resources

STORE_VARIABLE = "TWINBENCH_STORE"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ASIDE = ".partial-"
_ABANDONED_AFTER_S = 24 * 3600
_NO_SPACE = os.strerror(errno.ENOSPC)  # DuckDB passes the system's words on, without the number


def default_store() -> Path:
    """Return ``TWINBENCH_STORE``, else ``results/store`` in a checkout, else a folder in the user's data directory."""
    if path := os.environ.get(STORE_VARIABLE):
        return Path(path)
    if root := resources.checkout_root():
        return root / "results" / "store"
    import platformdirs

    return Path(platformdirs.user_data_dir("twinbench", appauthor=False)) / "store"


def runs_dir() -> Path:
    """Return the default folder of run directories, which is beside the store."""
    return default_store().parent / "runs"


OUTCOMES_KIND = "table of outcomes"
"""The ``kind`` for ``check_name``."""


def check_name(kind: str, name: object) -> str:
    """Return ``name`` if it can name a ``kind`` of thing in the store.

    Raises:
        UsageError: it has characters that a file name should not have.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        wrong = f"{kind} name {name!r}: use letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
        hint = {"bank": _import_hint, OUTCOMES_KIND: outcomes_hint}.get(kind)
        raise UsageError((hint(name) if hint is not None and isinstance(name, str) else None) or wrong)
    return name


def outcomes_hint(name: str) -> str | None:
    """Return advice about a file that was given in the place of a table of outcomes; None if it is not a file."""
    if not path_exists(Path(name)):
        return None
    stem = _stem(name)
    return (
        f"{name!r} is a file, and tables of outcomes go by their names in the store: twinbench outcomes import {name} "
        f"--name {stem}, and then give {stem}"
    )


def _stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name.partition(".")[0]).strip("-._") or "mine"


def _import_hint(name: str) -> str | None:
    """Return advice about a file that was given in the place of a bank's name; None if it is not a file."""
    file = Path(name)
    if not file.name.endswith(SUFFIXES) and not ("/" in name and path_exists(file)):
        return None
    stem = _stem(name)
    runs = " --format mini-swe-agent" if file.name.endswith(TRAJECTORY_SUFFIXES) else ""
    return (
        f"{name!r} is a file, and banks go by their names in the store: twinbench bank import {name}{runs} "
        f"--name {stem}, and then give {stem}"
    )


class Store:
    """Paths of the store, and the one way to write into it."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else default_store()

    def bank_dir(self, name: str) -> Path:
        """The folder of a bank: its files, its sidecars and the pointer to the current file."""
        return self.root / "banks" / check_name("bank", name)

    def pointer(self, name: str) -> dict[str, Any] | None:
        """Return the content of the bank's pointer, or None if there is no such bank."""
        path = self.bank_dir(name) / "bank.json"
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TwinbenchError(
                f"cannot read {path} ({error.strerror}): choose another store with --store or {STORE_VARIABLE}"
            ) from None
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise TwinbenchError(f"{path} is damaged: import the bank again with --replace")
        return content

    def current_content(self, name: str) -> str | None:
        """The SHA-256 of a bank's current content; None where there is none, or a pointer that says none."""
        try:
            content = (self.pointer(name) or {}).get("sha256")
        except TwinbenchError:
            return None
        return content if isinstance(content, str) and _SHA256.fullmatch(content) else None

    def pointer_exists(self, name: str) -> bool:
        """Return whether there is a bank of that name; False for an invalid name."""
        return _NAME.fullmatch(name) is not None and (self.bank_dir(name) / "bank.json").is_file()

    def bank_names(self) -> list[str]:
        """The banks of the store, by name."""
        return sorted(path.parent.name for path in self.root.glob("banks/*/bank.json"))

    def write_pointer(self, name: str, content: Mapping[str, Any], *, replace: bool) -> None:
        """Make a bank's file the current one.

        Raises:
            UsageError: the name exists and ``replace`` is False.
        """
        with self.replacing(self.bank_dir(name) / "bank.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
            if not replace:
                _take_name(temporary, self.bank_dir(name) / "bank.json", _name_exists("bank", name))

    def refuse_existing(self, name: str) -> None:
        """Raise UsageError where a bank of that name exists."""
        if self.pointer(name) is not None:
            raise _name_exists("bank", name)

    def outcomes_file(self, name: str) -> Path:
        """The file of a table of outcomes."""
        return self.root / "outcomes" / f"{check_name(OUTCOMES_KIND, name)}.parquet"

    def outcomes_names(self) -> list[str]:
        """The tables of outcomes in the store, by name."""
        return sorted(path.stem for path in self.root.glob("outcomes/*.parquet") if _NAME.fullmatch(path.stem))

    @contextmanager
    def writing_outcomes(self, name: str, *, replace: bool) -> Iterator[Path]:
        """A path to write a table of outcomes to, which becomes ``outcomes_file(name)`` when the block ends well.

        Raises:
            UsageError: the name exists and ``replace`` is False.
            StoreWriteError: the store cannot be written, or the disk is full.
        """
        path = self.outcomes_file(name)
        with self.replacing(path) as temporary:
            yield temporary
            if not replace:
                _take_name(temporary, path, _name_exists("table of outcomes", name))

    def remove_outcomes(self, name: str) -> None:
        """Remove a table of outcomes that is there."""
        path = self.outcomes_file(name)
        with self._writing(path):
            path.unlink()

    def remove_bank(self, name: str) -> None:
        """Remove a bank with its sidecars; processes that have it open keep it until they close it.

        Raises:
            UsageError: no such bank.
        """
        folder = self.bank_dir(name)
        if not (folder / "bank.json").exists():
            raise self.unknown_bank(name)
        with self._writing(folder):
            (folder / "bank.json").unlink()  # first: from now on the bank does not exist
            shutil.rmtree(folder, ignore_errors=True)

    def unknown_bank(self, name: str, embedded: Iterable[str] = ()) -> UsageError:
        """Return the error for a name that no bank has.

        Args:
            name: the name.
            embedded: names of banks that are imported when they are first used.
        """
        if (hint := _import_hint(name)) is not None:
            return UsageError(f"no bank {name!r}: {hint}")
        names = sorted({*self.bank_names(), *embedded})
        bring = f"bring one with: twinbench bank import FILE --name {name}"
        meant = did_you_mean(name, names)
        then = f"{meant} Or {bring}" if meant else f"; {bring}"
        return UsageError(f"no bank {name!r} in {self.root} (banks: {', '.join(names) or 'none yet'}){then}")

    def refuse_misplaced(self, name: str) -> None:
        """Refuse a store at, or below, a path that is not a folder, before a bank is read for it.

        Raises:
            StoreWriteError: the folder of the bank cannot be made.
        """
        folder = self.bank_dir(name)
        with self._writing(folder), suppress(FileNotFoundError):
            folder.stat()

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A temporary path beside ``path``; what is written there is moved to ``path`` when the block ends well.

        A file or a folder. Where the block fails, nothing is left. What is at ``path`` is replaced if it is a
        file; a folder there is kept, since it was named by the same content.

        Raises:
            StoreWriteError: the store cannot be written, or the disk is full.
        """
        temporary = path.with_name(f"{_ASIDE}{uuid.uuid4().hex[:12]}-{path.name}")
        with self._writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_abandoned(path.parent)
        try:
            with self._writing(path):
                yield temporary
                _flush_to_disk(temporary)
                try:
                    temporary.replace(path)
                except OSError:  # another process may have kept the same folder just now
                    if not (temporary.is_dir() and path.is_dir()):
                        raise
        finally:
            # DuckDB puts files of its own beside the one that it writes. No pattern: each would be compiled anew.
            for leftover in path.parent.iterdir():
                if leftover.name.startswith(temporary.name):
                    _remove(leftover)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.write_error(path, error) from None

    def write_error(self, path: Path, error: Exception) -> StoreWriteError:
        """A failed write, worded for the person at the keyboard."""
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _NO_SPACE in reason:
            return StoreWriteError(f"no space left on the disk of the store {self.root}; nothing was changed")
        return StoreWriteError(
            f"cannot write {path} ({reason}); nothing was changed; choose another with --store or {STORE_VARIABLE}"
        )

    def discard(self, folder: Path) -> None:
        """Remove a folder of results that cannot be read, so that they can be kept anew."""
        shutil.rmtree(folder, ignore_errors=True)

    def remove_bank_files(self, name: str, sha256: str) -> None:
        """Remove the files of a bank's former content, unless the bank has that content again.

        Another process may make it current at any moment. So each file is put aside before the pointer is looked at,
        and back if it is needed; an import that publishes looks afterwards whether its file is there. Where a reader
        holds a file (Windows), it stays for now.
        """
        for path in self.bank_dir(name).glob(f"{sha256}.*"):
            with suppress(OSError):
                put_aside = path.with_name(f"{_ASIDE}{uuid.uuid4().hex[:12]}-{path.name}")
                path.rename(put_aside)
                if self.current_content(name) == sha256:
                    put_aside.replace(path)
                else:
                    put_aside.unlink()

    def abandoned_contents(self, name: str) -> set[str]:
        """The SHA-256 of contents whose files have been in a bank's folder for a day or more without being current.

        An import that was killed just before it could publish leaves one, and one of several that published at once.
        """
        found = set()
        for path in self.bank_dir(name).glob("*.duckdb"):
            with suppress(OSError):
                if _SHA256.fullmatch(path.stem) and time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    found.add(path.stem)
        return found - {self.current_content(name)}

    @contextmanager
    def new_folder(self, folder: Path) -> Iterator[None]:
        """If the block fails, remove ``folder`` and its parents, as far as they did not exist before and are empty."""
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            yield
        except BaseException:
            for path in missing:
                with suppress(OSError):
                    path.rmdir()
            raise


def _take_name(temporary: Path, path: Path, taken: UsageError) -> None:
    """Give what was written its name, if nothing else has it: ``taken`` is raised where another was faster."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise taken from None
    except OSError:  # a file system without links: the check is then not atomic
        if path.exists():
            raise taken from None


def _name_exists(kind: str, name: str) -> UsageError:
    return UsageError(f"a {kind} named {name!r} exists; choose another --name, or --replace it")


def _clear_abandoned(folder: Path) -> None:
    """Remove what writers that were killed left behind a day ago or more."""
    for path in folder.glob(f"{_ASIDE}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _flush_to_disk(path: Path) -> None:
    for file in path.iterdir() if path.is_dir() else [path]:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
