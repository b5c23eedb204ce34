"""Runs the shell lines of actions and workflows as GitHub would: expressions are evaluated, `run:` goes to bash."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_CONDITIONS = {None, "${{ !cancelled() }}"}
"""What an `if:` of ours may say; all of it is true here."""


def load(path: Path) -> Any:
    """An action or a workflow as data; `on`, which YAML 1.1 reads as true, stays a word."""
    content = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}


def steps_of(content: Any) -> list[dict[str, Any]]:
    """The steps of an action, or of the only job of a workflow."""
    if "runs" in content:
        return list(content["runs"]["steps"])
    [job] = content["jobs"].values()
    return list(job["steps"])


@dataclass
class Runner:
    """A machine of GitHub's, as far as steps see it."""

    workspace: Path
    temporary: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    event: Mapping[str, str] = field(default_factory=dict)
    """Values of `github.event.…`, by the rest of their names."""
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""

    @property
    def summary(self) -> str:
        """What the steps have written into the summary."""
        path = self.temporary / "summary.md"
        return path.read_text("utf-8") if path.exists() else ""

    def evaluate(self, text: str) -> str:
        """A text with its expressions evaluated: names of contexts, and `||` between them."""
        return _EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        values = (self._look_up(name.strip()) for name in expression.split("||"))
        return next((value for value in values if value), "")

    def _look_up(self, name: str) -> str:
        context, _, rest = name.partition(".")
        if context == "inputs":
            return self.inputs[rest]
        if name == "runner.temp":
            return str(self.temporary)
        assert name.startswith("github.event."), name
        return self.event.get(name.removeprefix("github.event."), "")

    def run(self, step: Mapping[str, Any], **environment: str) -> int:
        """Run a step that has shell lines; returns its exit code."""
        assert step.get("if") in _CONDITIONS
        assert "${{" not in step["run"], "an expression in shell text runs whatever its value says"
        script = self.temporary / "script.sh"
        script.write_text(step["run"], "utf-8")
        written = self.temporary / "output.txt"
        written.write_text("")
        given = {name: self.evaluate(str(value)) for name, value in (step.get("env") or {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.workspace / self.evaluate(step.get("working-directory", ".")),
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TWINBENCH_")},
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_WORKSPACE": str(self.workspace),
                "GITHUB_STEP_SUMMARY": str(self.temporary / "summary.md"),
                "GITHUB_OUTPUT": str(written),
                "RUNNER_TEMP": str(self.temporary),
                **given,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self.log += done.stdout
        self.outputs |= dict(line.split("=", 1) for line in written.read_text().splitlines())
        return done.returncode
