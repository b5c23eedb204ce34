"""A Docker engine: whether there is one, what it holds, and its failures in our words."""

from __future__ import annotations

import json
import os
import shutil
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twinbench.causes import Cause, CausedError
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError

if TYPE_CHECKING:
    import docker


RECIPE_LABEL = "twinbench.recipe"
"""On an image that twinbench built: the fingerprint of what it was made from, the same on every machine."""

MIN_FREE_MIB = 2048
"""The watermark: no container is started with less free disk than this where the engine keeps its files."""

_ANSWER_WITHIN_S = 120
_CONNECTIONS = 64


class NoEngineError(CausedError):
    """There is no Docker engine that answers."""

    cause = Cause.engine


class EngineLostError(CausedError):
    """The engine stopped answering, or refused what it should do."""

    cause = Cause.engine


class EngineRefusedError(EngineLostError):
    """The engine answers, and refuses a request as wrong (HTTP 4xx): what was asked for is at fault."""


class ContainerLostError(CausedError):
    """A container is gone, or was ended from outside."""

    cause = Cause.container


class ImageError(CausedError):
    """An image that is not here and cannot be pulled or built, or in which no command runs."""

    cause = Cause.image


class DiskError(CausedError):
    """The disk of the engine is at its watermark."""

    cause = Cause.disk


@dataclass(frozen=True)
class EngineInfo:
    """What an engine says of itself."""

    version: str
    storage_driver: str
    cgroup_version: str
    cpus: int
    memory_mib: int
    free_mib: int | None
    """Free disk where it keeps images and containers; None where that cannot be seen from here (a remote engine)."""
    images: int
    containers: int


