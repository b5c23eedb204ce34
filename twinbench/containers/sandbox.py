"""A container in which commands that we did not write can run: bounded in everything, and usable after each of them."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from twinbench.causes import Cause, CausedError
from twinbench.containers.container import ContainerLimits, start_container
from twinbench.containers.engine import ContainerLostError, Engine, EngineLostError, translated
from twinbench.containers.ownership import remove
from twinbench.containers.shell import CommandResult, Ended, Running, Shell
from twinbench.containers.stream import StreamLostError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

KEPT_OUTPUT_BYTES = 2**20

_END = files(__package__).joinpath("end.sh").read_text("utf-8")
_KILL_ALL = "kill -KILL -1"
_MOST_SHELLS = 3
_ENDS_WITHIN_S = 10.0
_TOKEN_WITHIN_S = 2.0
_KNOWN_WITHIN_S = 3.0
_LOOK_AGAIN_S = 0.05
_LOOK_EVERY_S = 1.0
_REST = 5.0


class WriteLimitError(CausedError):
    """A container wrote more than it may, and was ended."""

    cause = Cause.writes


@dataclass
class Sandbox:
    """A container of an image, for one thread at a time; use as a context manager.

    What a command leaves in files stays, and what it leaves running goes on; a directory that it changes to, or a
    variable that it sets, is forgotten.
    """

    engine: Engine
    image: str
    role: str
    """What it is for: ``case`` or ``grade``."""
    run: str = ""
    case: str = ""
    limits: ContainerLimits = field(default_factory=ContainerLimits)
    interpreter: Sequence[str] = ("bash", "-c")
    environment: Mapping[str, str] = field(default_factory=dict)
    _container: Container | None = None
    _shell: Shell | None = None
    _watch: _WriteWatch | None = None

    def __enter__(self) -> Self:
        self._container = start_container(
            self.engine, self.image, self.limits, role=self.role, run=self.run, case=self.case, user="0"
        )
        self._watch = _WriteWatch(self.engine.client.api, self._container, self.limits.written_mib)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._let_go()
        if self._container is not None:
            # Where the engine is gone, so is the way to remove it: gc will.
            with contextlib.suppress(EngineLostError):
                remove(self._container)
            self._container = None

    @property
    def container(self) -> Container:
        """The container; only inside the ``with`` block."""
        assert self._container is not None  # noqa: S101 - used as a context manager
        return self._container

    def run_command(
        self, command: str, *, directory: str = "/", timeout_s: float = 60.0, keep_bytes: int = KEPT_OUTPUT_BYTES
    ) -> CommandResult:
        """Run a command to its end, and end it with all that it started where it takes too long.

        Args:
            command: for the interpreter.
            directory: where it runs.
            timeout_s: how long it may take.
            keep_bytes: how much of its output is kept.

        Raises:
            WriteLimitError: the container wrote more than it may.
            ContainerLostError: the container is gone.
            EngineLostError: the engine is.
        """
        running = self._start(command, directory, keep_bytes)
        try:
            exit_code = running.wait(time.monotonic() + timeout_s)
            return running.result(Ended.exited, exit_code)
        except TimeoutError:
            self._end(running)
            self._refuse_lost()
            return running.result(Ended.timeout)
        except StreamLostError:
            self._let_go()
            self._refuse_ended()
            return running.result(Ended.lost)

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Write files into the container.

        Args:
            contents: by absolute path; folders must exist.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in contents.items():
                member = tarfile.TarInfo(path.lstrip("/"))
                member.size = len(content)
                member.mode = 0o644
                tar.addfile(member, io.BytesIO(content))
        with translated("write files into a container"):
            self.container.put_archive("/", archive.getvalue())

    def _start(self, command: str, directory: str, keep_bytes: int) -> Running:
        for _ in range(_MOST_SHELLS):
            try:
                return self._open_shell().start(command, directory, keep_bytes)
            except (StreamLostError, EngineLostError, ContainerLostError) as error:
                self._let_go()
                self._refuse_lost()
                if not isinstance(error, StreamLostError):
                    raise
                # Something that an earlier command left running ended the shell: a new one will do.
        raise ContainerLostError(f"no shell stays open in the container of {self.image}")

    def _open_shell(self) -> Shell:
        if self._shell is None:
            with translated("start a shell in a container"):
                api = self.engine.client.api
                self._shell = Shell(api, str(self.container.id), self.interpreter, self.environment)
        return self._shell

    def _let_go(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _end(self, running: Running) -> None:
        """End a command and what it started; each step is for what withstood the one before."""
        if running.group is not None and self._exec(
            ["bash", "-c", _END, "bash", str(running.group), running.cookie], lives=True
        ):
            with contextlib.suppress(TimeoutError, StreamLostError):
                running.wait(time.monotonic() + _TOKEN_WITHIN_S)
                return
        self._let_go()
        if self._exec(["bash", "-c", _KILL_ALL]) and self._exec(["bash", "-c", ":"]):
            return
        self._refuse_lost()
        with translated("restart a container"):
            self.container.kill()
            self.container.start()

    def _exec(self, command: list[str], *, lives: bool = False) -> bool:
        """Run something of our own beside the shell, within bounds; whether it could be run (and ``lives`` to say)."""
        api = self.engine.client.api
        done = threading.Event()

        def run() -> None:
            with contextlib.suppress(ContainerLostError, EngineLostError), translated("run an exec"):
                exec_id = api.exec_create(self.container.id, command)["Id"]
                api.exec_start(exec_id)
                if api.exec_inspect(exec_id)["ExitCode"] in ((0,) if lives else (0, 1, 137)):
                    done.set()

        thread = threading.Thread(target=run, name="twinbench-exec", daemon=True)
        thread.start()
        thread.join(_ENDS_WITHIN_S)
        return done.is_set()

    def _refuse_ended(self) -> None:
        """The same where a shell was lost: the engine knows a moment later than its streams that a container ended."""
        until = time.monotonic() + _KNOWN_WITHIN_S
        self._refuse_lost()
        while not self._exec(["bash", "-c", ":"], lives=True) and time.monotonic() < until:
            self._refuse_lost()
            time.sleep(_LOOK_AGAIN_S)
        self._refuse_lost()

    def _refuse_lost(self) -> None:
        """Raise where the container is not running."""
        if self._watch is not None and self._watch.exceeded is not None:
            raise WriteLimitError(self._watch.exceeded)
        with translated(f"look for the container of {self.image}"):
            self.container.reload()
        if self.container.status != "running":
            state: Mapping[str, Any] = self.container.attrs["State"]
            raise ContainerLostError(
                f"the container of {self.image} is {self.container.status} (exit code {state.get('ExitCode')}): "
                "it was ended from outside, or the engine was restarted"
            )


class _WriteWatch:
    """Ends a container that writes more than it may, since the engine has no limit for that everywhere."""

    def __init__(self, api: docker.APIClient, container: Container, limit_mib: int) -> None:
        self.exceeded: str | None = None
        self._api = api
        self._container = container
        self._limit_mib = limit_mib
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="twinbench-writes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        only = {"id": self._container.id}
        wait_s = _LOOK_EVERY_S
        while not self._over.wait(wait_s):
            started = time.monotonic()
            with contextlib.suppress(ContainerLostError, EngineLostError), translated("see what a container wrote"):
                for told in self._api.containers(all=True, size=True, filters=only):
                    written_mib = told.get("SizeRw", 0) // 2**20
                    if written_mib > self._limit_mib:
                        self.exceeded = (
                            f"its container wrote {written_mib:,} MiB, {self._limit_mib:,} are allowed: it was ended"
                        )
                        self._container.kill()
                        return
            # The engine walks through all that was written; a large tree is looked at less often.
            wait_s = max(_LOOK_EVERY_S, _REST * (time.monotonic() - started))
