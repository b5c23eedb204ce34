"""A container for commands that we did not write: limited in every respect, and usable after each of them.

The commands may destroy its files. Whatever they damage counts as caused by them: a command that cannot be run any more
has a result that says so, and raises nothing. Only an end from outside raises an exception.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from twinbench.causes import Cause, CausedError
from twinbench.containers.container import CANNOT_EXECUTE, ContainerLimits, last_log_line, start_container
from twinbench.containers.ending import was_ended_from_inside
from twinbench.containers.engine import ContainerLostError, Engine, EngineLostError, ImageError, docker_errors_as_ours
from twinbench.containers.ownership import remove_container
from twinbench.containers.paths import is_plain_file
from twinbench.containers.shell import CommandResult, Ended, RunningCommand, Shell
from twinbench.containers.stream import StreamLostError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

KEPT_OUTPUT_BYTES = 2**20

_END = files(__package__).joinpath("end.sh").read_text("utf-8")
_KILL_ALL = ["bash", "-c", "kill -KILL -1"]
_NOTHING = ["bash", "-c", ":"]
_MAX_SHELLS = 3
_OPEN_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0
_TOKEN_TIMEOUT_S = 2.0
_STATE_TIMEOUT_S = 3.0
_SURE_AFTER_S = 1.0
_RECHECK_INTERVAL_S = 0.05
_WRITE_CHECK_INTERVAL_S = 1.0
_CHECKPOINT_INTERVAL_S = 0.25
_REST = 5.0
_FILES_READ_BY_ENGINE = ("/etc/passwd", "/etc/group")
"""The files of a container that its engine opens to start a process in it; if one were a FIFO, it would wait forever.
"""


class WriteLimitError(CausedError):
    """A container wrote more than it may, and was ended."""

    cause = Cause.writes


@dataclass
class Sandbox:
    """A container of an image, for one thread at a time; use it as a context manager.

    Files and running processes that a command leaves remain; a change of directory, or a variable that it sets, does
    not.

    Entering raises ImageError if no command runs in the image, and whatever else ``start_container`` raises.
    """

    engine: Engine
    image: str
    role: str
    """Its purpose: ``case`` or ``grade``."""
    run: str = ""
    case: str = ""
    limits: ContainerLimits = field(default_factory=ContainerLimits)
    interpreter: Sequence[str] = ("bash", "-c")
    environment: Mapping[str, str] = field(default_factory=dict)
    _container: Container | None = None
    _shell: Shell | None = None
    _watch: _WriteWatch | None = None
    _is_unusable: bool = False
    """Whether commands have damaged the container so that no further command can run."""

    def __enter__(self) -> Self:
        self._container = start_container(
            self.engine, self.image, self.limits, role=self.role, run=self.run, case=self.case, user="0"
        )
        try:
            self._watch = _WriteWatch(self.engine.client.api, self._container, self.limits.written_mib)
            self._refuse_unusable_image()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._close_shell()
        if self._container is not None:
            # If the engine does not answer any more, the container cannot be removed now; gc, or the next execution of
            # the run, will do it. To remove one from an engine that hangs takes as long as its longest answer.
            with contextlib.suppress(EngineLostError):
                self.engine.require_answer()
                remove_container(self._container)
            self._container = None

    @property
    def container(self) -> Container:
        """The container; only inside the ``with`` block."""
        assert self._container is not None  # noqa: S101 - used as a context manager
        return self._container

    def run_command(
        self,
        command: str,
        *,
        directory: str = "/",
        timeout_s: float = 60.0,
        keep_bytes: int = KEPT_OUTPUT_BYTES,
        checkpoint: Callable[[], None] | None = None,
    ) -> CommandResult:
        """Run a command to its end, or stop it with everything that it started when it takes too long.

        Args:
            command: the command for the interpreter.
            directory: the working directory.
            timeout_s: its time limit.
            keep_bytes: how much of its output is kept.
            checkpoint: called several times a second while it runs; its exceptions are raised. Then the command keeps
            running,
                and the sandbox can only be left.

        Raises:
            WriteLimitError: the container wrote more than it may.
            ContainerLostError: the container was ended from outside.
            EngineLostError: the engine does not answer any more.
        """
        running = self._start(command, directory, keep_bytes)
        if running is None:
            return CommandResult("", None, Ended.not_run, 0, 0.0)
        try:
            exit_code = _wait(running, time.monotonic() + timeout_s, checkpoint)
            return running.result(Ended.exited, exit_code)
        except TimeoutError:
            self._stop_command(running)
            return running.result(Ended.timeout)
        except StreamLostError:
            self._close_shell()
            self._recover()
            return running.result(Ended.lost)

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Write files into the container.

        Args:
            contents: the contents of files by absolute path; the folders must exist.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in contents.items():
                member = tarfile.TarInfo(path.lstrip("/"))
                member.size = len(content)
                member.mode = 0o644
                tar.addfile(member, io.BytesIO(content))
        with docker_errors_as_ours("write files into a container"):
            self.container.put_archive("/", archive.getvalue())

    def _refuse_unusable_image(self) -> None:
        """Raise ImageError if no command runs in the container before anything was done in it."""
        if (complaint := self._new_shell()) is None:
            if (ran := self.run_command("")).exit_code in CANNOT_EXECUTE:
                raise ImageError(f"no command runs in a container of image {self.image}: {ran.output.strip()}")
            return
        until = time.monotonic() + _STATE_TIMEOUT_S
        while runs := self._is_running():
            if time.monotonic() >= until:
                break
            time.sleep(_RECHECK_INTERVAL_S)
        line = last_log_line(self.container) or complaint
        if runs:
            raise ImageError(f"no command runs in a container of image {self.image}: {line}")
        code = self.container.attrs["State"].get("ExitCode")
        raise ImageError(f"a container of image {self.image} ends at once (exit code {code}): {line}")

    def _start(self, command: str, directory: str, keep_bytes: int) -> RunningCommand | None:
        """Start a command; None if no command can run any more."""
        for _ in range(_MAX_SHELLS):
            if (shell := self._open_shell()) is None:
                return None
            try:
                return shell.start(command, directory, keep_bytes)
            except StreamLostError:  # a process that an earlier command left running ended the shell
                self._close_shell()
                self._recover()
        self._mark_unusable()
        return None

    def _open_shell(self) -> Shell | None:
        """Return the shell, or a new one if it was lost; None if no shell starts in the present state of the
        container.
        """
        if self._shell is not None or self._is_unusable or self._new_shell() is None:
            return self._shell
        if self._restart() and self._new_shell() is not None:  # before, all memory or processes may have been in use
            self._mark_unusable()
        return self._shell

    def _new_shell(self) -> str | None:
        """Open a shell; if that fails although engine and container are fine, return why."""
        if not self._engine_can_enter():
            return "/etc/passwd or /etc/group is not a plain file"
        shell: Shell | None = None
        try:
            with docker_errors_as_ours("start a shell in a container"):
                api = self.engine.client.api
                shell = Shell(api, str(self.container.id), self.interpreter, self.environment)
            shell.check(_OPEN_TIMEOUT_S)
        except (TimeoutError, StreamLostError, ContainerLostError, EngineLostError) as error:
            complaint = str(error)
            if shell is not None:
                complaint = shell.error_output or "its shell gave no output"
                shell.close()
            self._is_running()
            return complaint
        self._shell = shell
        return None

    def _close_shell(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _stop_command(self, running: RunningCommand) -> None:
        """Stop a command and what it started; each further step is for processes that survived the step before.

        Raises:
            EngineLostError: the engine does not answer any more, which may be why the command did not end in time.
        """
        self.engine.require_answer()
        if self._engine_can_enter():
            if running.group is not None and self._exec(
                ["bash", "-c", _END, "bash", str(running.group), running.cookie], lives=True
            ):
                with contextlib.suppress(TimeoutError, StreamLostError):
                    running.wait(time.monotonic() + _TOKEN_TIMEOUT_S)
                    return
            self._close_shell()
            if self._exec(_KILL_ALL) and self._exec(_NOTHING):
                return
        self._close_shell()
        self._is_running()
        self._restart()

    def _exec(self, command: list[str], *, lives: bool = False) -> bool:
        """Run a command of our own beside the shell, within limits; return whether it could be run (and ``lives``
        agrees).
        """
        api = self.engine.client.api
        done = threading.Event()

        def run() -> None:
            with contextlib.suppress(ContainerLostError, EngineLostError), docker_errors_as_ours("run an exec"):
                exec_id = api.exec_create(self.container.id, command, workdir="/")["Id"]
                api.exec_start(exec_id)
                if api.exec_inspect(exec_id)["ExitCode"] in ((0,) if lives else (0, 1, 137)):
                    done.set()

        thread = threading.Thread(target=run, name="twinbench-exec", daemon=True)
        thread.start()
        thread.join(_END_TIMEOUT_S)
        return done.is_set()

    def _recover(self) -> None:
        """After a shell was lost: start the container again if it ended too.

        The engine's streams end a moment before it reports the end of a container. A container in which a command can
        be executed is running; one that still has processes after a while very probably is.
        """
        lost = time.monotonic()
        while self._is_running():
            if self._engine_can_enter() and self._exec(_NOTHING, lives=True):
                return
            since = time.monotonic() - lost
            if since >= _STATE_TIMEOUT_S or (since >= _SURE_AFTER_S and self._has_processes()):
                return
            time.sleep(_RECHECK_INTERVAL_S)
        self._restart()

    def _has_processes(self) -> bool:
        """Return whether the engine sees processes of the container, which needs nothing inside it."""
        with (
            contextlib.suppress(ContainerLostError, EngineLostError),
            docker_errors_as_ours("list a container's processes"),
        ):
            return bool(self.container.top()["Processes"])
        return False

    def _is_running(self) -> bool:
        """Return whether the container runs; False if a process inside it ended it.

        Raises:
            WriteLimitError: it was ended because it wrote more than it may.
            ContainerLostError: it was ended from outside.
            EngineLostError: the engine does not answer any more.
        """
        if self._watch is not None and self._watch.exceeded is not None:
            raise WriteLimitError(self._watch.exceeded)
        with docker_errors_as_ours(f"look for the container of {self.image}"):
            self.container.reload()
        status = self.container.status
        if status == "running":
            return True
        state: Mapping[str, Any] = self.container.attrs["State"]
        if status == "exited" and was_ended_from_inside(self.engine.client, str(self.container.id), state):
            return False
        raise ContainerLostError(
            f"the container of {self.image} is {status} (exit code {state.get('ExitCode')}): "
            "it was ended from outside, or the engine was restarted"
        )

    def _restart(self) -> bool:
        """End everything that runs in the container and start it again with its files; return whether it starts with
        them.
        """
        with (
            contextlib.suppress(ContainerLostError),
            docker_errors_as_ours("end a container"),
        ):  # it may have ended already
            self.container.kill()
        if not self._engine_can_enter():
            self._mark_unusable()
            return False
        try:
            with docker_errors_as_ours("restart a container"):
                self.container.start()
        except (ContainerLostError, EngineLostError):
            if not self.engine.answers():
                raise
            self._mark_unusable()
            return False
        return True

    def _engine_can_enter(self) -> bool:
        with docker_errors_as_ours("look at a file of a container"):
            return all(is_plain_file(self.engine.client.api, self.container, path) for path in _FILES_READ_BY_ENGINE)

    def _mark_unusable(self) -> None:
        """Accept no more commands: the files that earlier commands left do not let any command run.

        To make sure that the files are the reason, a command is run in a fresh container of the same image; if that
        fails, this raises the same errors as entering.
        """
        limits = replace(self.limits, min_free_mib=0)
        with Sandbox(
            self.engine, self.image, self.role, self.run, self.case, limits, self.interpreter, self.environment
        ):
            self._is_unusable = True


def _wait(running: RunningCommand, until: float, checkpoint: Callable[[], None] | None) -> int:
    """Return the exit code of a command, like ``Running.wait``, and call the checkpoint meanwhile."""
    if checkpoint is None:
        return running.wait(until)
    while True:
        with contextlib.suppress(TimeoutError):
            return running.wait(min(until, time.monotonic() + _CHECKPOINT_INTERVAL_S))
        if time.monotonic() >= until:
            raise TimeoutError
        checkpoint()


class _WriteWatch:
    """Ends a container that writes more than it may, since not every engine has a limit for that."""

    def __init__(self, api: docker.APIClient, container: Container, limit_mib: int) -> None:
        self.exceeded: str | None = None
        self._api = api
        self._container = container
        self._limit_mib = limit_mib
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._check_repeatedly, name="twinbench-writes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._over.set()

    def _check_repeatedly(self) -> None:
        only = {"id": self._container.id}
        wait_s = _WRITE_CHECK_INTERVAL_S
        while not self._over.wait(wait_s):
            started = time.monotonic()
            with (
                contextlib.suppress(ContainerLostError, EngineLostError),
                docker_errors_as_ours("see what a container wrote"),
            ):
                for told in self._api.containers(all=True, size=True, filters=only):
                    written_mib = told.get("SizeRw", 0) // 2**20
                    if written_mib > self._limit_mib:
                        self.exceeded = (
                            f"its container wrote {written_mib:,} MiB, but only {self._limit_mib:,} are allowed: it "
                            "was ended"
                        )
                        self._container.kill()
                        return
            # The engine walks through all written files, so a large tree is checked less often.
            wait_s = max(_WRITE_CHECK_INTERVAL_S, _REST * (time.monotonic() - started))