@dataclass(eq=False)
class Engine:
    """A Docker engine that answers; may be shared by threads, use as a context manager."""

    client: docker.DockerClient
    root_dir: str
    """Where the engine keeps its files, by its own account."""
    _pulling: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def __post_init__(self) -> None:
        # Connections are closed with the last that uses the engine, where that is no ``with`` block.
        weakref.finalize(self, self.client.close)

    @classmethod
    def connect(cls, address: str | None = None) -> Self:
        """The engine at an address; by default that which ``DOCKER_HOST`` names, else the machine's own.

        Args:
            address: as in ``DOCKER_HOST``, whose other variables (such as ``DOCKER_CERT_PATH``) count for it too.

        Raises:
            NoEngineError: none answers; the text says what to do.
            TwinbenchError: the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise TwinbenchError("the live track needs more packages: pip install 'twinbench[dynamic]'") from None
        try:
            variables = {**os.environ, **({} if address is None else {"DOCKER_HOST": address})}
            client = docker.from_env(timeout=_ANSWER_WITHIN_S, max_pool_size=_CONNECTIONS, environment=variables)
            root_dir = client.info()["DockerRootDir"]
        except Exception as error:  # noqa: BLE001 - an address can be wrong in as many ways as there are transports
            at = "" if address is None else f" at {address}"
            raise NoEngineError(
                f"no Docker engine answers{at} ({_reason(error)}): start one (Debian: apt install docker.io, "
                "then dockerd), or name one with DOCKER_HOST; the user must be allowed to use it"
            ) from None
        return cls(client, root_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def answers(self) -> bool:
        """Whether it still does."""
        try:
            with translated("ask the engine whether it answers"):
                return bool(self.client.ping())
        except CausedError:
            return False

    @property
    def is_here(self) -> bool:
        """Whether it keeps its files on this machine, whose disk and memory are then what it has."""
        return Path(self.root_dir).is_dir()

    def info(self) -> EngineInfo:
        """What the engine says of itself."""
        with translated("ask the engine about itself"):
            told: Mapping[str, Any] = self.client.info()
        return EngineInfo(
            version=told["ServerVersion"],
            storage_driver=told["Driver"],
            cgroup_version=told.get("CgroupVersion", "1"),
            cpus=told["NCPU"],
            memory_mib=told["MemTotal"] // 2**20,
            free_mib=self.free_mib(),
            images=told["Images"],
            containers=told["Containers"],
        )

    def free_mib(self) -> int | None:
        """Free disk of the engine, or None where it cannot be seen from here."""
        return shutil.disk_usage(self.root_dir).free // 2**20 if self.is_here else None

    def refuse_full_disk(self, min_free_mib: int = MIN_FREE_MIB) -> None:
        """Raise DiskError where less than ``min_free_mib`` is free."""
        free = self.free_mib()
        if free is not None and free < min_free_mib:
            raise DiskError(
                f"{free:,} MiB are free in {self.root_dir}, {min_free_mib:,} are wanted before a container starts: "
                "remove images (docker image prune) or containers (twinbench dynamic gc), or lower --min-free-mib"
            )

    def has_image(self, name: str) -> bool:
        """Whether an image is present; one whose name the engine refuses is not."""
        try:
            return self._image(name) is not None
        except ImageError:
            return False

    def recipe(self, name: str) -> str | None:
        """The fingerprint of what twinbench built an image from; None where it did not, or there is none."""
        labels = ((self._image(name) or {}).get("Config") or {}).get("Labels") or {}
        recipe: str | None = labels.get(RECIPE_LABEL)
        return recipe

    def layers(self, name: str) -> list[str]:
        """The digests of an image's layers, which are its content.

        Raises:
            ImageError: it is not present.
        """
        return list(self._present(name)["RootFS"].get("Layers") or ())

    def _image(self, name: str) -> Mapping[str, Any] | None:
        import docker.errors

        with translated(f"inspect image {name}"):
            try:
                attributes: Mapping[str, Any] = self.client.images.get(name).attrs
            except docker.errors.NotFound:
                return None
            except docker.errors.NullResource:
                raise ImageError("the name of the image is empty") from None
            except docker.errors.APIError as error:
                if not error.is_client_error():
                    raise
                raise ImageError(f"the engine refuses the name of image {name}: {error.explanation or error}") from None
        return attributes

    def _present(self, name: str) -> Mapping[str, Any]:
        attributes = self._image(name)
        if attributes is None:
            raise ImageError(f"image {name} is not present")
        return attributes

    def remove_image(self, name: str) -> None:
        """Remove an image; one that is gone or that a container still needs is left alone."""
        import docker.errors

        with translated(f"remove image {name}"):
            try:
                self.client.images.remove(name)
            except docker.errors.ImageNotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise

    def image_identity(self, name: str) -> str:
        """What tells an image from others on any machine.

        The digest it was pulled by; of an image that twinbench built, the fingerprint of its recipe (ids change with
        every build); else its id.
        """
        if recipe := self.recipe(name):
            return f"recipe:{recipe}"
        attributes = self._present(name)
        digests = sorted(digest.partition("@")[2] for digest in attributes.get("RepoDigests") or ())
        return digests[0] if digests else str(attributes["Id"])

    def pull(self, name: str, progress: Progress = no_progress) -> None:
        """Pull an image, unless it is present by now; of several callers one pulls.

        Raises:
            ImageError: it does not pull; the text has the registry's words.
        """
        import docker.errors
        from docker.utils import parse_repository_tag

        with self._pulling[name]:
            if self.has_image(name):
                return
            repository, tag = parse_repository_tag(name)
            layers: dict[str, tuple[int, int]] = {}
            failed: str | None = None
            try:
                # To the end, which an error is followed by: else its connection would stay open.
                for event in self.client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                    failed = event.get("error", failed)
                    detail = event.get("progressDetail") or {}
                    if event.get("status") == "Downloading" and "total" in detail:
                        layers[event["id"]] = (detail["current"], detail["total"])
                        done, total = (sum(part) // 2**20 for part in zip(*layers.values(), strict=True))
                        progress(f"pulling {name}, MiB", done, total)
            except docker.errors.APIError as error:  # the registry's refusal, which the engine passes on
                raise ImageError(f"image {name} does not pull: {error.explanation or error}") from None
            except _failures() as error:
                if not self.answers():
                    raise EngineLostError(f"cannot pull image {name}: {_reason(error)}") from None
                raise ImageError(f"image {name} does not pull: {_reason(error)}") from None
            if failed is not None:
                raise ImageError(f"image {name} does not pull: {failed}")


@contextmanager
def connected_engines(addresses: Sequence[str]) -> Iterator[list[Engine]]:
    """The engines at some addresses, each once; without any address, the one that ``Engine.connect`` finds.

    Raises:
        NoEngineError: one does not answer.
        TwinbenchError: the docker package is not installed.
    """
    with ExitStack() as stack:
        wanted: Sequence[str | None] = list(dict.fromkeys(addresses)) or [None]
        yield [stack.enter_context(Engine.connect(address)) for address in wanted]


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """What docker raises, as errors of ours.

    Args:
        doing: what was to be done, for the message.

    Raises:
        ContainerLostError: the container is gone, or is not running.
        EngineRefusedError: the engine refuses the request as wrong.
        EngineLostError: anything else that the engine, or the way to it, did.
    """
    import docker.errors

    try:
        yield
    except docker.errors.NotFound as error:
        raise ContainerLostError(f"cannot {doing}: {error.explanation or error}") from None
    except docker.errors.APIError as error:
        said = f"cannot {doing}: {error.explanation or error}"
        if error.status_code == HTTPStatus.CONFLICT:  # what a container that is not running answers to an exec
            raise ContainerLostError(said) from None
        raise (EngineRefusedError if error.is_client_error() else EngineLostError)(said) from None
    except _failures() as error:
        raise EngineLostError(f"cannot {doing}: {_reason(error)}") from None


def _failures() -> tuple[type[Exception], ...]:
    """What docker raises, and the way to an engine: sockets, requests, urllib3 in a stream, JSON that is cut."""
    import docker.errors
    import urllib3.exceptions

    return docker.errors.DockerException, OSError, urllib3.exceptions.HTTPError, json.JSONDecodeError


def _reason(error: BaseException) -> str:
    """The innermost words: what docker, requests and urllib3 wrap around them says nothing more.

    But for a package that docker lacks: it says so around the name that it did not find.
    """
    while (inner := error.__cause__ or error.__context__) is not None and not isinstance(inner, NameError):
        error = inner
    return str(error) or type(error).__name__
