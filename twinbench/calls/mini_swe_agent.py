"""Read trajectory files of mini-swe-agent, which are not trusted: the conversation and the model's calls in it.

Two formats are known: ``mini-swe-agent-1`` (1.x: commands in text) and ``mini-swe-agent-1.1`` (2.x: tool calls, or text
in its text styles). In both, ``messages`` is the whole conversation, ``extra`` of a message is the agent's own
bookkeeping (with the provider's response, if it was kept), and in 2.x a last message of role ``exit`` says how it
ended. An answer that did not parse stays in the conversation in 1.x; in 2.x the agent's error message takes its place.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from twinbench.calls.completion import SIMULATED, is_simulated, read_message, replace_surrogates
from twinbench.calls.translation import PLAIN_FIELDS, plain_message
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import InputError, open_regular, read_document
from twinbench.reading.rows import TRAJECTORY_SUFFIXES
from twinbench.reading.strict_json import FaultyJsonError, JsonError, NotJsonError, parse_json
from twinbench.reading.validation import find_unstorable, format_value, json_type_name
from twinbench.text.messages import find_message_problems

FORMATS = ("mini-swe-agent-1", "mini-swe-agent-1.1")
"""The ``trajectory_format`` of mini-swe-agent 1.x and 2.x."""

BASH_TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Execute a bash command",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
            "required": ["command"],
        },
    },
}
"""The tool that 2.x offers in its tool style; trajectory files do not contain it."""

PATTERNS = {
    "mini-swe-agent-1": r"```bash\s*\n(.*?)\n```",
    "mini-swe-agent-1.1": r"```mswea_bash_command\s*\n(.*?)\n```",
}
"""The default pattern that finds a command in text, by format."""

_KNOWN_PATTERNS = (*PATTERNS.values(), "<mswea_bash_command>(.*?)</mswea_bash_command>")
"""The patterns of the package's own settings; others are not run, since a pattern from a file could take forever."""

_ROLES = ("system", "user", "assistant", "tool", "exit")
_RUN_TRAJECTORY_FILE = "trajectory.json"
"""The name of the trajectory file in twinbench's own runs, in ``cases/CASE/TRIAL/``."""
_MOST_PROBLEMS = 20
_LAST_SECOND = 2**32

Style = Literal["tool", "text"]


@dataclass(frozen=True)
class ModelCall:
    """One call of the model in a trajectory."""

    number: int
    """The call's number from 1; calls whose answer did not parse count too."""
    position: int
    """Index of the answer in the file's ``messages``, or of the agent's error message in its place."""
    prefix: int
    """How many messages of the conversation were sent with the call."""
    kept: bool
    """Whether the answer is in the conversation, right after those messages."""
    response: Mapping[str, Any] | None
    """The provider's response; None if the file does not contain it."""
    actions: Sequence[str] | None
    """The commands that the agent found in the answer; None if the file does not say."""
    at: float | None
    """When the call was answered, in seconds since 1970; None if the file does not say."""

    @property
    def field(self) -> str:
        """The path of the response within the file."""
        return f"messages[{self.position}].extra.response"


