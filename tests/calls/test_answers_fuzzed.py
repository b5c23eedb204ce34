"""Whatever a provider sends becomes an answer or a cause, and nothing that comes later is surprised by it."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.calls.mutants import damaged
from tests.calls.test_routed import GO, HIGH, LOW, MID, POOL, case
from tests.examples import number_of
from twinbench.calls.attempts import CallFailedError, RetryLimits
from twinbench.calls.completion import MOST_TOOL_CALLS
from twinbench.calls.exchange import Request, Response
from twinbench.calls.journal import read_journal
from twinbench.calls.recording import DivergedError, RecordedEndError
from twinbench.calls.response_classification import classify_response
from twinbench.calls.routed import Answer, RecordingDecider
from twinbench.calls.translation import ConversationMessage, to_conversation_message, translate_conversation
from twinbench.causes import Cause
from twinbench.routing.router import Call
from twinbench.text.messages import message_text, semantic_key

MUTANTS = number_of(2_500, 10_000)
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}


def response(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"id": "r", "object": "chat.completion", "model": LOW, "choices": [choice], "usage": USAGE, **more}


SEEDS: list[dict[str, Any]] = [
    response({"content": "ok"}),
    response({"content": None, "tool_calls": [CALL, {**CALL, "id": "c2", "index": 1}], "reasoning_content": "Hm."}),
    response({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "ok"}], "tool_calls": []}),
    response({"content": "", "tool_calls": [{"function": {"name": "bash", "arguments": {"command": "ls"}}}]}),
    response(
        {"content": "ok"}, provider="host", usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 4}, "cost": 0.1}
    ),
    {"error": {"message": "no", "type": "server_error", "code": 429, "metadata": {"raw": '{"error": "no"}'}}},
    {"object": "error", "message": "no", "type": "BadRequestError", "code": 400},
]


def mutants(seed: int, how_many: int) -> list[tuple[int, bytes]]:
    """Statuses and bodies."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    return [(dice.choice([200] * 8 + [400, 429, 503]), damaged(dice.choice(SEEDS), dice)) for _ in range(how_many)]


@pytest.mark.drawn
def test_damaged_responses_are_answers_or_causes() -> None:
    answers = unusable = 0
    for status, body in mutants(1, MUTANTS):
        judged = classify_response(Response(status, body, None, 0.1), POOL[LOW], switched=False)
        assert (judged.cause is None) == (judged.message is not None)
        json.dumps(judged.detail, allow_nan=False)
        if judged.message is None:
            assert isinstance(judged.cause, Cause)
            continue
        answers += 1
        unusable += judged.message.problem is not None
        assert judged.usage is not None
        assert judged.billed
        assert len(judged.message.tool_calls) <= MOST_TOOL_CALLS
        said = to_conversation_message(judged.message, LOW, 2, [each.plain for each in GO])
        _is_plain(said)
        for candidate in (LOW, HIGH):
            json.dumps(translate_conversation([*GO, said], POOL[candidate]), allow_nan=False).encode()
        message_text(said.plain).encode()
        semantic_key(said.plain).encode()
    assert answers > MUTANTS / 10, "the mutants are damaged beyond recognition"
    assert unusable > MUTANTS / 100, "the mutants are too harmless"


def _is_plain(said: ConversationMessage) -> None:
    assert said.plain.keys() <= {"role", "content", "tool_calls"}
    assert isinstance(said.plain["content"], str | None)
    ids = set()
    for call in said.plain.get("tool_calls", []):
        assert call.keys() == {"id", "type", "function"}
        assert call["function"].keys() == {"name", "arguments"}
        assert isinstance(call["function"]["name"], str)
        assert isinstance(call["function"]["arguments"], str)
        ids.add(call["id"])
    assert len(ids) == len(said.plain.get("tool_calls", []))


class Sends:
    """A provider that sends these bytes, then a good answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.first: Response | None = Response(status, body, None, 0.1)
        self.requests: list[Request] = []

    def fetch(self, request: Request, within_s: float) -> Response:
        self.requests.append(request)
        first, self.first = self.first, None
        good = {**response({"content": "fine"}), "model": request.body["model"]}
        return first or Response(200, json.dumps(good).encode(), None, 0.1)


@pytest.mark.parametrize(
    ("seed", "how_many"), [(2, 120), pytest.param(3, 10_000, marks=pytest.mark.acceptance)], ids=["some", "many"]
)
def test_what_was_answered_goes_on_to_other_models_and_resumes_the_same(
    tmp_path: Path, seed: int, how_many: int
) -> None:
    once = RetryLimits(attempts=1)
    for number, (status, body) in enumerate(mutants(seed, how_many)):
        folder = tmp_path / f"{number}"
        source = Sends(status, body)
        with case(folder, source, InTurn(), limits=once) as running:
            answers = _asked(running)
        for request in source.requests:
            json.dumps(dict(request.body), allow_nan=False).encode()
            for message in request.body["messages"]:
                assert message["role"] == "assistant" or message.keys() <= {"role", "content"}
        for entry in read_journal(folder / "journal"):
            json.dumps(entry.fields, allow_nan=False)
        with case(folder, None, decider=RecordingDecider(), limits=once, replay=True) as running:
            assert _asked(running)[: len(answers)] == answers
        with case(folder, Sends(status, body), InTurn(), limits=once) as running:
            assert _asked(running)[: len(answers)] == answers


class InTurn:
    """A router that switches between two models."""

    def route(self, call: Call) -> str:
        return (LOW, MID, LOW)[call.step_index - 1]


def _asked(running: Any) -> list[Answer]:
    """Three calls, as far as they are answered: a replay ends where the recording does."""
    with suppress(CallFailedError, *([DivergedError, RecordedEndError] if running.routed.trial_log.is_replay else [])):
        for _ in range(3):
            running.ask()
    return list(running.routed.answers)
