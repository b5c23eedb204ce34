"""A rehearsal's task played without a container: a copy of its project, and an agent that does what models say."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.edits import Edit
from dynamic_track.rehearsal.simulation import KnownTask, known_tasks
from dynamic_track.tasks.sources import load_tasks
from twinbench.routing.session import SESSION_HEADER

LOW = "deepseek/deepseek-v3.2"
MID = "minimax/minimax-m2.7"
MID_HIGH = "google/gemini-3-flash-preview"
HIGH = "anthropic/claude-opus-4.6"

TASKS = Path(__file__).parents[3] / "dynamic_track/rehearsal/tasks"
EASY = "rehearsal__slotbook-17"
SENTINEL = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@t.invalid")
_MOST_STEPS = 60

Message = dict[str, Any]
Ask = Callable[[int, Sequence[Message]], Mapping[str, Any]]
"""Answers the conversation of a step, from 1, with an assistant's message."""


@cache
def all_known() -> tuple[KnownTask, ...]:
    return known_tasks(load_tasks("rehearsal").tasks)


def known_as(name: str) -> KnownTask:
    return next(task for task in all_known() if task.id == name)


def opening(task: KnownTask) -> list[Message]:
    """How mini-swe-agent begins."""
    return [
        {"role": "system", "content": "You can interact with a computer shell."},
        {"role": "user", "content": f"<pr_description>\n{task.statement}\n</pr_description>\nDo as the rules say."},
    ]


def observed(returncode: int, output: str) -> str:
    """An observation as mini-swe-agent shows it."""
    return f"<returncode>{returncode}</returncode>\n<output>\n{output}</output>"


@dataclass
class Project:
    """A copy of a task's project, in which commands run."""

    path: Path

    @classmethod
    def of(cls, task: KnownTask, path: Path) -> Project:
        """A fresh copy."""
        shutil.copytree(TASKS / task.id / "source", path)
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            subprocess.run([*GIT, *arguments], cwd=path, check=True)
        return cls(path)

    def run(self, command: str) -> str:
        """What an agent sees of a command."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # of the suite that runs this
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return observed(done.returncode, done.stdout)

    def holds(self, edit: Edit) -> bool:
        """Whether an edit stands in it."""
        return all(change.new in (self.path / change.file).read_text("utf-8") for change in edit.changes)


@dataclass
class Played:
    """A task played to its end."""

    messages: list[Message]
    commands: list[str] = field(default_factory=list)
    steps: int = 0
    submitted: bool = False


def play(project: Project, task: KnownTask, ask: Ask) -> Played:
    """Let a model work as mini-swe-agent does, with tool calls."""
    played = Played(opening(task))
    while not played.submitted and played.steps < _MOST_STEPS:
        played.steps += 1
        said = dict(ask(played.steps, played.messages))
        calls = said.get("tool_calls") or []
        if not calls:
            played.messages.append({"role": "user", "content": "Tool call error: use the bash tool."})
            continue
        played.messages.append(said)
        for call in calls:
            command = json.loads(call["function"]["arguments"])["command"]
            played.commands.append(command)
            if command.startswith(SENTINEL):
                played.submitted = True
            result = project.run(command)
            played.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return played


def completion(
    port: int, model: str, messages: Sequence[Message], *, session: str = "s", key: str | None = None, **more: Any
) -> tuple[int, Any]:
    """Status and JSON of one completion over HTTP."""
    body = json.dumps({"model": model, "messages": list(messages), **more})
    headers = {SESSION_HEADER: session, **({} if key is None else {"Authorization": f"Bearer {key}"})}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", body, headers)
        with connection.getresponse() as answer:
            return answer.status, json.loads(answer.read())