@dataclass(frozen=True)
class Trajectory:
    """One run of mini-swe-agent, as its trajectory file records it."""

    source: str
    sha256: str
    """SHA-256 of the file's content, after decompression."""
    instance_id: str
    format: str
    """One of ``FORMATS``."""
    version: str | None
    """The version of mini-swe-agent."""
    style: Style
    """How the model names the commands to run: by tool calls or in text."""
    pattern: str | None
    """The pattern that finds a command in text; None if the file names a pattern that is not one of the package's."""
    messages: Sequence[Mapping[str, Any]]
    """The conversation without the agent's bookkeeping and provider-specific fields."""
    calls: Sequence[ModelCall]
    exit_status: str
    submission: str
    simulated: bool = False
    """Whether the file says that simulated models answered, as in a rehearsal."""

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools that were offered to the model."""
        return [BASH_TOOL] if self.style == "tool" else []

    def messages_after(self, call: ModelCall) -> Sequence[Mapping[str, Any]]:
        """Return the agent's messages between a call's answer and the next call."""
        following = self.calls[call.number].prefix if call.number < len(self.calls) else len(self.messages)
        return self.messages[call.prefix + call.kept : following]


def trajectory_files(paths: Iterable[str]) -> list[Path]:
    """Find trajectory files: each path is a file, or a folder that is searched recursively, sorted by name.

    Raises:
        UsageError: a path does not exist, is not a file or folder, cannot be read, or contains no trajectory file.
    """
    found: dict[Path, None] = {}
    for name in paths:
        path = Path(name)
        try:
            if path.is_dir():
                inside = sorted(_files_in(path))
                if not inside:
                    raise UsageError(
                        f"{name} holds no trajectory file: none ends in {' or '.join(TRAJECTORY_SUFFIXES)}"
                    )
                found.update(dict.fromkeys(inside))
            elif path.is_file():
                found[path] = None
            else:
                raise UsageError(f"{name} is not a file" if path.exists() else f"{name} does not exist")
        except OSError as error:  # a parent folder may be unreadable
            raise UsageError(f"cannot read {error.filename or name} ({error.strerror or error})") from None
    return list(found)


def _files_in(folder: Path) -> Iterator[Path]:
    """Find the trajectory files below a folder.

    Raises:
        OSError: the folder or one in it cannot be read; otherwise its files would be skipped silently.
    """

    def fail(error: OSError) -> None:
        raise error

    for inside, _, names in os.walk(folder, onerror=fail):
        yield from (
            Path(inside) / name for name in names if name == _RUN_TRAJECTORY_FILE or name.endswith(TRAJECTORY_SUFFIXES)
        )


def read_trajectories(files: Iterable[Path]) -> Iterator[Trajectory | ContentError]:
    """Read each file; yields a trajectory or all its errors. A second file for the same instance is an error."""
    first: dict[str, str] = {}
    for file in files:
        try:
            trajectory = read_trajectory(file)
            if (other := first.setdefault(trajectory.instance_id, trajectory.source)) != trajectory.source:
                what = (
                    f"{format_value(trajectory.instance_id)} is also in {other}: only one trajectory per "
                    "instance is allowed"
                )
                raise _content_error(str(file), "instance_id", what)
        except ContentError as error:
            yield error
        else:
            yield trajectory


def read_trajectory(file: Path) -> Trajectory:
    """Read one trajectory file, plain or gzipped.

    Raises:
        ContentError: the file cannot be read or is not a valid trajectory; the problems say where.
    """
    source = str(file)
    data = _read_bytes(file)
    content = _parse(source, data)
    if not isinstance(content, dict):
        raise _content_error(source, None, f"a trajectory must be a JSON object, not {json_type_name(content)}")
    form = content.get("trajectory_format")
    if form not in FORMATS:
        what = "is missing" if form is None else f"{format_value(form)} is not known"
        raise _content_error(source, "trajectory_format", f"{what}: it must be {' or '.join(FORMATS)}")
    messages = content.get("messages")
    if not isinstance(messages, list):
        raise _content_error(
            source, "messages", "is missing" if messages is None else f"must be a list, not {json_type_name(messages)}"
        )
    problems = (
        Problem(source, None, f"messages[{number}]{field}", what)
        for number, message in enumerate(messages)
        for field, what in _message_problems(message)
    )
    if some := list(islice(problems, _MOST_PROBLEMS)):
        raise ContentError(some)
    info = _object(content.get("info"))
    conversation, calls = _split_calls(messages)
    if not calls:
        raise _content_error(source, "messages", "no message is a model's answer")
    if calls[0].prefix == 0:
        place = f"messages[{calls[0].position}]"
        raise _content_error(source, place, "is a model's answer, but no message comes before it")
    style = _style(messages, info)
    last = _object(messages[-1].get("extra"))
    return Trajectory(
        source=source,
        sha256=hashlib.sha256(data).hexdigest(),
        instance_id=_instance(file, content, info),
        format=form,
        version=_text(info.get("mini_version")) or None,
        style=style,
        pattern=_pattern(form, info) if style == "text" else None,
        messages=conversation,
        calls=calls,
        exit_status=_text(info.get("exit_status")) or _text(last.get("exit_status")),
        submission=_text(info.get("submission")),
        simulated=bool(info.get(SIMULATED)) or any(is_simulated(call.response) for call in calls),
    )


def _read_bytes(file: Path) -> bytes:
    source = str(file)
    try:
        with open_regular(file) as opened:
            return read_document(opened)
    except InputError as error:
        raise _content_error(source, None, str(error)) from None
    except OSError as error:
        raise _content_error(source, None, f"cannot be read ({error.strerror or error})") from None


def _parse(source: str, data: bytes) -> Any:
    try:
        content = parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _content_error(source, None, f"not UTF-8: byte {error.start + 1:,}") from None
    except FaultyJsonError as error:
        raise ContentError(error.to_problems(source)) from None
    except JsonError as error:
        cut = "; the file is cut short" if isinstance(error, NotJsonError) and error.cut_short else ""
        raise _content_error(source, None, f"{error}{cut}") from None
    if (found := find_unstorable(content, surrogates=False)) is not None:
        raise _content_error(source, *found)
    return content


def _message_problems(message: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a message of an agent's conversation, as (path, problem)."""
    for path, what in find_message_problems(message):
        if path != ".role":
            yield path, what
    if not isinstance(message, dict):
        return
    role = message.get("role")
    if role is None:
        responses = message.get("object") == "response" or isinstance(message.get("type"), str)
        why = ": it is from OpenAI's Responses API, which has no chat messages" if responses else ""
        yield ".role", f"is missing{why}"
    elif role not in _ROLES:
        yield ".role", f"{format_value(role)} is not known: it must be one of {', '.join(_ROLES)}"
    for name in ("tool_call_id", "name"):
        if not isinstance(message.get(name), str | None):
            yield f".{name}", f"must be a string, not {json_type_name(message[name])}"
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict) and call.get("function") is None:
            yield f".tool_calls[{number}]", "must be an object with a function"


