"""A Docker engine: whether one answers, what it contains, and its errors as our own exceptions."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from twinbench.causes import Cause, CausedError
from twinbench.containers.labels import NODE_LEASE, Lease
from twinbench.containers.probing import LocalProbe, MachineProbe, RemoteProbe, is_on_this_machine
from twinbench.containers.remote_machine import MeasuringContainer
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError

if TYPE_CHECKING:
    import docker

    from twinbench.containers.tunnels import Tunnels

RECIPE_LABEL = "twinbench.recipe"
"""The label of an image that twinbench built: the fingerprint of its recipe, the same on every machine."""

MIN_FREE_MIB = 2048
"""The disk limit: no container is started with less free space than this where the engine keeps its files."""

_ANSWER_TIMEOUT_S = 120
_ALIVE_WITHIN_S = 10.0
"""How long an engine may take to answer whether it answers, which it does without any work."""
_MAX_CONNECTIONS = 64


class NoEngineError(CausedError):
    """No Docker engine answers."""

    cause = Cause.engine


class EngineLostError(CausedError):
    """The engine stopped answering, or refused a request."""

    cause = Cause.engine


class EngineRefusedError(EngineLostError):
    """The engine answers, and refuses a request as wrong (HTTP 4xx): the fault is with the request."""


class ContainerLostError(CausedError):
    """A container does not exist any more, or was ended from outside."""

    cause = Cause.container


class ImageError(CausedError):
    """An image does not exist and cannot be pulled or built, or no command runs in it."""

    cause = Cause.image


class DiskError(CausedError):
    """The free space of the engine's disk is below the limit."""

    cause = Cause.disk


@dataclass(frozen=True)
class EngineInfo:
    """What an engine reports about itself."""

    version: str
    storage_driver: str
    cgroup_version: str
    cpus: int
    memory_mib: int
    free_mib: int | None
    """Free disk space where it keeps images and containers; None if that cannot be measured there."""
    images: int
    containers: int


