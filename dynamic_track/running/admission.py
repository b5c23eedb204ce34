"""Admit cases only while enough memory is free, and manage their images."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from dynamic_track.running.stopping import Stop
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.task import Task
from twinbench.causes import CausedError
from twinbench.containers.engine import Engine
from twinbench.display.progress import Progress, no_progress
from twinbench.unexpected import UnexpectedError

_LOOK_AGAIN_S = 1.0


@dataclass
class Admission:
    """Lets a case start once enough memory is free; a single case may always run, so that a run always finishes."""

    min_free_memory_mib: int = 0
    available_memory_mib: Callable[[], int | None] = lambda: None
    """Measures the machine that runs the cases; None if that cannot be measured, so that nothing is waited for."""
    _running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def admit(self, stop: Stop) -> Iterator[None]:
        """Wait until there is room, and occupy it within the block.

        Raises:
            StoppedError: a stop was requested meanwhile.
        """
        with self._changed:
            while self._running and not self._is_free():
                stop.raise_if_requested()
                self._changed.wait(_LOOK_AGAIN_S)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _is_free(self) -> bool:
        available = self.available_memory_mib()
        return available is None or available >= self.min_free_memory_mib


class CaseImages:
    """The images of a run's cases: fetched or built when needed, and optionally removed afterwards.

    Args:
        engine: the Docker engine.
        tasks: the tasks of the coming cases, each as often as it will run.
        build: build the images of tasks with a Dockerfile.
        evict: remove images that were pulled here when their last case is finished.
        progress: called as images are pulled or built.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Sequence[Task],
        *,
        build: bool,
        evict: bool = False,
        progress: Progress = no_progress,
    ) -> None:
        self._engine = engine
        self._build = build
        self._evict = evict
        self._progress = progress
        self._left = Counter(task.image for task in tasks)
        self._pulled: set[str] = set()
        self._present: set[str] = set()
        self._fetching: str | None = None
        self._lock = threading.Lock()

    def get(self, task: Task) -> CausedError | None:
        """Make a case's image available; return why that failed, if it did.

        Raises:
            UnexpectedError: for an unexpected reason.
        """
        try:
            here = self._engine.has_image(task.image)
            failed = prepare_images(self._engine, [task], build_them=self._build, progress=self._progress)
        except CausedError as error:
            return error
        if not failed:
            with self._lock:
                self._present.add(task.image)
                if not here:
                    self._pulled.add(task.image)
        found = failed.get(task.image)
        if isinstance(found, UnexpectedError):
            raise found
        return found

    def note_present(self) -> None:
        """Note which images the engine has, so that cases can go where their image is.

        Raises:
            EngineLostError: the engine does not answer.
        """
        names = self._engine.image_names()
        with self._lock:
            self._present |= names

    def has(self, task: Task) -> bool:
        """Return whether a case's image is known to be present, or is being fetched ahead."""
        return task.image in self._present or task.image == self._fetching

    def fetch_ahead(self, task: Task) -> None:
        """Make the image of a case available that will probably run here next, while others run.

        One image is fetched ahead at a time. If it cannot be, the case itself will say why.
        """
        with self._lock:
            if self._fetching is not None or task.image in self._present:
                return
            self._fetching = task.image

        def fetch() -> None:
            try:
                with suppress(CausedError, UnexpectedError):
                    self.get(task)
            finally:
                self._fetching = None

        threading.Thread(target=fetch, name="twinbench-fetch-ahead", daemon=True).start()

    def release(self, task: Task) -> None:
        """Note that a case is finished."""
        with self._lock:
            self._left[task.image] -= 1
            gone = self._evict and self._left[task.image] <= 0 and task.image in self._pulled
            if gone:
                self._present.discard(task.image)
        if gone:
            with suppress(CausedError):  # an image that cannot be removed only takes disk space
                self._engine.remove_image(task.image)
