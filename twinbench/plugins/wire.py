"""The protocol between twinbench and a router's own process, over pipes.

A frame is a length and a document. A conversation is sent once: each call says how many messages of the session's
previous call it keeps, and which follow. Requests to the router's process are marshalled, which takes a tenth of the
time of JSON for a long conversation; answers are JSON, since nothing that comes from there is trusted (``answers.py``
checks it). Standard library only.
"""

from __future__ import annotations

import json
import marshal
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from twinbench.routing.llm import LlmError, Reply, candidate_name
from twinbench.routing.router import CacheView, CacheViews, Call, Candidate, Limits, Outcome
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Features, Trajectory
from twinbench.routing.usage import Prices, Usage

MOST_ANSWER_BYTES = 2**20
"""Largest size of an answer, which is a name, a number and a sentence."""

MOST_QUESTION_BYTES = 2**24
"""Largest size of an LLM question, which may contain a whole conversation."""

MOST_RATIONALE_CHARACTERS = 2**17

FRAME_LENGTH = struct.Struct(">I")
"""Header of a frame: the size of its content in bytes."""

_MOST_READ_BYTES = 2**20
"""Largest single read, so that no memory is allocated for an announced size that never arrives."""

_MARSHAL_VERSION = 2
"""A version that every Python 3 reads, since the router's interpreter may be older or newer than ours."""

# Bound before any plugin runs: one that patches these modules changes its own copy (see host.py) or just the names.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode
_dumps: Callable[[Any, int], bytes] = marshal.dumps
_loads: Callable[[bytes], Any] = marshal.loads

Reader = Callable[[int], bytes]
"""Reads at most the given number of bytes and at least one; empty at the end."""


class FrameError(Exception):
    """A request cannot be encoded as a frame."""


def encode_request(content: Mapping[str, Any]) -> bytes:
    """Encode a request to a router's process as a frame.

    Raises:
        FrameError: the content cannot be encoded.
    """
    try:
        try:
            encoded = _dumps(content, _MARSHAL_VERSION)
        except ValueError:  # for example a subclass of dict or str: convert it through JSON
            encoded = _dumps(_decode(_encode(content)), _MARSHAL_VERSION)
        return FRAME_LENGTH.pack(len(encoded)) + encoded
    except (ValueError, TypeError, RecursionError, struct.error) as error:
        raise FrameError(f"the conversation cannot be sent ({error})") from None


def read_request(read: Reader) -> dict[str, Any]:
    """Read the next request from twinbench.

    Raises:
        EOFError: twinbench has closed the pipe.
    """
    (length,) = FRAME_LENGTH.unpack(read_exactly(read, FRAME_LENGTH.size))
    request: dict[str, Any] = _loads(read_exactly(read, length))
    return request


def encode_answer(content: Mapping[str, Any]) -> bytes:
    """Encode an answer as a frame, or, under ``ask``, an LLM question before the answer."""
    encoded = _encode(content).encode("utf-8", "replace")  # UTF-8 cannot encode a lone surrogate
    return FRAME_LENGTH.pack(len(encoded)) + encoded


def read_exactly(read: Reader, size: int) -> bytes:
    """Read exactly ``size`` bytes.

    Raises:
        EOFError: the other side has closed the pipe.
    """
    if size == 0:
        return b""
    data = read(min(size, _MOST_READ_BYTES))
    if len(data) == size:
        return data
    found = bytearray(data)
    while data and len(found) < size:
        data = read(min(size - len(found), _MOST_READ_BYTES))
        found += data
    if len(found) < size:
        raise EOFError
    return bytes(found)


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    """Convert a candidate to JSON for a router outside this process; prices are USD per million tokens."""
    return {
        "id": candidate.id,
        "model": candidate.model,
        "tier": candidate.tier.label,
        "prices": {name: str(price) for name, price in _known_prices(candidate).items()},
        "tier_default": candidate.tier_default,
        "writes_cache": candidate.writes_cache,
        "context_window": candidate.context_window,
        "max_tokens": candidate.max_tokens,
        "parameters": dict(candidate.parameters),
    }


def _known_prices(candidate: Candidate) -> dict[str, Decimal]:
    """Return a candidate's prices by name, without those that it does not have."""
    return {name: price for name, price in asdict(candidate.prices).items() if price is not None}


def candidate_from_json(content: Mapping[str, Any]) -> Candidate:
    """Restore a candidate from the JSON of ``candidate_to_json``."""
    prices = Prices(**{name: Decimal(price) for name, price in content["prices"].items()})
    return Candidate(**{**content, "tier": Tier.from_label(content["tier"]), "prices": prices})


def call_head_to_json(call: Call) -> dict[str, Any]:
    """Return everything of a call except messages, tools and candidates; lists are in the order of the candidates."""
    views = [call.cache[candidate] for candidate in call.candidates]
    return {
        "session": call.session,
        "step_index": call.step_index,
        "read_tokens": [view.read_tokens for view in views],
        "exact": all(view.exact for view in views),
        "spent_usd": call.spent_usd,
        "limits": [call.limits.steps, call.limits.cost_usd],
        "counted_tokens": [call.counted_tokens[candidate.id] for candidate in call.candidates],
        "mean_output_tokens": call.mean_output_tokens,
    }


