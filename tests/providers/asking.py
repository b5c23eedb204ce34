"""Requests, gateways and a key for the tests of providers."""

from __future__ import annotations

from typing import Any

from tests.scripted.server import ScriptedServer
from twinbench.calls.exchange import Request
from twinbench.providers.gateway import Gateway

KEY = "sk-test-0123456789-must-never-show"
KEY_VARIABLE = "TWINBENCH_TEST_KEY"
ENVIRONMENT = {KEY_VARIABLE: KEY}

BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run a command",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


def body(model: str = "acme/small-2", **more: Any) -> dict[str, Any]:
    """A body as an agent's first call has it."""
    messages = [{"role": "system", "content": "You fix bugs."}, {"role": "user", "content": "Fix this one: ü€😀"}]
    return {"model": model, "messages": messages, "max_tokens": 64, **more}


def request(session: str = "a-session", **more: Any) -> Request:
    """A request with that body."""
    return Request(body(**more), session)


def gateway_to(server: ScriptedServer, **options: Any) -> Gateway:
    """A gateway that speaks to a server of ours, with a key."""
    return Gateway(server.api_base, KEY_VARIABLE, environment=ENVIRONMENT, **options)
