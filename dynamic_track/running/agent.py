"""Run mini-swe-agent with a routed model and a sandbox; the only module that imports minisweagent.

The adapters are thin: prompts, parsing, templates and limits are the package's own code and SWE-bench settings, which
are read from the installed files and identified by their hash (dynamic.md, "One case").
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twinbench.calls.completion import replace_surrogates
from twinbench.calls.routed import Answer, RoutedCall
from twinbench.calls.translation import read_agent_message
from twinbench.causes import CausedError
from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.storage.manifests import AgentLimits

if TYPE_CHECKING:
    from minisweagent.exceptions import FormatError

    from dynamic_track.running.workplace import CommandRunner

_PACKAGE = "mini-swe-agent"
SUBMISSION = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""If this is the first line of a successful command's output, the rest of the output is submitted as the patch."""

SUBMITTED = "Submitted"
"""The package's exit status of an agent that submitted."""
_BASH_ENV = {"BASH_ENV": "/root/.bashrc"}
"""Activates the Python environment of SWE-bench's images; the text style's settings lack it."""


class ActionFormat(StrEnum):
    """How a model gives its commands: by tool calls or in text."""

    tool = "tool"
    text = "text"


def parse_action_format(name: str) -> ActionFormat:
    """Return the action style with this name.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in list(ActionFormat):
        raise UsageError(f"--action-format {name}: one of {', '.join(ActionFormat)}")
    return ActionFormat(name)


_SETTINGS_FILES = {ActionFormat.tool: "swebench.yaml", ActionFormat.text: "swebench_backticks.yaml"}


@dataclass(frozen=True)
class AgentSettings:
    """The package's published SWE-bench settings."""

    style: ActionFormat
    version: str
    """The version of mini-swe-agent."""
    sha256: str
    """SHA-256 of the settings file."""
    agent: Mapping[str, Any]
    """Arguments of DefaultAgent."""
    model: Mapping[str, Any]
    """Templates of observations and format errors, and options sent beside tools."""
    environment: Mapping[str, str]
    """Environment variables of every command."""
    directory: str
    """The working directory of every command."""
    interpreter: tuple[str, ...]
    command_timeout_s: float

    @property
    def identity(self) -> dict[str, str]:
        """The identity of these settings, for the plan."""
        return {"scaffold": _PACKAGE, "version": self.version, "settings_sha256": self.sha256, "actions": self.style}

    @property
    def tool_options(self) -> dict[str, Any]:
        """The options that the settings send with tools, without litellm's ``drop_params``."""
        options: dict[str, Any] = dict(self.model.get("model_kwargs") or {})
        options.pop("drop_params", None)
        return options


@dataclass(frozen=True)
class AgentEnd:
    """How an agent ended."""

    exit_status: str
    """``Submitted``, or why the agent stopped."""
    patch: str
    """The submitted patch; empty if it stopped without submitting."""
    trajectory: Mapping[str, Any]
    """The trajectory in mini-swe-agent's own format."""
    error: CausedError | None = None
    """The error of router, provider, budget or container that ended it; None if none did."""


def agent_settings(style: ActionFormat, limits: AgentLimits) -> AgentSettings:
    """Read the settings of the installed package, with the pool's limits.

    Raises:
        TwinbenchError: the package is not installed, or its settings file is not a known one.
    """
    with _quiet_import():
        from minisweagent.config import builtin_config_dir
        from yaml import safe_load
    path = Path(builtin_config_dir) / "benchmarks" / _SETTINGS_FILES[style]
    try:
        content = safe_load(path.read_text("utf-8"))
        environment = content["environment"]
        return AgentSettings(
            style=style,
            version=importlib.metadata.version(_PACKAGE),
            sha256=sha256_file(path),
            agent={
                **content["agent"],
                "step_limit": limits.step_limit,
                "cost_limit": float(limits.cost_limit_usd),
            },
            model=content["model"],
            environment={**_BASH_ENV, **environment["env"]},
            directory=environment["cwd"],
            interpreter=tuple(environment.get("interpreter") or ("bash", "-c")),
            command_timeout_s=float(limits.command_timeout_seconds),
        )
    except (OSError, KeyError, TypeError) as error:
        raise TwinbenchError(f"{path}: not the settings of a known {_PACKAGE} ({error!r})") from None


