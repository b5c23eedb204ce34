"""Strict isolation: an untrusted router runs in a container that contains nothing it could misuse.

It has no network, no capability, no writable file except in a small /tmp, and can read only its own folder, the
packages that it was given and a dozen standard-library files of ours: no bank, no label, no store. Its communication
through the pipe is the same as that of every other router (``twinbench.plugins``).
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import re
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.causes import CausedError
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.building import build_image
from twinbench.containers.container import ContainerLimits, start_container
from twinbench.containers.engine import Engine, EngineLostError, ImageError, docker_errors_as_ours
from twinbench.containers.ownership import collect_garbage, remove_container
from twinbench.containers.stream import ExecStream, StreamLostError
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_file, short
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.plugins.description import (
    MOST_DESCRIPTION_BYTES,
    RouterDescription,
    RouterNotFoundReply,
    parse_description,
)
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.process import CLOSED, MOST_STDERR_SHOWN, RouterProcess, describe_ending
from twinbench.plugins.runtime import RESOURCE_LIMITS, runtime_folder

if TYPE_CHECKING:
    from docker.models.containers import Container

_ROUTER = "/router"
_RUNTIME = "/twinbench/runtime"
_PACKAGES = "/opt/router-packages"
_MOUNT = "mount"
"""The key of a located request with the router's folder on this machine."""

_NOBODY_UID = 65534
_ROLE = "router"
_PROCESSES = 256
_TMPFS = "size=64m,nr_inodes=4096,mode=1777"
_DESCRIBE_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 2.0
_DESCRIBE_LIFE_S = 2 * _DESCRIBE_TIMEOUT_S
_LIFE_S = 24 * 3600.0
_OUTPUT_COMES_WITHIN_S = 0.1
"""The engine carries what is printed apart from answers, so it may come after one."""
_SIGNALLED = 128
_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")  # cgroup v2 and v1
_OOM_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_DOCKERFILE = f"""FROM {{image}}
COPY wheels/ /opt/router-wheels/
RUN set -e; for wheel in /opt/router-wheels/*.whl; do python3 -m zipfile -e "$wheel" {_PACKAGES}; done
"""