@dataclass(eq=False)
class Engine:
    """A Docker engine that answers; threads may share it; use it as a context manager."""

    client: docker.DockerClient
    root_dir: str
    """Where the engine keeps its files, as it reports."""
    probe: MachineProbe
    """Measures the engine's machine."""
    address: str = ""
    """As in ``DOCKER_HOST``; empty for one that is reached through a tunnel."""
    lease_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of every container that is started, by which those that are left are found."""
    _pulling: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _without_lease: Engine | None = None
    """The engine of which this is a view; kept, since its end closes the connections."""

    def __post_init__(self) -> None:
        if self._without_lease is None:
            # Connections are closed with the last user of the engine, if that is not a ``with`` block.
            weakref.finalize(self, self.client.close)

    @classmethod
    def connect(cls, address: str | None = None) -> Self:
        """Connect to the engine at an address; by default the one that ``DOCKER_HOST`` names, otherwise the machine's
        own.

        Args:
            address: the engine's address, as in ``DOCKER_HOST``; related variables (such as ``DOCKER_CERT_PATH``)
                apply to it too.

        Raises:
            NoEngineError: no engine answers; the message says what to do.
            TwinbenchError: the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise TwinbenchError("the live track needs more packages: pip install 'twinbench[dynamic]'") from None
        try:
            variables = {**os.environ, **({} if address is None else {"DOCKER_HOST": address})}
            client = docker.from_env(timeout=_ANSWER_TIMEOUT_S, max_pool_size=_MAX_CONNECTIONS, environment=variables)
            info = client.info()
        except Exception as error:  # noqa: BLE001 - each transport raises its own errors
            at = "" if address is None else f" at {address}"
            raise NoEngineError(
                f"no Docker engine answers{at} ({_reason(error)}): start one (Debian: apt install docker.io, "
                "then dockerd), or name one with DOCKER_HOST; the user must be allowed to use it"
            ) from None
        root_dir = info["DockerRootDir"]
        here = is_on_this_machine(variables.get("DOCKER_HOST") or client.api.base_url, info)
        probe = LocalProbe(root_dir) if here else RemoteProbe(MeasuringContainer(client))
        return cls(client, root_dir, probe, variables.get("DOCKER_HOST", ""))

    @classmethod
    def connect_through(cls, tunnels: Tunnels, probe: MachineProbe, node_lease: str) -> Self:
        """Connect to the engine of a node of a cluster.

        Args:
            tunnels: opens connections to it.
            probe: measures its machine.
            node_lease: the label value by which the node finds the containers to remove when it ends.

        Raises:
            NoEngineError: the engine does not answer.
        """
        from twinbench.containers.tunnelled import docker_client

        try:
            client = docker_client(tunnels, timeout_s=_ANSWER_TIMEOUT_S, max_connections=_MAX_CONNECTIONS)
            root_dir = client.info()["DockerRootDir"]
        except _docker_exceptions() as error:
            raise NoEngineError(f"the Docker engine of a node does not answer ({_reason(error)})") from None
        return cls(client, root_dir, probe, lease_labels={NODE_LEASE: node_lease})

    def with_lease(self, lease: Lease) -> Self:
        """Return this engine as one execution of a run uses it: every container is labelled with the lease."""
        return replace(self, lease_labels={**self.lease_labels, **lease.labels()}, _without_lease=self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and end what measures the engine's machine."""
        self.probe.close()
        self.client.close()

    def answers(self) -> bool:
        """Return whether the engine still answers; one that hangs is not waited for longer than 10 s."""
        api: Any = self.client.api
        try:
            with docker_errors_as_ours("ask the engine whether it answers"):
                # docker-py's own ping has no time limit of its own.
                return bool(api._get(api._url("/_ping"), timeout=_ALIVE_WITHIN_S).ok)  # noqa: SLF001
        except CausedError:
            return False

    def require_answer(self) -> None:
        """Raise EngineLostError if the engine does not answer any more."""
        if not self.answers():
            raise EngineLostError(f"the engine did not answer for {_ALIVE_WITHIN_S:.0f} s")

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, so that this machine's disk and memory are its own."""
        return isinstance(self.probe, LocalProbe)

    def info(self) -> EngineInfo:
        """Return what the engine reports about itself."""
        with docker_errors_as_ours("ask the engine about itself"):
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
        """Return the free disk space of the engine, or None if it cannot be measured."""
        return self.probe.measure().free_disk_mib

    def available_memory_mib(self) -> int | None:
        """Return the memory that is available on the engine's machine, or None if it cannot be measured."""
        return self.probe.measure().available_memory_mib

    def refuse_full_disk(self, min_free_mib: int = MIN_FREE_MIB) -> None:
        """Raise DiskError if less than ``min_free_mib`` is free."""
        free = self.free_mib()
        if free is not None and free < min_free_mib:
            raise DiskError(
                f"{free:,} MiB are free in {self.root_dir}, but a container needs {min_free_mib:,} to start: "
                "remove images (docker image prune) or containers (twinbench dynamic gc), or lower --min-free-mib"
            )

    def has_image(self, name: str) -> bool:
        """Return whether an image is present; an image whose name the engine refuses is not."""
        try:
            return self._image(name) is not None
        except ImageError:
            return False

    def image_names(self) -> set[str]:
        """Return the names of all images that are present, each with its tag.

        Raises:
            EngineLostError: the engine does not answer.
        """
        with docker_errors_as_ours("list images"):
            return {tag for image in self.client.images.list() for tag in image.tags}

    def recipe(self, name: str) -> str | None:
        """Return the fingerprint of the recipe of an image that twinbench built; None for other images, or if there is
        none.
        """
        labels = ((self._image(name) or {}).get("Config") or {}).get("Labels") or {}
        recipe: str | None = labels.get(RECIPE_LABEL)
        return recipe

    def layers(self, name: str) -> list[str]:
        """Return the digests of an image's layers, which are its content.

        Raises:
            ImageError: the image is not present.
        """
        return list(self._require_image(name)["RootFS"].get("Layers") or ())

    def _image(self, name: str) -> Mapping[str, Any] | None:
        import docker.errors

        with docker_errors_as_ours(f"inspect image {name}"):
            try:
                attributes: Mapping[str, Any] = self.client.images.get(name).attrs
            except docker.errors.NotFound:
                return None
            except docker.errors.NullResource:
                raise ImageError("the name of the image is empty") from None
            except docker.errors.APIError as error:
                if not error.is_client_error():
                    raise
                raise ImageError(f"Docker rejected the image name {name}: {error.explanation or error}") from None
        return attributes

    def _require_image(self, name: str) -> Mapping[str, Any]:
        attributes = self._image(name)
        if attributes is None:
            raise ImageError(f"image {name} is not present")
        return attributes

    def remove_image(self, name: str) -> None:
        """Remove an image; nothing happens if it does not exist or a container still needs it."""
        import docker.errors

        with docker_errors_as_ours(f"remove image {name}"):
            try:
                self.client.images.remove(name)
            except docker.errors.ImageNotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise

    def image_identity(self, name: str) -> str:
        """Return what identifies an image on any machine.

        This is the digest by which it was pulled; for an image that twinbench built, the fingerprint of its recipe (ids
        change with every build); otherwise its id.
        """
        if recipe := self.recipe(name):
            return f"recipe:{recipe}"
        attributes = self._require_image(name)
        digests = sorted(digest.partition("@")[2] for digest in attributes.get("RepoDigests") or ())
        return digests[0] if digests else str(attributes["Id"])

    def pull(self, name: str, progress: Progress = no_progress) -> None:
        """Pull an image, unless it is present by now; of several callers, one pulls.

        Raises:
            ImageError: it cannot be pulled; the message has the registry's words.
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
                # Read to the end, also after an error: otherwise the connection would stay open.
                for event in self.client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                    failed = event.get("error", failed)
                    detail = event.get("progressDetail") or {}
                    if event.get("status") == "Downloading" and "total" in detail:
                        layers[event["id"]] = (detail["current"], detail["total"])
                        done, total = (sum(part) // 2**20 for part in zip(*layers.values(), strict=True))
                        progress(f"pulling {name}, MiB", done, total)
            except docker.errors.APIError as error:  # the registry's refusal, which the engine passes on
                raise ImageError(f"could not pull image {name}: {error.explanation or error}") from None
            except _docker_exceptions() as error:
                if not self.answers():
                    raise EngineLostError(f"cannot pull image {name}: {_reason(error)}") from None
                raise ImageError(f"could not pull image {name}: {_reason(error)}") from None
            if failed is not None:
                raise ImageError(f"could not pull image {name}: {failed}")


@contextmanager
def connected_engines(addresses: Sequence[str]) -> Iterator[list[Engine]]:
    """Connect to the engines at some addresses, each once; without any address, to the one that ``Engine.connect``
    finds.

    Raises:
        NoEngineError: an engine does not answer.
        TwinbenchError: the docker package is not installed.
    """
    with ExitStack() as stack:
        wanted: Sequence[str | None] = list(dict.fromkeys(addresses)) or [None]
        yield [stack.enter_context(Engine.connect(address)) for address in wanted]


@contextmanager
def docker_errors_as_ours(doing: str) -> Iterator[None]:
    """Raise docker's exceptions as our own.

    Args:
        doing: the action, for the message.

    Raises:
        ContainerLostError: the container does not exist any more, or is not running.
        EngineRefusedError: the engine refuses the request as wrong.
        EngineLostError: any other error of the engine, or of the connection to it.
    """
    import docker.errors

    try:
        yield
    except docker.errors.NotFound as error:
        raise ContainerLostError(f"cannot {doing}: {error.explanation or error}") from None
    except docker.errors.APIError as error:
        said = f"cannot {doing}: {error.explanation or error}"
        if error.status_code == HTTPStatus.CONFLICT:  # the answer to an exec in a container that is not running
            raise ContainerLostError(said) from None
        raise (EngineRefusedError if error.is_client_error() else EngineLostError)(said) from None
    except _docker_exceptions() as error:
        raise EngineLostError(f"cannot {doing}: {_reason(error)}") from None


def _docker_exceptions() -> tuple[type[Exception], ...]:
    """Return the exceptions of docker and of the connection to an engine: sockets, requests, urllib3 in a stream, JSON
    that is cut short.
    """
    import docker.errors
    import urllib3.exceptions

    return docker.errors.DockerException, OSError, urllib3.exceptions.HTTPError, json.JSONDecodeError


def _reason(error: BaseException) -> str:
    """Return the innermost message of an exception; the messages of docker, requests and urllib3 around it add nothing.

    An exception about a package that docker lacks is different: its outer message names the package.
    """
    while (inner := error.__cause__ or error.__context__) is not None and not isinstance(inner, NameError):
        error = inner
    return str(error) or type(error).__name__
