"""What a shell offers for the word that is being typed: names of routers, banks, parts, pools, tasks and runs.

Nothing is fetched, and what cannot be read offers nothing: an error would stand in the middle of somebody's typing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

_STARTER = "starter"
_REHEARSAL = "rehearsal"


@dataclass(frozen=True)
class _Typed:
    """A command line up to the word that is being typed."""

    parameters: Mapping[str, Any]
    """What stands before that word, by the name of the command's parameter."""
    arguments: Sequence[str]
    """What stands there beside options, where the word is an option's value: then no argument has its name yet."""
    word: str
    """As much of it as there is."""

    @property
    def first_argument(self) -> str | None:
        """The first of them; None where there is none."""
        return next(iter(self.arguments), None)


def _offered(words: Callable[[_Typed], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Those words that begin with what was typed, in order; none where they cannot be found out."""

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        from twinbench.errors import TwinbenchError

        try:
            found = words(_Typed(context.params, context.args, incomplete))
            return sorted({word for word in found if word.startswith(incomplete)})
        except (TwinbenchError, OSError, ValueError):
            return []

    return offered


@_offered
def banks(typed: _Typed) -> Iterable[str]:
    """The banks of the store that the command line names."""
    from twinbench.storage.store import Store

    return [_STARTER, *Store(typed.parameters.get("store")).bank_names()]


@_offered
def parts(typed: _Typed) -> Iterable[str]:
    """The parts of the bank that the command line names: with their split where several have a part of that name."""
    from static_track.banks.splits import HELDOUT, list_splits
    from twinbench.storage.store import Store

    store = Store(typed.parameters.get("store"))
    bank = typed.parameters.get("bank", typed.first_argument) or _STARTER  # bank check takes it as an argument
    pointer = store.pointer(bank)
    content = store.current_content(bank)
    if pointer is None or content is None:
        return []
    splits = [(split["name"], part) for split in list_splits(store.bank_dir(bank), content) for part in split["parts"]]
    alone = [part for _, part in splits]
    words = [part if alone.count(part) == 1 else f"{split}/{part}" for split, part in splits if part != HELDOUT]
    return [*words, HELDOUT] if pointer.get("heldout_trajectories") else words


@_offered
def routers(_: _Typed) -> Iterable[str]:
    """The built-in routers."""
    from twinbench.routers.registry import BUILT_IN

    return BUILT_IN


@_offered
def manifests(_: _Typed) -> Iterable[str]:
    """The shipped manifests."""
    from twinbench.storage.manifest_files import manifest_names

    return manifest_names()


@_offered
def task_ids(typed: _Typed) -> Iterable[str]:
    """The tasks of the set that the command line names, as far as they are on this machine."""
    from dynamic_track.tasks.sources import ids_at_hand

    return ids_at_hand(typed.parameters.get("tasks") or _REHEARSAL, typed.parameters.get("dataset"))


@_offered
def run_cases(typed: _Typed) -> Iterable[str]:
    """The cases of the run that the command line names."""
    from dynamic_track.running.plan import read_plan

    run_dir = typed.first_argument
    return [] if run_dir is None else read_plan(Path(run_dir)).cases


@_offered
def runs(typed: _Typed) -> Iterable[str]:
    """The run directories below the folder that is typed; where none is, those of the default folder too."""
    from dynamic_track.running.folders import run_folders
    from twinbench.storage.store import runs_dir

    folder, slash, _ = typed.word.rpartition("/")
    if slash:
        return [str(path) for path in run_folders(Path(f"{folder}{slash}"))]
    below = [str(path) for path in run_folders(Path(), levels=2)]  # which may be a home with all that is in it
    here = Path.cwd()
    default = (path.resolve() for path in run_folders(runs_dir()))
    return [*below, *(os.path.relpath(path) if path.is_relative_to(here) else str(path) for path in default)]