@dataclass(frozen=True)
class StrictIsolation:
    """Containers for routers' processes."""

    engine: Engine
    image: str = BASE_IMAGE
    """The image, which must have Python 3.10 or newer as ``python3``, and bash."""
    wheels: Path | None = None
    """A folder of wheels that routers may import; pip installs nothing, and nothing is downloaded."""
    progress: Progress = no_progress
    life_s: float = _LIFE_S
    """The age from which a router's container may be removed, whether or not its process still runs."""

    def lasting(self, life_s: float) -> StrictIsolation:
        """Return the same isolation with containers that are needed no longer than that."""
        return replace(self, life_s=min(self.life_s, life_s))

    def locate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request with the paths in the container; of our files, the router only sees the folder of its own
        file.

        Raises:
            UsageError: the container's user could not read that folder.
        """
        if "artefact" in request:
            return _locate_artefact(request)
        if request["kind"] != "file":
            return {**request, "path": [], "folder": "/tmp"}  # noqa: S108 - of the container
        file = Path(request["target"])
        _refuse_unmountable(file.parent)
        _refuse_unreadable(file)
        return {
            **request,
            "target": f"{_ROUTER}/{file.name}",
            "path": [_ROUTER],
            "folder": _ROUTER,
            _MOUNT: str(file.parent),
        }

    def with_wheels(self, wheels: Path) -> StrictIsolation:
        """Return the same isolation with the wheels of a folder, unless it has wheels already."""
        return self if self.wheels is not None else replace(self, wheels=wheels)

    def describe(self, request: Mapping[str, Any], limits: PluginLimits) -> RouterDescription | RouterNotFoundReply:
        """Return the result of ``provenance.describe`` in the container.

        Raises:
            UsageError: the image cannot provide that.
        """
        said = bytearray()
        complaint = b""
        with contextlib.ExitStack() as stack:
            runtime = stack.enter_context(runtime_folder())
            life_s = min(_DESCRIBE_LIFE_S, self.life_s)
            container = stack.enter_context(contextlib.closing(self._container(request, runtime, limits, life_s)))
            stream = stack.enter_context(contextlib.closing(container.run("describe.py")))
            until = time.monotonic() + _DESCRIBE_TIMEOUT_S
            try:
                stream.send(json.dumps(request).encode(), _DESCRIBE_TIMEOUT_S)
                stream.finish()
                while len(said) <= MOST_DESCRIPTION_BYTES:
                    said += stream.receive(until - time.monotonic())
            except (StreamLostError, TimeoutError):  # the output ended, or there was none
                complaint = bytes(stream.stderr)
        try:
            return parse_description(bytes(said))
        except ValueError as error:  # the engine reports a missing program as output
            why = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or [str(error)]
            raise UsageError(f"image {self.image} needs bash, and python3 of 3.10 or newer ({why[0]})") from None

    def conditions(self) -> Mapping[str, Any]:
        """Return the image, which contains the wheels."""
        return {"image": self.engine.image_identity(self._image_with_wheels)}

    def start(self, request: Mapping[str, Any], runtime: Path, limits: PluginLimits) -> RouterProcess:
        """Start a router's process in its own container."""
        try:
            return ContainerProcess(self._container(request, runtime, limits, self.life_s), limits)
        except CausedError as error:
            raise RouterLoadError(f"the router's container cannot be started: {error}") from None

    @cached_property
    def _image_with_wheels(self) -> str:
        """The image with the wheels in it.

        Raises:
            UsageError: there are none in the folder, or one is damaged.
        """
        wheels = {} if self.wheels is None else _digests(self.wheels)
        if self.image == BASE_IMAGE:
            ensure_base_image(self.engine, self.progress)
        elif not self.engine.has_image(self.image):
            self.engine.pull(self.image, self.progress)
        if self.wheels is None:
            return self.image
        content = {f"wheels/{path.name}": sha256 for path, sha256 in wheels.items()}
        name = f"twinbench-router:{short(fingerprint({'image': self.image, 'wheels': content}))}"
        files = {f"wheels/{path.name}": path for path in wheels}
        try:
            build_image(self.engine, name, _DOCKERFILE.format(image=self.image), files, self.progress)
        except ImageError:
            for path in wheels:  # each is read as a whole only now, since they may be large
                _refuse_damaged_wheel(path, as_a_whole=True)
            raise
        return name

    def _container(
        self, request: Mapping[str, Any], runtime: Path, limits: PluginLimits, life_s: float
    ) -> _RouterContainer:
        _remove_containers_left_behind(self.engine)
        return _RouterContainer(self.engine, self._image_with_wheels, request.get(_MOUNT), runtime, limits, life_s)


