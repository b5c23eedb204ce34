"""Training in a router's own process: takes trajectories, calls ``fit`` and ``save``, and gives out what was saved.

What ``save`` wrote leaves the process in pieces through its pipe, so that it is the same wherever the process runs, and
twinbench alone writes the artefact. Standard library only.
"""

from __future__ import annotations

import base64
import os
import random
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinbench.plugins.artefact_names import CODE, LEARNED
from twinbench.plugins.constructing import LoadError
from twinbench.plugins.raised import describe_error
from twinbench.plugins.wire import trajectory_from_json
from twinbench.routing.router import Candidate
from twinbench.routing.training import Trajectory

CHUNK_BYTES = 2**19
"""Size of a piece of a file in one answer: its base64 fits the answer's size limit."""

MOST_FILES = 1_000
MAX_ANSWER_BYTES = 512 * 2**20
"""Maximum size of an artefact, its code included."""

_NUMPY_SEEDS = 2**32
_MOST_PATH_SHOWN = 80


class Fitting:
    """The training of the router of one process, step by step."""

    def __init__(self) -> None:
        self._taken: list[Trajectory] = []
        self._folder = Path()
        self._sizes: dict[str, int] = {}

    def answer(self, router: Any, candidates: tuple[Candidate, ...], request: Mapping[str, Any]) -> dict[str, Any]:
        """Do one step of the training.

        Args:
            router: the one that is trained.
            candidates: the candidates that the router picks from.
            request: its ``step`` is ``take``, ``fit``, ``save`` or ``chunk``.
        """
        step = request["step"]
        if step == "take":
            self._taken.append(trajectory_from_json(request["trajectory"], candidates))
            return {}
        if step == "fit":
            return self._fit(router, request["seed"])
        if step == "save":
            return self._save(router, request["code"])
        return self._chunk(request["file"], request["offset"])

    def _fit(self, router: Any, seed: int) -> dict[str, Any]:
        if not callable(getattr(router, "save", None)) or not callable(getattr(router, "load", None)):
            return {"error": "it has fit(trajectories), but not both save(folder) and load(folder)", "usage": True}
        random.seed(seed)
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed(seed % _NUMPY_SEEDS)
        try:
            router.fit(tuple(self._taken))
        except BaseException as error:  # noqa: BLE001 - whatever a router raises is its own error, an exit too
            return {"error": f"fit {describe_error(error)}", "usage": False}
        self._taken = []
        return {}

    def _save(self, router: Any, code: Mapping[str, str]) -> dict[str, Any]:
        self._folder = Path(tempfile.mkdtemp(prefix="twinbench-saved-"))
        learned = self._folder / LEARNED
        learned.mkdir()
        try:
            router.save(learned)
        except BaseException as error:  # noqa: BLE001 - as above
            return {"error": f"save {describe_error(error)}", "usage": False}
        try:
            for name, path in code.items():
                target = self._folder / CODE / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            self._sizes = _sizes(self._folder)
        except OSError as error:
            what = f"{error.strerror or error}: {_shortened(os.fsdecode(error.filename or ''))}"
            return {"error": f"what save wrote cannot be read ({what})", "usage": False}
        except _UnkeepableFileError as error:
            return {"error": f"save wrote {error}", "usage": False}
        if not any(name.startswith(f"{LEARNED}/") for name in self._sizes):
            return {"error": "save wrote no file into the folder that it was given", "usage": False}
        if len(self._sizes) > MOST_FILES:
            return {"error": f"save wrote {len(self._sizes):,} files; at most {MOST_FILES:,} are taken", "usage": False}
        if (total := sum(self._sizes.values())) > MAX_ANSWER_BYTES:
            return {"error": f"save wrote {total:,} bytes; at most {MAX_ANSWER_BYTES:,} are taken", "usage": False}
        return {"files": self._sizes}

    def _chunk(self, name: str, offset: int) -> dict[str, Any]:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(offset)
                data = file.read(CHUNK_BYTES)
        except OSError as error:
            return {"error": f"{name} cannot be read any more ({error})", "usage": False}
        return {"data": base64.b64encode(data).decode()}


def load_learned(router: Any, folder: str) -> None:
    """Let a router load what it saved.

    Args:
        router: made with the arguments that it was trained with.
        folder: what ``save`` wrote.

    Raises:
        LoadError: it has no method for that, or it raised.
    """
    load = getattr(router, "load", None)
    if not callable(load):
        raise LoadError("it has no method load(folder), which an artefact needs", usage=True)
    try:
        load(Path(folder))
    except BaseException as error:
        raise LoadError(f"load {describe_error(error)}", usage=False) from error


class _UnkeepableFileError(Exception):
    """Something that was saved would be missing in the artefact; the text says what."""


def _sizes(folder: Path) -> dict[str, int]:
    """The size of every file below a folder, by its path from there.

    Raises:
        OSError: a folder cannot be read, or a path is longer than the system takes.
        _UnkeepableFileError: something is neither a plain file nor a folder, or has a name that is no text.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: dict[str, int] = {}
    for parent, folders, names in os.walk(folder, onerror=refuse):
        for name in [*folders, *names]:
            path = Path(parent, name)
            inner = path.relative_to(folder).as_posix()
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise _UnkeepableFileError(f"{inner!a}, which is a link or a pipe, say; only plain files are kept")
            try:
                inner.encode()
            except UnicodeEncodeError:
                raise _UnkeepableFileError(f"{inner!a}, whose name is no text in UTF-8") from None
            found[inner] = status.st_size
    return dict(sorted(found.items()))


def _shortened(path: str) -> str:
    """Return a path for a message; of a long one the end, which tells more than the temporary folder."""
    return path if len(path) <= _MOST_PATH_SHOWN else f"…{path[-_MOST_PATH_SHOWN:]}"
