"""Strict isolation and a router that asks an LLM itself: the question crosses the pipe, and needs no network."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.replies import Counts, Message
from tests.plugins.hosting import limits
from tests.scripted.server import ScriptedServer
from tests.twinbench.calls import TIERS, a_call
from twinbench.calls.budget import Budget
from twinbench.calls.metered import MeteredLlm
from twinbench.containers.engine import Engine
from twinbench.containers.strict import StrictIsolation
from twinbench.plugins.loading import load_router
from twinbench.providers.gateway import Gateway
from twinbench.routing.own_calls import Deciding
from twinbench.storage.manifest_files import live_manifest

ASKS = """
from twinbench import Decision, LlmError

class R:
    def use(self, llm):
        self.llm = llm

    def route(self, call):
        try:
            reply = self.llm.ask(call.messages, candidate="high", max_tokens=9)
        except LlmError as error:
            return Decision("low", rationale=str(error))
        return Decision(reply.text, rationale=reply.candidate)
"""
LIMIT_S = 3.0


def test_it_asks_without_a_network_and_the_answer_is_not_in_its_limit(
    engine: Engine, base_image: str, tmp_path: Path
) -> None:
    folder = tmp_path / "routers"
    folder.mkdir(mode=0o755)
    (folder / "asking.py").write_text(ASKS, "utf-8")
    (folder / "asking.py").chmod(0o644)
    strict = limits(decision_s=LIMIT_S, isolation=StrictIsolation(engine, base_image))
    slow = Message("mid", usage=Counts(prompt=100, output=1), after_s=1.2 * LIMIT_S)
    with ScriptedServer(lambda _: slow) as server, Gateway(server.api_base, None) as gateway:
        llm = MeteredLlm(live_manifest(), gateway, Budget(Decimal(1)))
        with load_router(f"{folder / 'asking.py'}:R", strict).opened(TIERS, llm) as router:
            with llm.deciding(Deciding("s", 1)) as deciding:
                decision: Any = router.route(a_call())
            outside: Any = router.route(a_call(session="another"))
    assert (decision.candidate, decision.rationale) == ("mid", "anthropic/claude-opus-4.6")
    assert (outside.candidate, "inside route() only" in outside.rationale) == ("low", True)
    assert deciding.spent_usd > 0
    assert len(server.completions) == 1
