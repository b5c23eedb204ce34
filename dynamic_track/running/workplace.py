"""Run an agent's commands in a container, with every command and observation in the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from twinbench.calls.lines import CommandLine, Observation
from twinbench.calls.normalise import normalise_text
from twinbench.calls.recording import DivergedError, RecordedCommand
from twinbench.calls.redaction import Secrets
from twinbench.calls.routed import RoutedCall
from twinbench.calls.trial_log import TrialLog
from twinbench.containers.shell import CommandResult, Ended

_KEPT_BYTES = 4 * 2**20
_NOT_FOUND = 127
"""A shell's exit code for a command that does not exist."""


class Commands(Protocol):
    """Runs commands, each in the state that earlier ones left (``Sandbox``)."""

    def run_command(
        self,
        command: str,
        *,
        directory: str,
        timeout_s: float,
        keep_bytes: int,
        checkpoint: Callable[[], None] | None,
    ) -> CommandResult:
        """Run a command to its end; same arguments and errors as ``Sandbox.run_command``."""
        ...


@dataclass
class CommandRunner:
    """Runs the commands of one trial.

    On resume, recorded commands are executed again because the container is new. If their results are the same
    (ignoring timestamps and memory addresses), the recorded observation is used, so that the conversation is exactly
    the same.
    """

    commands: Commands
    log: TrialLog
    routed: RoutedCall
    timeout_s: float
    checkpoint: Callable[[], None] = lambda: None
    """Called before each command and while it runs; raises if a stop was requested."""
    secrets: Secrets = field(default_factory=lambda: Secrets(()))
    """Secrets to remove from output: a model may assemble a secret from pieces."""
    _step: int = field(default=0, init=False)
    _index: int = field(default=0, init=False)

    def run(self, command: str, directory: str) -> dict[str, Any]:
        """Run a command; return ``output``, ``returncode`` and ``exception_info`` as mini-swe-agent expects them.

        Raises:
            DivergedError: the recording has another command here, or its result differs.
        """
        self.checkpoint()
        step = self.routed.answers[-1].step if self.routed.answers else 0
        self._index = self._index + 1 if step == self._step else 0
        self._step = step
        recorded = self._recorded(step)
        if recorded is None or recorded.observation is None:
            self.log.refuse_beyond_end(step, "command")
        if recorded is None:
            self.log.write(CommandLine(**self.log.stamp(), step=step, index=self._index, command=command))
        elif recorded.command != command:
            raise DivergedError(step, "command", recorded.command, command)
        result = self.commands.run_command(
            command,
            directory=directory,
            timeout_s=self.timeout_s,
            keep_bytes=_KEPT_BYTES,
            checkpoint=self.checkpoint,
        )
        # Use the text as it is in the journal, so that a resume continues with the same text.
        result = replace(result, output=self.secrets.redact(result.output))
        observation = to_observation(result, self.timeout_s)
        if recorded is None or recorded.observation is None:
            self.log.write(
                Observation(
                    **self.log.stamp(),
                    step=step,
                    index=self._index,
                    output=observation["output"].encode(),
                    returncode=observation["returncode"],
                    exception_info=observation["exception_info"],
                    ended=result.ended,
                    seconds=round(result.seconds, 3),
                    **({"reused": True} if result.reused else {}),
                )
            )
            return observation
        then = {
            "output": recorded.observation.text,
            "returncode": recorded.observation.returncode,
            "exception_info": recorded.observation.exception_info,
        }
        if (name := find_difference(then, observation, result.ended)) is not None:
            raise DivergedError(step, "observation", then[name], observation[name])
        return then

    def _recorded(self, step: int) -> RecordedCommand | None:
        commands = self.log.step(step).commands
        return commands[self._index] if self._index < len(commands) else None


def to_observation(result: CommandResult, timeout_s: float) -> dict[str, Any]:
    """Convert a command's result to what mini-swe-agent gets.

    Args:
        result: the command's result.
        timeout_s: its time limit.
    """
    said = {
        Ended.exited: "",
        Ended.timeout: f"The command took longer than {timeout_s:g} seconds and was killed.",
        Ended.lost: "The command ended the shell that ran it.",
        Ended.not_run: "The command was not run: bash is missing or broken in this container.",
    }
    code = _NOT_FOUND if result.ended is Ended.not_run else -1 if result.exit_code is None else result.exit_code
    return {"output": result.output, "returncode": code, "exception_info": said[result.ended]}


def find_difference(then: Mapping[str, Any], now: Mapping[str, Any], ended: Ended) -> str | None:
    """Return the name of what differs when a command is run again, ignoring what differs from run to run; None if
    nothing does.

    If a command did not end by itself, how much of its output was captured depends on timing.

    Args:
        then: the first result (``to_observation``).
        now: the new result.
        ended: how the command ended now.
    """
    compared = [name for name in then if name != "output" or ended is Ended.exited]
    return next((name for name in compared if normalise_text(str(then[name])) != normalise_text(str(now[name]))), None)
