"""Refusals in the shapes that providers use: what is kept of them, what they cost and whether asking again helps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twinbench.calls.exchange import Response
from twinbench.calls.response_classification import AttemptResult, classify_response
from twinbench.causes import Cause
from twinbench.storage.manifest_files import live_manifest

CANDIDATE = live_manifest().candidates[0]


def refused(status: int, body: Any, *, switched: bool = False) -> AttemptResult:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_response(Response(status, raw, None, 0.1), CANDIDATE, switched=switched)


SHAPES: dict[str, Any] = {
    "OpenAI": {"error": {"message": "it says so", "type": "server_error", "param": None, "code": None}},
    "a text": {"error": "it says so"},
    "FastAPI": {"detail": "it says so"},
    "FastAPI, validation": {"detail": [{"loc": ["body"], "msg": "it says so", "type": "missing"}]},
    "Bedrock": {"message": "it says so"},
    "vLLM until 0.10": {"object": "error", "message": "it says so", "type": "BadRequestError", "param": None},
    "Anthropic": {"type": "error", "error": {"type": "api_error", "message": "it says so"}},
    "Gemini": [{"error": {"message": "it says so", "status": "UNKNOWN"}}],
    "several": {"errors": [{"message": "it says so"}]},
    "OpenRouter": {"error": {"message": "Provider returned error", "metadata": {"raw": "it says so"}}},
    "MiniMax": {"base_resp": {"status_code": 1000, "status_msg": "it says so"}, "choices": None},
    "an error within": {"error": {"error": {"message": "it says so"}}},
}


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 503])
@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_what_a_refusal_says_is_kept_in_every_shape(body: Any, status: int) -> None:
    judged = refused(status, body)
    assert judged.cause is not None
    assert judged.detail is not None
    assert "it says so" in judged.detail
    assert judged.usage is None


@pytest.mark.parametrize(
    "body", [b"<html>it says so</html>", b"it says so", b'{"reason": "it says so"}', b"\xffit says so"]
)
def test_what_has_no_known_shape_is_shown_as_it_is(body: bytes) -> None:
    assert "it says so" in str(refused(502, body).detail)


def test_a_long_refusal_is_shortened() -> None:
    for body in (
        {"error": {"message": "x" * 10_000}},
        {"errors": [{"message": f"{n}"} for n in range(10**4)]},
        "x" * 10**6,
    ):
        assert len(str(refused(400, body).detail)) < 400


CODES: dict[str, tuple[Any, Cause, bool, bool]] = {
    # the error of a response with status 200: cause, asked again, billed at the reservation
    "a number": ({"code": 429}, Cause.quota, True, False),
    "a number as a text": ({"code": "429"}, Cause.quota, True, False),
    "a name": ({"code": "rate_limit_exceeded"}, Cause.quota, True, False),
    "a type": ({"type": "authentication_error"}, Cause.access, False, False),
    "Google's status": ({"code": None, "status": "RESOURCE_EXHAUSTED"}, Cause.quota, True, False),
    "a bad request": ({"code": "400"}, Cause.request, False, False),
    "a model that is gone": ({"code": "model_not_found"}, Cause.model, False, False),
    "a failure behind the gateway": ({"code": 502}, Cause.transport, True, True),
    "the same as a text": ({"code": "502"}, Cause.transport, True, True),
    "overloaded": ({"type": "overloaded_error"}, Cause.transport, True, True),
    "nothing that is known": ({"code": "E_17"}, Cause.transport, True, False),
    "nothing": ({}, Cause.transport, True, False),
}


@pytest.mark.parametrize(("told", "cause", "retry", "billed"), CODES.values(), ids=CODES)
def test_an_error_with_status_200_counts_by_its_own_code(told: Any, cause: Cause, retry: bool, billed: bool) -> None:
    judged = refused(200, {"error": {"message": "no", **told}})
    assert (judged.cause, judged.retry, judged.billed) == (cause, retry, billed)


@pytest.mark.parametrize(
    "body", ["no", {"detail": "no"}, {"message": "no"}, {"object": "error", "message": "no"}, [{"error": "no"}]]
)
def test_what_was_refused_without_an_answer_is_not_settled_at_its_reservation(body: Any) -> None:
    judged = refused(200, {"error": body} if isinstance(body, str) else body)
    assert (judged.cause, judged.billed, judged.usage) == (Cause.transport, False, None)


def test_a_refusal_that_names_its_tokens_costs_them() -> None:
    body = {"error": {"code": 403}, "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}
    judged = refused(200, body)
    assert (judged.cause, judged.billed) == (Cause.access, True)
    assert judged.usage is not None
    assert judged.usage.input == 10


OVERFLOWS: dict[str, tuple[int, Any]] = {
    "OpenAI": (
        400,
        {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}},
    ),
    "vLLM until 0.10": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 32768 tokens. However, you requested 41648 tokens "
            "(37552 in the messages, 4096 in the completion). Please reduce the length of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "vLLM now": (
        400,
        {
            "error": {
                "message": "'max_tokens' or 'max_completion_tokens' is too large: 32768. This model's maximum context "
                "length is 40960 tokens and your request has 9000 input tokens (32768 > 40960 - 9000).",
                "type": "BadRequestError",
                "param": "max_tokens",
                "code": 400,
            }
        },
    ),
    "vLLM, the prompt alone": (
        400,
        {
            "error": {
                "message": "The decoder prompt (length 8825) is longer than the maximum model length of 8192. Make "
                "sure that `max_model_len` is no smaller than the number of text tokens.",
                "type": "BadRequestError",
                "code": 400,
            }
        },
    ),
    "Anthropic": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum"},
        },
    ),
    "Anthropic, with the answer": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "input length and `max_tokens` exceed context limit: 190000 + 32768 > 200000, decrease "
                "input length or `max_tokens` and try again",
            },
        },
    ),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200293) exceeds the maximum number of tokens allowed (9).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "message": "request (1864 tokens) exceeds the available context size (1024 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 1864,
                "n_ctx": 1024,
            }
        },
    ),
    "llama.cpp, older": (
        500,
        {
            "error": {
                "code": 500,
                "message": "the request exceeds the available context size. try increasing the context size or enable "
                "context shift",
                "type": "server_error",
            }
        },
    ),
    "Ollama": (
        400,
        {"error": {"message": "prompt too long; exceeded max context length by 1200 tokens", "type": "api_error"}},
    ),
    "Ollama's runner": (500, {"error": "the input length exceeds the context length"}),
    "OpenRouter, of another": (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": '{"error": {"message": "no", "code": "context_length_exceeded"}}'},
            }
        },
    ),
    "litellm's proxy": (
        400,
        {
            "error": {
                "message": "litellm.ContextWindowExceededError: litellm.BadRequestError: …",
                "type": None,
                "param": None,
                "code": "400",
            }
        },
    ),
    "with status 200": (200, {"error": {"message": "no", "code": "context_length_exceeded", "type": "400"}}),
}


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize(("status", "body"), OVERFLOWS.values(), ids=OVERFLOWS)
def test_a_prompt_that_does_not_fit_is_the_routers_choice(status: int, body: Any, switched: bool) -> None:
    judged = refused(status, body, switched=switched)
    assert (judged.cause, judged.retry, judged.billed) == (Cause.router, False, False)


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
        "Your text says: prompt is too long: 5",
        "Unsupported parameter: context length",
    ],
)
def test_what_only_resembles_an_overflow_is_none(message: str) -> None:
    assert refused(400, {"error": {"message": message}}).cause is Cause.request
    assert refused(401, {"error": {"message": "prompt is too long: 5 tokens"}}).cause is Cause.access


@pytest.mark.parametrize("body", [b"404 page not found", b"<html>Not Found</html>", b"", b'{"detail": "Not Found"}'])
def test_an_address_without_completions_is_no_missing_model(body: bytes) -> None:
    judged = refused(404, body)
    assert (judged.cause, judged.retry, judged.billed) == (Cause.request, False, False)
    assert "does --api-base end in /v1?" in str(judged.detail)
    assert refused(404, {"error": {"message": "The model `x` does not exist"}}).cause is Cause.model
    assert refused(404, {"detail": "model x is not loaded"}).cause is Cause.model


USED_UP: dict[str, tuple[int, Any]] = {
    "OpenAI": (
        429,
        {
            "error": {
                "message": "You exceeded your current quota",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            }
        },
    ),
    "Moonshot": (429, {"error": {"message": "no", "type": "exceeded_current_quota_error"}}),
    "Anthropic": (
        400,
        {
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            }
        },
    ),
    "DeepSeek": (
        402,
        {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}},
    ),
    "OpenRouter": (402, {"error": {"message": "Insufficient credits", "code": 402}}),
    "OpenRouter, free models": (429, {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
    "Gemini, of the day": (
        429,
        [
            {
                "error": {
                    "code": 429,
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}],
                }
            }
        ],
    ),
    "MiniMax": (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
}


@pytest.mark.parametrize(("status", "body"), USED_UP.values(), ids=USED_UP)
def test_a_quota_that_is_used_up_is_asked_once(status: int, body: Any) -> None:
    judged = refused(status, body)
    assert (judged.cause, judged.retry, judged.billed) == (Cause.quota, False, False)


def test_a_quota_of_the_minute_is_waited_for() -> None:
    body = [{"error": {"code": 429, "details": [{"violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]}]}}]
    assert refused(429, body).retry