def run_agent(settings: AgentSettings, task: str, routed: RoutedCall, workplace: CommandRunner) -> AgentEnd:
    """Let the agent work until it submits or is stopped.

    Args:
        settings: the package's settings.
        task: the problem statement.
        routed: makes the model calls.
        workplace: runs its commands.

    Raises:
        DivergedError: it differs from its recording.
    """
    with _quiet_import():
        from minisweagent.agents.default import DefaultAgent
    agent = DefaultAgent(_RoutedModel(settings, routed), _Environment(settings, workplace), **settings.agent)
    try:
        ended = agent.run(task)
    except CausedError as error:
        # The agent has stored a traceback, which contains paths of this machine.
        agent.messages[-1]["extra"] = {"exit_status": str(error.cause), "submission": ""}
        return AgentEnd(str(error.cause), "", agent.serialize(), error)
    return AgentEnd(
        exit_status=str(ended.get("exit_status", "")),
        patch=str(ended.get("submission") or "") if ended.get("exit_status") == SUBMITTED else "",
        trajectory=agent.serialize(),
    )


def parse_commands(message: Mapping[str, Any], style: ActionFormat, pattern: str) -> list[str] | None:
    """Return the commands in a model's answer, found by the package's own parsers; None if they report a format error.

    Args:
        message: the answer as a plain message.
        style: how the answer gives its commands.
        pattern: the pattern that finds a command in text.
    """
    with _quiet_import():
        from minisweagent.exceptions import FormatError
        from minisweagent.models.utils.actions_text import parse_regex_actions
        from minisweagent.models.utils.actions_toolcall import parse_toolcall_actions
    try:
        if style is ActionFormat.tool:
            calls = [_ToolCall(call) for call in message.get("tool_calls") or []]
            found = parse_toolcall_actions(calls, format_error_template="")
        else:
            content = message.get("content")
            text = content if isinstance(content, str) else ""
            found = parse_regex_actions(text, action_regex=pattern, format_error_template="")
    except FormatError:
        return None
    return [replace_surrogates(str(action["command"])) for action in found]


