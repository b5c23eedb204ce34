"""Measures the machine of a remote engine from a container there, whose file system and memory are the machine's."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twinbench.containers.labels import labels, new_name
from twinbench.containers.probing import Measured, parse_measured

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

_LIFE_S = 7 * 24 * 3600.0
_MEMORY = "64m"
_PROCESSES = 32
_COMMAND = ["sh", "-c", "cat /proc/meminfo; df -Pk /"]
_MOST_IMAGES = 20


class MeasuringContainer:
    """A container that is started when something is first measured, and removed in the end.

    It needs an image with a shell, ``cat`` and ``df``; as long as the engine has none, nothing is known.

    Args:
        client: the engine's client.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._container: Container | None = None
        self._lock = threading.Lock()

    def ask(self) -> Measured:
        """Return what is free there.

        Raises:
            Exception: the engine does not answer, the container is lost, or no image there has the programs.
        """
        with self._lock:
            if self._container is not None:
                try:
                    return _measure_in(self._container)
                except Exception:
                    self._remove()
                    raise
            images = (tag for image in self._client.images.list() for tag in image.tags[:1])
            for image, _ in zip(images, range(_MOST_IMAGES), strict=False):
                with suppress(Exception):  # the next image may do
                    self._container = self._create(image)
                    self._container.start()
                    return _measure_in(self._container)
                self._remove()
        raise ValueError("no image there has a shell, cat and df")

    def close(self) -> None:
        """Remove the container."""
        with self._lock:
            self._remove()

    def _create(self, image: str) -> Container:
        """Create a container; it is started apart, since one that cannot be started has to be removed too."""
        return self._client.containers.create(
            image,
            ["-c", "while :; do sleep 3600; done"],
            entrypoint=["sh"],
            name=new_name("probe"),
            labels=labels(role="probe", run="", case="", life_s=_LIFE_S),
            network_mode="none",
            mem_limit=_MEMORY,
            pids_limit=_PROCESSES,
        )

    def _remove(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with suppress(Exception):  # the engine does not answer: gc removes it
                container.remove(force=True, v=True)


def _measure_in(container: Container) -> Measured:
    output: Any = container.exec_run(_COMMAND)[1]
    return parse_measured(output.decode("utf-8", "replace"))
