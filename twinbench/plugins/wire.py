"""What crosses the pipe between twinbench and a router's own process.

Frames are a length and a JSON document. A conversation crosses once: each call says how many messages of the session's
last one it keeps, and which follow. Standard library only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import IO, Any

from twinbench.router import CacheView, CacheViews, Call, Candidate, Limits, Outcome
from twinbench.tiers import Tier
from twinbench.usage import Prices, Usage

MOST_ANSWER_BYTES = 2**20
"""An answer is a name, a number and a sentence; a longer one is refused."""

_LENGTH = struct.Struct(">I")

# Bound before any plugin runs: one that patches the json module changes its own copy (see host.py).
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode


class FrameError(Exception):
    """What came through the pipe is no frame, or too large."""


def write_frame(pipe: IO[bytes], content: Any) -> None:
    """Send one document."""
    encoded = _encode(content).encode("utf-8", "surrogatepass")
    pipe.write(_LENGTH.pack(len(encoded)) + encoded)
    pipe.flush()


def read_frame(pipe: IO[bytes], most_bytes: int | None = None) -> Any:
    """Receive one document.

    Raises:
        EOFError: the other side is gone.
        FrameError: more than ``most_bytes``, or no JSON.
    """
    head = _read_exactly(pipe, _LENGTH.size)
    (length,) = _LENGTH.unpack(head)
    if most_bytes is not None and length > most_bytes:
        raise FrameError(f"an answer of {length:,} bytes; at most {most_bytes:,} are taken")
    body = _read_exactly(pipe, length)
    try:
        return _decode(body.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"an answer that is no JSON ({error})") from None


def _read_exactly(pipe: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = pipe.read(size - len(data))
        if not part:
            raise EOFError
        data = part if not data else data + part
    return data


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as a router outside this process gets it; prices are USD per million tokens."""
    return {
        "id": candidate.id,
        "model": candidate.model,
        "tier": candidate.tier.label,
        "prices": {name: str(price) for name, price in asdict(candidate.prices).items()},
        "tier_default": candidate.tier_default,
        "writes_cache": candidate.writes_cache,
        "context_window": candidate.context_window,
        "max_tokens": candidate.max_tokens,
        "parameters": dict(candidate.parameters),
    }


def candidate_from_json(content: Mapping[str, Any]) -> Candidate:
    """The candidate that ``candidate_to_json`` wrote."""
    prices = Prices(**{name: Decimal(price) for name, price in content["prices"].items()})
    return Candidate(**{**content, "tier": Tier.from_label(content["tier"]), "prices": prices})


def call_head(call: Call) -> dict[str, Any]:
    """All of a call but its messages, tools and candidates; lists follow the order of the candidates."""
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
    """The call that a head and its parts describe."""
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
    """An outcome, its candidate by id."""
    return {
        "session": outcome.session,
        "step_index": outcome.step_index,
        "candidate": outcome.candidate.id,
        "usage": asdict(outcome.usage),
        "cost_usd": outcome.cost_usd,
        "text": outcome.text,
        "cause": outcome.cause,
    }


def outcome_from_json(content: Mapping[str, Any], candidates: Sequence[Candidate]) -> Outcome:
    """The outcome that ``outcome_to_json`` wrote."""
    by_id = {candidate.id: candidate for candidate in candidates}
    return Outcome(**{**content, "candidate": by_id[content["candidate"]], "usage": Usage(**content["usage"])})


def call_to_json(call: Call) -> dict[str, Any]:
    """A whole call, as a decision endpoint gets it (docs/routers.md, "Endpoints")."""
    return {
        "session": call.session,
        "step_index": call.step_index,
        "messages": list(call.messages),
        "tools": list(call.tools),
        "candidates": [
            {
                **candidate_to_json(candidate),
                "prices": {name: float(price) for name, price in asdict(candidate.prices).items()},
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