class _RouterContainer:
    """A container for one process of a router."""

    def __init__(
        self, engine: Engine, image: str, folder: str | None, runtime: Path, limits: PluginLimits, life_s: float
    ) -> None:
        _let_all_read(runtime / "runtime")
        mounts = {str(runtime / "runtime"): {"bind": _RUNTIME, "mode": "ro"}}
        user = _NOBODY_UID
        if folder is not None:
            mounts[folder] = {"bind": _ROUTER, "mode": "ro"}
            user = _user(Path(folder))
        self._engine = engine
        self._environment = {
            "HOME": "/tmp",  # noqa: S108 - of the container
            "LANG": "C.UTF-8",
            "PYTHONPATH": _PACKAGES,
            **{name: os.environ[name] for name in limits.environment if name in os.environ},
        }
        self.container: Container = start_container(
            engine,
            image,
            ContainerLimits(memory_mib=limits.memory_mib, processes=_PROCESSES, life_s=life_s),
            role=_ROLE,
            user=f"{user}:{user}",
            cap_drop=["ALL"],
            read_only=True,
            tmpfs={"/tmp": _TMPFS},  # noqa: S108 - of the container
            volumes=mounts,
        )
        self._workdir = _ROUTER if folder is not None else "/tmp"  # noqa: S108 - where paths in arguments start
        self._exec_id = ""

    def run(self, script: str) -> ExecStream:
        """Start one of the runtime's scripts."""
        with docker_errors_as_ours("start a router's process"):
            self._exec_id = self._engine.client.api.exec_create(
                self.container.id,
                ["python3", f"{_RUNTIME}/{script}", *RESOURCE_LIMITS],
                stdin=True,
                environment=self._environment,
                workdir=self._workdir,
            )["Id"]
            return ExecStream(self._engine.client.api, self._exec_id)

    def exit_code(self) -> int | None:
        """Return the exit code of the script, -n for signal n; None while it runs."""
        code: int | None = self._engine.client.api.exec_inspect(self._exec_id)["ExitCode"]
        return _SIGNALLED - code if code is not None and code > _SIGNALLED else code

    def out_of_memory(self) -> bool:
        """Return whether the kernel ended a process in it for lack of memory (the engine reports that only of its first
        process).
        """
        _, said = self.container.exec_run(["cat", *_MEMORY_EVENTS])
        assert isinstance(said, bytes)  # noqa: S101 - always so without a stream
        return any(int(count) for count in _OOM_KILLS.findall(said))

    def close(self) -> None:
        """Remove it with everything that runs in it."""
        with contextlib.suppress(EngineLostError):  # if the engine does not answer, gc will remove it
            remove_container(self.container)


class ContainerProcess(RouterProcess):
    """A router's process in a container, which ends with the process."""

    def __init__(self, container: _RouterContainer, limits: PluginLimits) -> None:
        super().__init__()
        self._container = container
        self._limits = limits
        self._unread = bytearray()
        self._closed = False
        self._output_taken = 0
        try:
            self._stream = container.run("start.py")
        except BaseException:
            container.close()
            raise

    def _write(self, data: bytes) -> None:
        try:
            self._stream.send(data, self._left_s())
        except StreamLostError:
            if self._left_s() == 0.0:  # it never read all of the data
                self._kill_late()
            raise BrokenPipeError from None

    def _read(self, size: int) -> bytes:
        while not self._unread:
            try:
                self._unread += self._stream.receive(self._left_s())
            except TimeoutError:
                self._kill_late()
                return b""
            except StreamLostError:
                return b""
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def _kill_late(self) -> None:
        assert self._deadline is not None  # noqa: S101 - nothing is sent or read without one
        self.kill(self._deadline[1])

    def _left_s(self) -> float:
        return 0.0 if self._deadline is None else max(self._deadline[0] - time.monotonic(), 0.0)

    def _ending_message(self) -> str:
        if self._killed_because is None:
            try:
                with docker_errors_as_ours("ask how a router's process ended"):
                    self._killed_because = self._exit_message()
            except CausedError as error:
                self._killed_because = f"its container was lost: {error}"
        self.close()
        return self._killed_because

    def _exit_message(self) -> str:
        until = time.monotonic() + _END_TIMEOUT_S
        while (code := self._container.exit_code()) is None:  # the pipe closes a moment before the process ends
            if time.monotonic() > until:
                return CLOSED
            time.sleep(0.02)
        if self._container.out_of_memory():
            return f"its process took more than {self._limits.memory_mib:,} MiB of memory"
        return describe_ending(code, bytes(self._stream.stderr[-MOST_STDERR_SHOWN:]))

    def kill(self, because: str) -> None:
        """End the container with everything in it."""
        if self._killed_because is None:
            self._killed_because = because
        self.close()

    def close(self) -> None:
        """End the container with everything in it."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            self._container.close()

    def read_new_stderr(self, *, wait: bool) -> bytes:
        """Return the end of what the process printed to standard error since the last call; may be incomplete."""
        if wait and not self._closed:
            with contextlib.suppress(TimeoutError, StreamLostError):
                self._unread += self._stream.receive(_OUTPUT_COMES_WITHIN_S)
        new = self._stream.stderr_bytes - self._output_taken
        self._output_taken = self._stream.stderr_bytes
        return bytes(self._stream.stderr[-new:]) if new else b""

    def tree_mib(self) -> float:
        """Return the memory of everything that runs in the container, as the engine reports it."""
        with docker_errors_as_ours("ask what a container takes"):
            told: Any = self._container.container.stats(stream=False)
        return float(told["memory_stats"].get("usage", 0)) / 2**20


def _digests(wheels: Path) -> dict[Path, str]:
    """Return the SHA-256 of every wheel in a folder.

    Raises:
        UsageError: there is none, or one is damaged.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise UsageError(f"--plugin-wheels {wheels}: the folder contains no .whl file")
    digests = {}
    for wheel in found:
        try:
            digests[wheel] = sha256_file(wheel)
        except OSError as error:
            raise UsageError(f"the wheel {wheel} cannot be read ({error.strerror or error})") from None
        _refuse_damaged_wheel(wheel)
    return digests