def _split_calls(messages: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[ModelCall]]:
    """Split a file's messages into the conversation and the model calls in it."""
    conversation: list[dict[str, Any]] = []
    calls: list[ModelCall] = []
    for position, message in enumerate(messages):
        if message["role"] == "exit":
            continue
        extra = _object(message.get("extra"))
        kept = message["role"] == "assistant"
        if kept or extra.get("interrupt_type") == "FormatError":
            response = extra.get("response")
            response = response if isinstance(response, dict) else None
            at = _seconds(extra.get("timestamp"), message.get("timestamp"), (response or {}).get("created"))
            actions = _actions(extra.get("actions")) if kept else None
            calls.append(ModelCall(len(calls) + 1, position, len(conversation), kept, response, actions, at))
        conversation.append(_to_plain_message(message))
    return conversation, calls


def _actions(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    found = [action.get("command") if isinstance(action, dict) else None for action in value]
    commands = [replace_surrogates(command) for command in found if isinstance(command, str)]
    return commands if len(commands) == len(found) else None


def _to_plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    if message["role"] == "assistant" and (read := read_message(message)).problem is None:
        return plain_message(read)
    plain = {name: message[name] for name in PLAIN_FIELDS if name in message}
    return {name: replace_surrogates(value) for name, value in plain.items() if value is not None or name == "content"}


def _style(messages: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> Style:
    """Return how the model names its commands: as its answers show, else as its settings say."""
    if any(message["role"] == "tool" or message.get("tool_calls") for message in messages):
        return "tool"
    model = _object(_object(info.get("config")).get("model"))
    if any(message["role"] == "assistant" for message in messages) or "action_regex" in model:
        return "text"
    # No answer ever parsed: the text style records how many commands it found, the tool style does not.
    found = [_object(message.get("extra")) for message in messages]
    return "text" if any("n_actions" in extra for extra in found) else "tool"


def _pattern(form: str, info: Mapping[str, Any]) -> str | None:
    config = _object(info.get("config"))
    for part in ("model", "agent"):  # 2.x and 1.x
        if (named := _object(config.get(part)).get("action_regex")) is not None:
            return named if named in _KNOWN_PATTERNS else None
    return PATTERNS[form]


def _instance(file: Path, content: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Return the task's id: from the file's content, else from its name, or in twinbench's runs from its folder."""
    for value in (content.get("instance_id"), info.get("instance_id")):
        if isinstance(value, str) and value.strip():
            return str(replace_surrogates(value))
    if file.name == _RUN_TRAJECTORY_FILE and len(file.absolute().parts) > 3:
        return file.absolute().parts[-3]
    name = re.sub(r"(\.traj)?(\.json)?(\.gz)?$", "", file.name) or file.name
    return name.encode("utf-8", "backslashreplace").decode()  # a file name need not be text


def _seconds(*values: Any) -> float | None:
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LAST_SECOND:
            return float(value)
    return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return str(replace_surrogates(value)) if isinstance(value, str) else ""


def _content_error(source: str, field: str | None, what: str) -> ContentError:
    return ContentError([Problem(source, None, field, what)])
