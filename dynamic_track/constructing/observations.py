"""Reuses the output of commands in earlier executions of a task, so that they need not run again.

The content of a container follows from the commands that ran in it so far. So an execution reuses the output that an
earlier one got for the same commands, and has no container until it reaches a new command. Then it gets a container, in
which all earlier commands run first. If one of them gives different output, apart from times and addresses, the
execution starts again and runs in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from dynamic_track.running.workplace import Commands, find_difference, to_observation
from twinbench.calls.lines import Observation
from twinbench.calls.recording import DivergedError, Recording
from twinbench.calls.redaction import Secrets
from twinbench.containers.shell import CommandResult, Ended

OBSERVATION = "observation"
"""The value of ``DivergedError.what`` when a command gives different output."""


@dataclass
class ContainerState:
    """The content of a container after certain commands, represented by the output of every command that was run
    next.
    """

    result: CommandResult | None = None
    """The result of the command that led to this state; None for a container in which nothing ran."""
    is_unstable: bool = False
    """Whether that command gave different output in another container."""
    next_states: dict[str, ContainerState] = field(default_factory=dict)
    """The next states, by command."""

    def after(self, command: str, given: CommandResult) -> ContainerState:
        """Return the state after a command; its first result is kept."""
        return self.next_states.setdefault(command, ContainerState(given))

    def add_recordings(self, recordings: Iterable[Recording]) -> None:
        """Add the content of a journal.

        Args:
            recordings: the recordings of executions whose containers began in this state, including restarted trials.
        """
        for recording in recordings:
            for each in (*recording.previous_recordings, recording):
                state = self
                for command, given in recorded_results(each):
                    state = state.after(command, given)


def recorded_results(recording: Recording) -> list[tuple[str, CommandResult]]:
    """Return the commands of an execution with their results, in order, up to the first without a result."""
    found: list[tuple[str, CommandResult]] = []
    for number in sorted(recording.steps):
        for command in recording.steps[number].commands:
            if command.observation is None:
                return found
            found.append((command.command, _result(command.observation)))
    return found


def _result(observation: Observation) -> CommandResult:
    ended = Ended(observation.ended)
    code = observation.returncode if ended is Ended.exited else None
    text = observation.text
    return CommandResult(text, code, ended, len(text), observation.seconds or 0.0)


@dataclass
class ReusedCommands:
    """Runs the commands of one execution only if they are new; use it as a context manager.

    Args:
        beginning: the state of a container in which nothing ran.
        own: the results in the journal of this execution itself, which come first.
        open_container: opens a fresh container.
        step: returns the current step of the execution.
        secrets: are removed from the output of commands, here too, so that it can be compared.
    """

    beginning: ContainerState
    own: Sequence[tuple[str, CommandResult]]
    open_container: Callable[[], AbstractContextManager[Commands]]
    step: Callable[[], int]
    secrets: Secrets
    _passed: list[tuple[str, ContainerState, CommandResult]] = field(default_factory=list)
    _container: Commands | None = None
    _state: ContainerState = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self._state = self.beginning

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def run_command(
        self,
        command: str,
        *,
        directory: str,
        timeout_s: float,
        keep_bytes: int,
        checkpoint: Callable[[], None] | None,
    ) -> CommandResult:
        """Return the result of a command, or its result from an earlier execution; as for ``Sandbox.run_command``.

        Raises:
            DivergedError: a command that ran before gives different output in a new container.
            CausedError: no container can be started, or it is lost.
        """

        def run(container: Commands, command: str) -> CommandResult:
            given = container.run_command(
                command, directory=directory, timeout_s=timeout_s, keep_bytes=keep_bytes, checkpoint=checkpoint
            )
            return replace(given, output=self.secrets.redact(given.output))

        if self._container is None:
            if (known := self._reuse(command)) is not None:
                self._state = self._state.after(command, known)
                self._passed.append((command, self._state, known))
                return replace(known, reused=True)
            container = self._stack.enter_context(self.open_container())
            self._catch_up(container, run, timeout_s)
            self._container = container
        given = run(self._container, command)
        self._state = self._state.after(command, given)
        return given

    def _reuse(self, command: str) -> CommandResult | None:
        place = len(self._passed)
        if place < len(self.own) and self.own[place][0] == command:
            return self.own[place][1]
        state = self._state.next_states.get(command)
        return None if state is None or state.is_unstable else state.result

    def _catch_up(self, container: Commands, run: Callable[[Commands, str], CommandResult], timeout_s: float) -> None:
        """Bring a fresh container to the state that this execution has reached."""
        for command, state, known in self._passed:
            given = run(container, command)
            then, now = to_observation(known, timeout_s), to_observation(given, timeout_s)
            if (name := find_difference(then, now, given.ended)) is not None:
                state.is_unstable = True
                raise DivergedError(self.step(), OBSERVATION, then[name], now[name])