class _Config(SimpleNamespace):
    """The configuration of a model or an environment, as the agent's templates read it."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return dict(vars(self))


class _RoutedModel:
    """mini-swe-agent's Model interface over a routed call."""

    def __init__(self, settings: AgentSettings, routed: RoutedCall) -> None:
        from minisweagent.models.utils.actions_toolcall import BASH_TOOL

        self._settings = settings
        self._routed = routed
        self._tools: Sequence[Mapping[str, Any]] = [BASH_TOOL] if settings.style is ActionFormat.tool else []
        self.config = _Config(**{**settings.model, "model_name": "twinbench"})

    def query(self, messages: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        """Ask the model, and find the commands in its answer."""
        from minisweagent.exceptions import FormatError

        answer = self._routed.ask(
            [read_agent_message(message, message.get("extra") or {}) for message in messages], self._tools
        )
        extra = _extra(answer)
        try:
            if answer.message.problem is not None:
                raise self._format_error(answer)
            actions = self._actions(answer)
        except FormatError as error:  # the answer was billed, and the agent reads its cost from here
            error.messages[0].setdefault("extra", {}).update(extra)
            raise
        return {**answer.conversation_message.plain, "extra": {**extra, "actions": actions}}

    def _format_error(self, answer: Answer) -> FormatError:
        """Make the error that tells the model, with the package's own template, why its answer cannot be read."""
        from jinja2 import StrictUndefined, Template
        from minisweagent.exceptions import FormatError

        template = Template(self._settings.model["format_error_template"], undefined=StrictUndefined)
        content = template.render(
            error=f"The answer cannot be read: {answer.message.problem}.",
            actions=[],
            has_tool_calls=True,
            finish_reason=answer.finish_reason,
        )
        return FormatError({"role": "user", "content": content, "extra": {"interrupt_type": "FormatError"}})

    def _actions(self, answer: Answer) -> list[dict[str, Any]]:
        from minisweagent.models.utils.actions_text import parse_regex_actions
        from minisweagent.models.utils.actions_toolcall import parse_toolcall_actions

        template = self._settings.model["format_error_template"]
        told = {"finish_reason": answer.finish_reason}
        plain = answer.conversation_message.plain
        if self._settings.style is ActionFormat.tool:
            calls = [_ToolCall(call) for call in plain.get("tool_calls") or []]
            found: list[dict[str, Any]] = parse_toolcall_actions(
                calls, format_error_template=template, template_kwargs=told
            )
            return found
        content = plain.get("content")
        commands: list[dict[str, Any]] = parse_regex_actions(
            content if isinstance(content, str) else "",
            action_regex=self._settings.model.get("action_regex") or _default_pattern(),
            format_error_template=template,
            template_kwargs=told,
        )
        return commands

    def format_message(self, **message: Any) -> dict[str, Any]:
        """Make a message of the agent."""
        return message

    def format_observation_messages(
        self, message: dict[str, Any], outputs: list[dict[str, Any]], template_vars: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Make the messages that show the model the results of its commands."""
        from minisweagent.models.utils.actions_text import format_observation_messages
        from minisweagent.models.utils.actions_toolcall import format_toolcall_observation_messages

        shown = {"observation_template": self._settings.model["observation_template"], "template_vars": template_vars}
        found: list[dict[str, Any]]
        if self._settings.style is ActionFormat.tool:
            actions = message.get("extra", {}).get("actions", [])
            found = format_toolcall_observation_messages(actions=actions, outputs=outputs, **shown)
        else:
            found = format_observation_messages(outputs, **shown)
        return found

    def get_template_vars(self, **_: Any) -> dict[str, Any]:
        """Return the variables of templates."""
        return self.config.model_dump()

    def serialize(self) -> dict[str, Any]:
        """Return the model's part of a trajectory's metadata."""
        return {"info": {"config": {"model": self.config.model_dump(), "model_type": "twinbench routed call"}}}


class _Environment:
    """mini-swe-agent's Environment interface over a workplace."""

    def __init__(self, settings: AgentSettings, workplace: CommandRunner) -> None:
        self._workplace = workplace
        self.config = _Config(
            cwd=settings.directory, timeout=settings.command_timeout_s, env=dict(settings.environment)
        )

    def execute(self, action: dict[str, Any], cwd: str = "") -> dict[str, Any]:
        """Run a command; if it prints the package's sentinel, submit the rest of its output."""
        from minisweagent.exceptions import Submitted

        command = replace_surrogates(str(action.get("command", "")))  # escaped surrogates may come from nested JSON
        output = self._workplace.run(command, cwd or self.config.cwd)
        lines = output["output"].lstrip().splitlines(keepends=True)
        if lines and lines[0].strip() == SUBMISSION and output["returncode"] == 0:
            submission = "".join(lines[1:])
            extra = {"exit_status": SUBMITTED, "submission": submission}
            raise Submitted({"role": "exit", "content": submission, "extra": extra})
        return output

    def get_template_vars(self, **_: Any) -> dict[str, Any]:
        """Return the variables of templates; nothing of this machine, so that prompts are the same everywhere."""
        return self.config.model_dump()

    def serialize(self) -> dict[str, Any]:
        """Return the environment's part of a trajectory's metadata."""
        return {"info": {"config": {"environment": self.config.model_dump(), "environment_type": "twinbench sandbox"}}}


@cache
def _default_pattern() -> str:
    """Return the package's default pattern for commands in text, read from its source, since importing it would load
    litellm.

    Raises:
        TwinbenchError: the package has another default, or defines it elsewhere.
    """
    with _quiet_import():
        spec = importlib.util.find_spec("minisweagent.models.litellm_textbased_model")
    source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AnnAssign(target=ast.Name(id="action_regex"), value=ast.Constant(value=str(pattern))):
                return pattern
    raise TwinbenchError(f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}: no pattern for commands in text found")


class _ToolCall:
    """A tool call in the form that the package reads."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        arguments = function.get("arguments")
        self.id = call.get("id")
        self.function = SimpleNamespace(
            name=function.get("name"),
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
        )


def _extra(answer: Answer) -> dict[str, Any]:
    return {
        "candidate": answer.candidate.id,
        "own": dict(answer.conversation_message.provider_fields),
        "cost": float(answer.cost_usd),
        "cost_usd": f"{answer.cost_usd:f}",
        "timestamp": time.time(),
    }


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Prevent the package from printing, reading .env files and writing to the home directory when it is imported."""
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "twinbench-mini-swe-agent"))
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        yield
    except ImportError as error:
        raise TwinbenchError(
            f"{_PACKAGE} cannot be imported ({error}): the live track needs it; pip install 'twinbench[dynamic]'"
        ) from None
    for name in ("minisweagent", "agent"):
        logging.getLogger(name).handlers.clear()