def call_from_head(
    head: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    candidates: tuple[Candidate, ...],
) -> Call:
    """Restore a call from its head, messages, tools and candidates."""
    ids = [candidate.id for candidate in candidates]
    exact = head["exact"]
    return Call(
        messages=messages,
        tools=tools,
        step_index=head["step_index"],
        session=head["session"],
        candidates=candidates,
        cache=CacheViews(
            {name: CacheView(tokens, exact) for name, tokens in zip(ids, head["read_tokens"], strict=True)}
        ),
        spent_usd=head["spent_usd"],
        limits=Limits(*head["limits"]),
        counted_tokens=dict(zip(ids, head["counted_tokens"], strict=True)),
        mean_output_tokens=head["mean_output_tokens"],
    )


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Convert an outcome to JSON, with its candidate by id."""
    return {
        "session": outcome.session,
        "step_index": outcome.step_index,
        "candidate": outcome.candidate.id,
        "usage": outcome.usage.to_json(),
        "cost_usd": outcome.cost_usd,
        "text": outcome.text,
        "cause": outcome.cause,
    }


def outcome_from_json(content: Mapping[str, Any], candidates: Sequence[Candidate]) -> Outcome:
    """Restore an outcome from the JSON of ``outcome_to_json``."""
    by_id = {candidate.id: candidate for candidate in candidates}
    return Outcome(**{**content, "candidate": by_id[content["candidate"]], "usage": Usage(**content["usage"])})


def question_to_json(messages: Any, candidate: object, max_tokens: object, temperature: object) -> dict[str, Any]:
    """Convert an LLM question to JSON, with its candidate by name; it is validated where it is answered."""
    return {
        "messages": messages,
        "candidate": candidate_name(candidate),
        "max_tokens": max_tokens,
        "temperature": temperature,
    }


def reply_to_json(reply: Reply) -> dict[str, Any]:
    """Convert the reply to an LLM question to JSON."""
    return {**asdict(reply), "usage": reply.usage.to_json()}


def reply_from_json(content: Mapping[str, Any]) -> Reply:
    """Restore a reply from the JSON of ``reply_to_json``.

    Raises:
        LlmError: the JSON contains an error instead of a reply.
    """
    if "error" in content:
        raise LlmError(content["error"])
    return Reply(content["text"], content["candidate"], Usage(**content["usage"]), content["cost_usd"])


def call_to_json(call: Call) -> dict[str, Any]:
    """Convert a whole call to JSON, as a decision endpoint gets it (docs/routers.md, "Endpoints")."""
    return {
        "session": call.session,
        "step_index": call.step_index,
        "messages": list(call.messages),
        "tools": list(call.tools),
        "candidates": [
            {
                **candidate_to_json(candidate),
                "prices": {name: float(price) for name, price in _known_prices(candidate).items()},
                "prompt_tokens": call.prompt_tokens(candidate),
                "cache": asdict(call.cache[candidate]),
                "cost_usd": call.cost(candidate),
                "fits": call.fits(candidate),
            }
            for candidate in call.candidates
        ],
        "spent_usd": call.spent_usd,
        "limits": asdict(call.limits),
        "mean_output_tokens": call.mean_output_tokens,
    }


def trajectory_to_json(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory that a router is trained on; what a call's conversation shares with the one before is sent once."""
    steps: list[dict[str, Any]] = []
    messages: Sequence[Mapping[str, Any]] = ()
    tools: Sequence[Mapping[str, Any]] | None = None
    for call in trajectory.calls:
        kept = shared_prefix(messages, call.messages)
        step: dict[str, Any] = {"head": call_head_to_json(call), "keep": kept, "append": list(call.messages[kept:])}
        if tools is None or (tools is not call.tools and tools != call.tools):
            step["tools"] = list(call.tools)
        messages, tools = call.messages, call.tools
        steps.append(step)
    return {
        "steps": steps,
        "targets": [tier.label for tier in trajectory.targets],
        "costs_usd": [{tier.label: usd for tier, usd in costs.items()} for costs in trajectory.costs_usd],
        "workload": trajectory.workload,
        "group": trajectory.group,
        "features": [[each.buckets, each.values, each.numbers, each.sentence] for each in trajectory.features],
    }


def trajectory_from_json(content: Mapping[str, Any], candidates: tuple[Candidate, ...]) -> Trajectory:
    """The trajectory that ``trajectory_to_json`` wrote."""
    calls: list[Call] = []
    messages: list[Any] = []
    tools: tuple[Any, ...] = ()
    for step in content["steps"]:
        messages = [*messages[: step["keep"]], *step["append"]]
        tools = tuple(step["tools"]) if "tools" in step else tools
        calls.append(call_from_head(step["head"], tuple(messages), tools, candidates))
    return Trajectory(
        calls=tuple(calls),
        targets=tuple(map(Tier.from_label, content["targets"])),
        costs_usd=tuple(
            {Tier.from_label(label): usd for label, usd in costs.items()} for costs in content["costs_usd"]
        ),
        workload=content["workload"],
        group=content["group"],
        features=tuple(Features(*each) for each in content["features"]),
    )


def shared_prefix(sent: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> int:
    """Return how many messages at the start are the same in both.

    The same when written down: ``True`` equals 1, and a dict one with its keys in another order, but a router can tell.
    """
    for position, (old, new) in enumerate(zip(sent, wanted, strict=False)):
        if old is not new and repr(old) != repr(new):
            return position
    return min(len(sent), len(wanted))
