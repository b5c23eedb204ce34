"""A router trained in a process of its own, under limits of its own; its saved files are transferred in pieces."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinbench.display.progress import Progress
from twinbench.errors import TwinbenchError, UsageError
from twinbench.plugins.answers import CHUNK, SAVING, TRAINING, Answer, AnswerKind, TrainingFailure
from twinbench.plugins.artefact import check_path
from twinbench.plugins.fitting import MAX_ANSWER_BYTES, MOST_FILES
from twinbench.plugins.process_router import ProcessRouter
from twinbench.plugins.wire import FrameError, trajectory_to_json
from twinbench.routing.router import RouterError
from twinbench.routing.training import Trajectory

_TICK_S = 1.0


class NotTrainableError(UsageError):
    """A router that has nothing to train."""


class TrainingError(TwinbenchError):
    """A router could not be trained; nothing was written."""


@dataclass(frozen=True)
class FitLimits:
    """Limits of training; ``PluginLimits`` has the limits of decisions."""

    fit_s: float = 900.0
    """How long ``fit`` may take, and ``save`` after it."""
    memory_mib: int = 8192
    """The memory limit of the process and all that it starts."""


class RouterInTraining(ProcessRouter):
    """A router in a process that trains it, without decisions; use as a context manager, which loads it."""

    def fit(self, trajectories: Iterable[Trajectory], total: int, seed: int, fit_s: float, progress: Progress) -> None:
        """Send the trajectories and let the router learn from them.

        Args:
            trajectories: in the order in which the router gets them.
            total: the number of trajectories.
            seed: the seed of Python's random generator, and of numpy's if the router has imported numpy.
            fit_s: the time limit of ``fit``.
            progress: called with the number of trajectories sent, then with the seconds of fitting.

        Raises:
            TrainingError: ``fit`` failed or exceeded a limit.
            NotTrainableError: the router has no method ``fit``.
            UsageError: the router has no ``save`` or ``load``.
        """
        if "fit" not in self._hooks:
            raise NotTrainableError(
                f"router {self.name!r}: it has no method fit(trajectories), so there is nothing to train"
            )
        for number, trajectory in enumerate(trajectories, 1):
            request = {"step": "take", "trajectory": trajectory_to_json(trajectory)}
            self._train(TRAINING, "taking a trajectory", self.limits.decision_s, request)
            progress(f"sending trajectories to {self.name}", number, total)
        with _ticking(f"fitting {self.name}, seconds", progress):
            self._train(TRAINING, "fit", fit_s, {"step": "fit", "seed": seed})

    def save(self, folder: Path, code: Mapping[str, str], fit_s: float) -> list[str]:
        """Call the router's ``save``, and write the files that it saved.

        Args:
            folder: an existing folder, in which ``learned`` and ``code`` are written.
            code: the paths of the files of its own code, by name.
            fit_s: the time limit of ``save``.

        Returns:
            The paths that were written, relative to the folder.

        Raises:
            TrainingError: it failed, or its files cannot be kept.
        """
        sizes = self._train(SAVING, "save", fit_s, {"step": "save", "code": dict(code)}).files
        if len(sizes) > MOST_FILES or sum(sizes.values()) > MAX_ANSWER_BYTES or min(sizes.values(), default=0) < 0:
            raise self._record_failure(
                f"invalid sizes of saved files: at most {MOST_FILES:,} files with {MAX_ANSWER_BYTES:,} bytes in total "
                "are allowed, and no negative size"
            )
        for name, size in sizes.items():
            try:
                check_path(name)
            except ValueError as error:
                raise self._record_failure(f"a file that it saved cannot be kept: {error}") from None
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in self._pieces(name, size):
                    file.write(piece)
        return list(sizes)

    def _pieces(self, name: str, size: int) -> Iterator[bytes]:
        offset = 0
        while offset < size:
            answer = self._train(
                CHUNK, f"reading {name}", self.limits.decision_s, {"step": "chunk", "file": name, "offset": offset}
            )
            try:
                piece = base64.b64decode(answer.data, validate=True)
            except binascii.Error:
                piece = b""
            if not 0 < len(piece) <= size - offset:
                raise self._record_failure(f"the file {name} that it saved changed meanwhile")
            offset += len(piece)
            yield piece

    def _train(
        self, kind: AnswerKind[Answer, TrainingFailure], what: str, within_s: float, request: Mapping[str, Any]
    ) -> Answer:
        """Request one step of the training and return the answer."""
        assert self._process is not None  # noqa: S101 - used as a context manager
        try:
            answer = self._process.ask({"do": "train", **request}, kind, within_s, what)
        except (FrameError, RouterError) as error:
            raise self._record_failure(str(error)) from None
        if isinstance(answer, TrainingFailure):
            if answer.usage:
                raise UsageError(f"router {self.name!r}: {answer.error}")
            raise self._record_failure(answer.error)
        return answer

    def _record_failure(self, why: str) -> TrainingError:
        return TrainingError(f"router {self.name!r} could not be trained: {why}; nothing was written")


@contextmanager
def _ticking(what: str, progress: Progress) -> Iterator[None]:
    """Report the seconds that something has taken so far, while it runs."""
    over = threading.Event()

    def tick() -> None:
        seconds = 0
        while not over.wait(_TICK_S):
            seconds += 1
            progress(what, seconds, None)

    thread = threading.Thread(target=tick, name="twinbench-fit-progress", daemon=True)
    progress(what, 0, None)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
