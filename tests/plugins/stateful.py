"""A router whose decisions depend on all that its session was told so far, in files, packages and endpoints alike."""

from __future__ import annotations

import hashlib

from twinbench import Call, Decision
from twinbench.routing.router import Outcome

LOW, MID, MID_HIGH, HIGH = range(4)


class Stateful:
    """Draws a tier from a running digest of its session."""

    def __init__(self, salt: int = 0) -> None:
        self._salt = salt
        self._digests: dict[str, str] = {}

    def start(self, session: str) -> None:
        self._digests[session] = f"{self._salt}"

    def route(self, call: Call) -> Decision:
        said = "".join(str(message.get("content")) for message in call.messages)
        text = f"{self._digests[call.session]}|{said}|{call.tools}|{call.spent_usd:.9f}|{call.mean_output_tokens}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._digests[call.session] = digest
        candidate = call.candidates[int(digest[:8], 16) % len(call.candidates)]
        return Decision(candidate, score=int(digest[8:12], 16) / 0xFFFF, rationale=digest[:12])

    def observe(self, outcome: Outcome) -> None:
        told = f"{outcome.step_index}|{outcome.candidate.id}|{outcome.cost_usd:.9f}|{outcome.text}"
        self._digests[outcome.session] += hashlib.sha256(told.encode()).hexdigest()

    def end(self, session: str) -> None:
        del self._digests[session]


class Stateless:
    """Decides by the conversation alone, as an endpoint that is told of nothing else can too."""

    def route(self, call: Call) -> str:
        said = "".join(str(message.get("content")) for message in call.messages)
        return ("low", "mid", "mid_high", "high")[hashlib.sha256(said.encode()).digest()[0] % 4]