def _refuse_damaged_wheel(wheel: Path, *, as_a_whole: bool = False) -> None:
    """Refuse a file that cannot be unpacked as a wheel, before the image's own Python fails at it.

    Args:
        wheel: the file.
        as_a_whole: whether to unpack all of it rather than to read its table of contents.

    Raises:
        UsageError: it is damaged, or no wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            broken = archive.testzip() if as_a_whole else None
            why = None if broken is None else f"{broken!a} is damaged"
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        why = str(error)
    if why is not None:
        raise UsageError(f"the wheel {wheel} is damaged, or no wheel ({why}): replace it")


def _locate_artefact(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request to load a trained router, whose folder is all that it sees of ours.

    Raises:
        UsageError: the container's user could not read it, or its code is elsewhere.
    """
    folder = Path(request["artefact"])
    _refuse_unmountable(folder)
    _refuse_unreadable(folder / MANIFEST)

    def inside(path: str) -> str:
        if not Path(path).is_relative_to(folder):
            raise UsageError(f"{path} is not in the folder of the trained router {folder}, which is all that it sees")
        return f"{_ROUTER}/{Path(path).relative_to(folder).as_posix()}"

    return {
        **request,
        "target": inside(request["target"]) if request["kind"] == "file" else request["target"],
        "path": [inside(path) for path in request["path"]],
        "folder": _ROUTER,
        "learned": inside(request["learned"]),
        _MOUNT: str(folder),
    }


@cache
def _remove_containers_left_behind(engine: Engine) -> None:
    """Remove the containers that killed processes have left of routers, once for an engine."""
    with contextlib.suppress(CausedError):  # whoever starts a container next is told that the engine does not answer
        collect_garbage(engine, _ROLE)


def _let_all_read(folder: Path) -> None:
    """Make a folder readable for all users, since the container's user is a different one."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _user(folder: Path) -> int:
    """Return the user of a router: the owner of its folder, who can read it; nobody if the owner is root."""
    owner = folder.stat().st_uid
    return owner if owner != 0 else _NOBODY_UID


def _refuse_unmountable(folder: Path) -> None:
    if ":" in str(folder):  # which separates the parts of a mount
        raise UsageError(f"{folder} has a colon in its name, and a container cannot see such a folder: rename it")


def _refuse_unreadable(file: Path) -> None:
    if _user(file.parent) != _NOBODY_UID:
        return
    for path in (file.parent, file):
        if path.stat().st_mode & 0o005 not in (0o005, 0o004 if path is file else 0o005):
            raise UsageError(
                f"{path} can only be read by root, and a router in strict isolation is not root: "
                f"chmod -R o+rX {file.parent}"
            )
