"""Shell completion: names of routers, banks, splits, pools, tasks and runs.

Nothing is downloaded, and unreadable data yields no completions: an error would appear in the middle of typing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

_REHEARSAL = "rehearsal"


@dataclass(frozen=True)
class _CommandLine:
    """The command line up to the word that is being completed."""

    parameters: Mapping[str, Any]
    """Values given before that word, by parameter name."""
    arguments: Sequence[str]
    """Positional arguments before that word, if it is an option's value: they have no parameter names yet."""
    word: str
    """The beginning of the word, as typed so far."""

    @property
    def first_argument(self) -> str | None:
        """The first positional argument; None if there is none."""
        return next(iter(self.arguments), None)


def _completion(words: Callable[[_CommandLine], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Turn a function that lists words into a completion: words that begin with what was typed, sorted; none on an
    error.
    """

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        from twinbench.errors import TwinbenchError

        try:
            found = words(_CommandLine(context.params, context.args, incomplete))
            return sorted({word for word in found if word.startswith(incomplete)})
        except (TwinbenchError, OSError, ValueError):
            return []

    return offered


@_completion
def banks(typed: _CommandLine) -> Iterable[str]:
    """Complete bank names of the store that the command line names."""
    from static_track.banks.embedded_names import EMBEDDED
    from twinbench.storage.store import Store

    return [*EMBEDDED, *Store(typed.parameters.get("store")).bank_names()]


@_completion
def parts(typed: _CommandLine) -> Iterable[str]:
    """Complete parts of the bank that the command line names, as SPLIT/PART if several splits have a part of that
    name.
    """
    from static_track.banks.embedded_names import DEFAULT_BANK
    from static_track.banks.splits import HELDOUT, list_splits
    from twinbench.storage.store import Store

    store = Store(typed.parameters.get("store"))
    bank = typed.parameters.get("bank", typed.first_argument) or DEFAULT_BANK  # bank check takes it as an argument
    pointer = store.pointer(bank)
    content = store.current_content(bank)
    if pointer is None or content is None:
        return []
    splits = [(split["name"], part) for split in list_splits(store.bank_dir(bank), content) for part in split["parts"]]
    alone = [part for _, part in splits]
    words = [part if alone.count(part) == 1 else f"{split}/{part}" for split, part in splits if part != HELDOUT]
    return [*words, HELDOUT] if pointer.get("heldout_trajectories") else words


@_completion
def routers(_: _CommandLine) -> Iterable[str]:
    """Complete the names of built-in routers."""
    from twinbench.routers.registry import BUILT_IN

    return BUILT_IN


@_completion
def manifests(_: _CommandLine) -> Iterable[str]:
    """Complete the names of shipped manifests."""
    from twinbench.storage.manifest_files import manifest_names

    return manifest_names()


@_completion
def task_ids(typed: _CommandLine) -> Iterable[str]:
    """Complete ids of tasks of the set that the command line names, if they are on this machine."""
    from dynamic_track.tasks.sources import local_task_ids

    return local_task_ids(typed.parameters.get("tasks") or _REHEARSAL, typed.parameters.get("dataset"))


@_completion
def run_cases(typed: _CommandLine) -> Iterable[str]:
    """Complete cases of the run that the command line names."""
    from dynamic_track.running.plan import read_plan

    run_dir = typed.first_argument
    return [] if run_dir is None else read_plan(Path(run_dir)).cases


@_completion
def runs(typed: _CommandLine) -> Iterable[str]:
    """Complete run directories below the typed folder; without a folder, those of the default folder too."""
    from dynamic_track.running.folders import run_folders
    from twinbench.storage.store import runs_dir

    folder, slash, _ = typed.word.rpartition("/")
    if slash:
        return [str(path) for path in run_folders(Path(f"{folder}{slash}"))]
    below = [str(path) for path in run_folders(Path(), levels=2)]  # limited, since this may be a home directory
    here = Path.cwd()
    default = (path.resolve() for path in run_folders(runs_dir()))
    return [*below, *(os.path.relpath(path) if path.is_relative_to(here) else str(path) for path in default)]
