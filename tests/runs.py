"""Trajectory files of mini-swe-agent in both formats, made by hand, and by the package itself."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Run = dict[str, Any]

MODEL = "tests/model-1"
V1, V2 = "mini-swe-agent-1", "mini-swe-agent-1.1"
V1_BLOCK, V2_BLOCK = "bash", "mswea_bash_command"

POOL = """
kind = "live"
name = "of-tests"
version = 1
dated = 2026-01-01
source = "made up"
rules = "released-v1"
gateway = "openai-compatible"
wallclock_ttl_seconds = 300
unresolved_penalty_usd = 0.6

[agent]
scaffold = "mini-swe-agent"
step_limit = 250
cost_limit_usd = 3.0
command_timeout_seconds = 60

[[candidates]]
id = "one"
model = "MODEL"
tier = "high"
tier_default = true
context_window = 2000000
max_output = 65536
max_tokens = 32768
prices = { input = 2.0, cache_read = 0.2, cache_write = 2.0, output = 12.0 }
served_as = ["MODEL"]
"""


def a_pool(path: Path, model: str = MODEL) -> Path:
    """A pool with one candidate, at the prices of Gemini 3 Pro in 2025-11."""
    path.write_text(POOL.replace("MODEL", model), "utf-8")
    return path


def response(message: Mapping[str, Any], *, cost: float | None = 0.0014, model: str = MODEL, **usage: Any) -> Run:
    """A provider's response: 1,000 tokens in, 500 of them from the cache, 25 out, which cost 0.0014 USD."""
    told: Run = {
        "prompt_tokens": 1000,
        "completion_tokens": 25,
        "total_tokens": 1025,
        "prompt_tokens_details": {"cached_tokens": 500},
    } | usage
    if cost is not None:
        told["cost"] = cost
    choice = {"index": 0, "finish_reason": "stop", "message": dict(message)}
    return {"id": "x", "model": model, "provider": "Host", "created": 1763509375, "choices": [choice], "usage": told}


def saying(command: str, block: str) -> Run:
    return {"role": "assistant", "content": f"THOUGHT: next.\n\n```{block}\n{command}\n```"}


def calling(*commands: str, first: int = 0) -> Run:
    """An answer with tool calls, with all that the package keeps of one."""
    calls = [
        {
            "id": f"call_{first + number}",
            "type": "function",
            "function": {"name": "bash", "arguments": json.dumps({"command": command})},
        }
        for number, command in enumerate(commands)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, "function_call": None, "reasoning_content": "hm"}


def observed(text: str) -> Run:
    return {"role": "user", "content": f"<returncode>0</returncode>\n<output>\n{text}\n</output>"}


OPENING: list[Run] = [{"role": "system", "content": "You fix bugs."}, {"role": "user", "content": "Fix it."}]


def a_run(form: str, messages: Sequence[Run], instance: str | None = "a__a-1", **info: Any) -> Run:
    """A file's content."""
    content: Run = {
        "info": {
            "exit_status": "Submitted",
            "submission": "diff --git a/x b/x\n",
            "model_stats": {"instance_cost": 0.1, "api_calls": 2},
            "mini_version": "1.15.0" if form == V1 else "2.4.6",
            **info,
        },
        "messages": copy.deepcopy(list(messages)),
        "trajectory_format": form,
    }
    return content if instance is None else content | {"instance_id": instance}


def v1(instance: str | None = "a__a-1", *, responses: bool = True) -> Run:
    """Three calls of 1.x; the second does not parse and stays in the conversation."""
    answers = [
        saying("ls", V1_BLOCK),
        {"role": "assistant", "content": "I am not sure."},
        saying("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff", V1_BLOCK),
    ]
    kept = [each | {"extra": {"response": response(each)} if responses else {}} for each in answers]
    rejected = {"role": "user", "content": "Please always provide EXACTLY ONE action"}
    patch = {"role": "user", "content": "diff --git a/x b/x\n"}
    return a_run(V1, [*OPENING, kept[0], observed("a.py"), kept[1], rejected, kept[2], patch], instance)


def v2(instance: str | None = "b__b-2", *, responses: bool = True) -> Run:
    """Three calls of 2.x with tools; the answer that did not parse stands beside what the agent said to it."""
    first, last = calling("ls", "pwd"), calling("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", first=2)
    lost = {"role": "assistant", "content": "I am not sure."}

    def extra(answer: Run, *commands: str) -> Run:
        actions = [{"command": each, "tool_call_id": f"call_{number}"} for number, each in enumerate(commands)]
        kept = {"response": response(answer)} if responses else {}
        return {"actions": actions, "cost": 0.0014, "timestamp": 1763509400.5, **kept}

    rejected: Run = {"role": "user", "content": "No tool calls found", "extra": {"interrupt_type": "FormatError"}}
    if responses:
        rejected["extra"]["response"] = response(lost)
    results = [
        {
            "role": "tool",
            "tool_call_id": f"call_{number}",
            "content": text,
            "extra": {"returncode": 0, "raw_output": text},
        }
        for number, text in enumerate(("a.py", "/testbed"))
    ]
    submitted = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
    messages = [
        *OPENING,
        first | {"extra": extra(first, "ls", "pwd")},
        *results,
        rejected,
        last | {"extra": extra(last, submitted)},
        {"role": "exit", "content": "diff --git a/x b/x\n", "extra": {"exit_status": "Submitted", "submission": ""}},
    ]
    return a_run(V2, messages, instance)


def write_run(path: Path, content: Any) -> Path:
    """A trajectory file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=2).encode())
    return path


_PACKAGE = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment

target, style, answers = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])

class Handler(BaseHTTPRequestHandler):
    wbufsize = 65536
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(answers.pop(0)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if style == "tool":
    from minisweagent.models.litellm_model import LitellmModel as Model
else:
    from minisweagent.models.litellm_textbased_model import LitellmTextbasedModel as Model
model = Model(
    model_name="openai/tests/model-1",
    cost_tracking="ignore_errors",
    model_kwargs={"api_base": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "none"},
)
agent = DefaultAgent(
    model, LocalEnvironment(cwd=str(target.parent)), system_template="You fix bugs.", instance_template="{{task}}",
    output_path=target,
)
print(agent.run("Fix it."))
"""


def packaged_run(target: Path, style: str, answers: Sequence[Run]) -> Path:
    """A file that the installed mini-swe-agent 2.x writes of a run of its own against a server on this machine."""
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        "PYTHON_DOTENV_DISABLED": "1",
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_GLOBAL_CONFIG_DIR": str(target.parent / "config"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "127.0.0.1",
    }
    arguments = [sys.executable, "-c", _PACKAGE, str(target), style, json.dumps(list(answers))]
    done = subprocess.run(
        arguments, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return target
