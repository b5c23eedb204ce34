"""What an answer is worth, from its status and bytes alone; what real HTTP makes of it is in test_routed.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinbench.calls.completion import read_message
from twinbench.calls.exchange import Response, TransportError
from twinbench.calls.response_classification import AttemptResult, classify_response
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest

CANDIDATE = live_manifest().candidates[0]
USAGE = {"prompt_tokens": 10, "completion_tokens": 2}


def answered(status: int = 200, **changed: Any) -> Response:
    choice = {"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    body = {"model": CANDIDATE.model, "choices": [choice], "usage": USAGE, **changed}
    return Response(status, json.dumps(body).encode(), None, 0.1)


def saying(**message: Any) -> Response:
    return answered(choices=[{"message": message, "finish_reason": "stop"}])


@given(
    status=st.integers(100, 599) | st.sampled_from([200, 400]),
    body=st.binary(max_size=60)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "choices", "message", "usage", "code", "type", "content", "model"]), inner
                )
            ),
            max_leaves=8,
        ),
    ),
    switched=st.booleans(),
)
def test_whatever_comes_is_judged_and_is_no_verdict_on_the_router(status: int, body: bytes, switched: bool) -> None:
    judged = classify_response(Response(status, body, None, 0.1), CANDIDATE, switched=switched)
    assert judged.cause is not None
    assert CAUSES[judged.cause].outcome_class is OutcomeClass.infra
    assert judged.billed == (status < 300 or status >= 500 or judged.usage is not None) or status == 200
    assert not (judged.retry and judged.cause in (Cause.access, Cause.usage, Cause.request, Cause.switch))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x"},
        {"content": None, "tool_calls": None},
        {"content": "", "tool_calls": []},
        {"content": [{"type": "text", "text": "x"}]},
        {"tool_calls": [{"id": "c", "function": {"name": "bash", "arguments": "{"}}]},
        {"content": "x", "tool_calls": [{}]},
    ],
)
def test_a_message_that_can_stand_in_a_conversation_is_an_answer(message: dict[str, Any]) -> None:
    judged = classify_response(saying(**message), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed, judged.message) == (None, False, True, read_message(message))
    assert judged.message is not None
    assert judged.message.problem is None


UNUSABLE: dict[str, dict[str, Any]] = {
    "content is a number": {"content": 7},
    "a text that is a number": {"content": [{"type": "text", "text": 5}]},
    "a text that is an object": {"content": [{"type": "text", "text": {"value": "x"}}]},
    "content is an object": {"content": {"text": "x"}},
    "a part that is a number": {"content": [5]},
    "too many parts": {"content": [{"type": "text", "text": "x"}] * 1001},
    "tool calls are a text": {"content": "x", "tool_calls": "ls"},
    "a tool call is a text": {"tool_calls": ["ls"]},
    "arguments are a list": {"tool_calls": [{"function": {"name": "bash", "arguments": ["ls"]}}]},
    "arguments are a number": {"tool_calls": [{"function": {"name": "bash", "arguments": 5}}]},
    "a name is a number": {"tool_calls": [{"function": {"name": 5, "arguments": "{}"}}]},
    "a function is a text": {"tool_calls": [{"function": "bash"}]},
    "3,000 tool calls": {"tool_calls": [{"id": f"c{n}", "function": {"name": "bash"}} for n in range(3000)]},
}


@pytest.mark.parametrize("message", UNUSABLE.values(), ids=UNUSABLE)
def test_one_that_cannot_is_a_format_error_and_billed(message: dict[str, Any]) -> None:
    judged = classify_response(saying(**message, reasoning_content="because"), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed) == (None, False, True)
    assert judged.usage is not None
    assert judged.message is not None
    assert judged.message.problem
    assert (judged.message.content, judged.message.tool_calls, judged.message.provider_fields) == (None, (), {})


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


NO_COMPLETION: dict[str, bytes] = {
    "nothing": b"",
    "a text": b"ok",
    "no choice": answered(choices=[]).body,
    "a choice without a message": answered(choices=[{"finish_reason": "stop"}]).body,
    "a message that is a text": answered(choices=[{"message": "ok"}]).body,
    "choices that are an object": answered(choices={"0": {"message": {"content": "ok"}}}).body,
    "nested 900 deep": saying(content=nested(900)).body,
    "nested 100,000 deep": b'{"choices": ' + b"[" * 100_000,
    "cut": answered().body[:-20],
    "UTF-16": answered().body.decode().encode("utf-16"),
    "not a number": answered().body.replace(b"10", b"NaN"),
    "an endless number": answered().body.replace(b"10", b"9" * 5000),
}


@pytest.mark.parametrize("body", NO_COMPLETION.values(), ids=NO_COMPLETION)
def test_what_is_no_chat_completion_counts_its_reservation_and_is_tried_again(body: bytes) -> None:
    judged = classify_response(Response(200, body, None, 0.1), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed, judged.usage) == (Cause.transport, True, True, None)
    assert judged.detail is not None
    assert judged.detail.startswith("the response cannot be read: ")


STATUSES: dict[int, tuple[Cause, bool, bool, bool]] = {
    # status: cause, whether it is tried again, whether it may have been billed, whether the time to wait is taken over
    199: (Cause.transport, True, True, True),
    299: (Cause.transport, True, True, True),
    300: (Cause.request, False, False, False),
    399: (Cause.request, False, False, False),
    400: (Cause.request, False, False, False),
    401: (Cause.access, False, False, False),
    402: (Cause.quota, False, False, False),
    403: (Cause.access, False, False, False),
    404: (Cause.model, False, False, False),
    407: (Cause.request, False, False, False),
    408: (Cause.transport, True, False, False),
    409: (Cause.request, False, False, False),
    428: (Cause.request, False, False, False),
    429: (Cause.quota, True, False, True),
    430: (Cause.request, False, False, False),
    499: (Cause.request, False, False, False),
    500: (Cause.transport, True, True, True),
    529: (Cause.transport, True, True, True),
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_decides_over_cause_bill_and_another_attempt(status: int) -> None:
    cause, again, billed, waits = STATUSES[status]
    body = json.dumps({"error": {"message": "no"}}).encode()
    judged = classify_response(Response(status, body, 7.5, 0.1), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed) == (cause, again, billed)
    assert judged.retry_after_s == (7.5 if waits else None)
    assert (judged.detail or "").startswith(f"status {status}: no")
    assert not judged.simulated
    after_another = classify_response(Response(status, body, 7.5, 0.1), CANDIDATE, switched=True)
    assert after_another.cause is (Cause.switch if status == 400 else cause)


@pytest.mark.parametrize("status", [199, 201, 400])
def test_only_a_status_of_200_is_an_answer(status: int) -> None:
    assert classify_response(answered(), CANDIDATE, switched=False).cause is None
    assert classify_response(answered(status), CANDIDATE, switched=False).cause is not None


@pytest.mark.parametrize(("code", "shown"), [("rate_limit_exceeded", 429), ("nobody_knows", 200)])
def test_the_status_that_is_shown_is_the_one_that_is_meant(code: str, shown: int) -> None:
    body = json.dumps({"error": {"message": "no", "code": code}}).encode()
    detail = classify_response(Response(200, body, None, 0.1), CANDIDATE, switched=False).detail
    assert (detail or "").startswith(f"status {shown}: no")


def test_an_error_page_of_some_server_is_about_the_address() -> None:
    judged = classify_response(Response(404, b"<html>404</html>", None, 0.1), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed) == (Cause.request, False, False)
    assert "does --api-base end in /v1?" in (judged.detail or "")


def test_a_refusal_that_reports_its_usage_was_billed() -> None:
    def refused(usage: Any) -> AttemptResult:
        body = json.dumps({"error": {"message": "no", "code": 400}, "usage": usage}).encode()
        return classify_response(Response(400, body, None, 0.1), CANDIDATE, switched=False)

    assert (refused(USAGE).billed, refused(USAGE).usage) == (True, Usage(input=10, output=2))
    assert (refused({"prompt_tokens": -1}).billed, refused({"prompt_tokens": -1}).usage) == (False, None)
    assert (refused(None).billed, refused(None).usage) == (False, None)


def test_an_answer_of_another_model_is_paid_and_not_used() -> None:
    judged = classify_response(answered(model="somebody/else"), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed, judged.message) == (Cause.model, False, True, None)
    assert judged.usage == Usage(input=10, output=2)
    assert "but somebody/else answered" in (judged.detail or "")
    unnamed = classify_response(answered(model=None), CANDIDATE, switched=False)
    assert "but an unnamed model answered" in (unnamed.detail or "")


def test_an_answer_that_ended_with_an_error_is_paid_and_tried_again() -> None:
    choice = {"message": {"role": "assistant", "content": "half"}, "finish_reason": "error"}
    judged = classify_response(answered(choices=[choice]), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed, judged.message) == (Cause.transport, True, True, None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"ok", "Expecting value: line 1 column 1"),
        (answered(choices=[]).body, "it is not a chat completion: it has no message"),
    ],
)
def test_why_a_response_cannot_be_read_is_said(body: bytes, why: str) -> None:
    detail = classify_response(Response(200, body, None, 0.1), CANDIDATE, switched=False).detail
    assert detail is not None
    assert detail.startswith(f"the response cannot be read: {why}")


def test_an_answer_is_held_against_the_limit_of_its_request() -> None:
    """The request's own limit, or else the candidate's."""
    usage = {"prompt_tokens": 10, "completion_tokens": 21}
    assert classify_response(answered(usage=usage), CANDIDATE, switched=False, max_tokens=21).cause is None
    judged = classify_response(answered(usage=usage), CANDIDATE, switched=False, max_tokens=20)
    assert (judged.cause, judged.billed, judged.usage) == (Cause.usage, True, None)
    assert "an answer of 21 tokens where max_tokens allows 20" in (judged.detail or "")
    longer = {"prompt_tokens": 10, "completion_tokens": CANDIDATE.max_tokens + 1}
    assert classify_response(answered(usage=longer), CANDIDATE, switched=False).cause is Cause.usage
    longest = {"prompt_tokens": 10, "completion_tokens": CANDIDATE.max_tokens}
    assert classify_response(answered(usage=longest), CANDIDATE, switched=False).cause is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 90_000_000, "completion_tokens": 5, "total_tokens": 90_000_005},
        {
            "prompt_tokens": 2000,
            "completion_tokens": 5,
            "total_tokens": 90_002_005,
            "completion_tokens_details": {"reasoning_tokens": 90_000_000},
        },
    ],
)
def test_more_tokens_than_fit_the_model_cannot_be_true(usage: Any) -> None:
    judged = classify_response(answered(usage=usage), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.billed, judged.usage) == (Cause.usage, False, True, None)
    full = CANDIDATE.context_window
    exact = {"prompt_tokens": full - 2, "completion_tokens": 2, "total_tokens": full}
    assert classify_response(answered(usage=exact), CANDIDATE, switched=False).cause is None


@pytest.mark.parametrize("cost", ["1e-120000000", "1e-999999999", "0." + "1" * 100_000, "NaN", -1])
def test_a_reported_cost_that_is_no_plausible_amount_is_none(cost: Any) -> None:
    judged = classify_response(answered(usage={**USAGE, "cost": cost}), CANDIDATE, switched=False)
    assert (judged.cause, judged.reported_cost_usd) == (None, None)
    assert classify_response(answered(usage={**USAGE, "cost": "0.00012"}), CANDIDATE, switched=False).reported_cost_usd


@pytest.mark.parametrize("finish", ["length", "content_filter", None, 7, "tool_calls"])
def test_an_answer_that_was_cut_short_by_its_own_limit_is_one(finish: Any) -> None:
    choice = {"message": {"content": ""}, "finish_reason": finish}
    judged = classify_response(answered(choices=[choice]), CANDIDATE, switched=False)
    assert judged.cause is None
    assert judged.finish_reason == (finish if isinstance(finish, str) else None)


def test_names_that_the_pool_lists_are_the_same_model() -> None:
    dated = CANDIDATE.model_copy(update={"served_as": (CANDIDATE.model, "deepseek-v3.2-2026")})
    assert classify_response(answered(model="deepseek-v3.2-2026"), dated, switched=False).cause is None
    judged = classify_response(answered(model="deepseek-v3.2-2026"), CANDIDATE, switched=False)
    assert (judged.cause, judged.retry, judged.usage is not None) == (Cause.model, False, True)
    assert judged.served_model == "deepseek-v3.2-2026"


@pytest.mark.parametrize("billed", [False, True])
def test_no_response_is_billed_where_it_may_have_been(billed: bool) -> None:
    judged = classify_response(TransportError("cut", may_be_billed=billed, latency_s=1), CANDIDATE, switched=True)
    assert (judged.cause, judged.retry, judged.billed, judged.usage) == (Cause.transport, True, billed, None)


@pytest.mark.parametrize("kind", [["context_length_exceeded"], {"context_length_exceeded": 1}, None, 400])
def test_only_the_name_of_an_error_says_that_a_prompt_is_too_long(kind: Any) -> None:
    body = json.dumps({"error": {"message": "context_length_exceeded", "code": kind, "type": kind}}).encode()
    assert classify_response(Response(400, body, None, 0.1), CANDIDATE, switched=False).cause is Cause.request


def test_an_error_beside_choices_is_no_error() -> None:
    assert classify_response(answered(error={"message": "a warning"}), CANDIDATE, switched=False).cause is None


def test_a_long_error_text_is_shortened() -> None:
    body = json.dumps({"error": {"message": "x" * 10_000}}).encode()
    detail = classify_response(Response(400, body, None, 0.1), CANDIDATE, switched=False).detail
    assert detail is not None
    assert len(detail) < 400
