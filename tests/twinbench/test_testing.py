"""What router authors test with."""

from __future__ import annotations

import pytest

from twinbench.routing.llm import Llm, LlmError
from twinbench.routing.router import Call
from twinbench.routing.tiers import Tier
from twinbench.testing import ScriptedLlm, make_call

QUESTION = [{"role": "user", "content": "Is that hard?"}]


class Asks:
    """Asks, and goes high where nobody answers."""

    def use(self, llm: Llm) -> None:
        self.llm = llm

    def route(self, call: Call) -> str:
        try:
            return self.llm.ask(QUESTION, candidate=Tier.MID, max_tokens=4).text
        except LlmError:
            return "high"


def test_a_router_that_asks_is_tested_without_a_gateway() -> None:
    router, llm = Asks(), ScriptedLlm("low", LlmError("out of money"))
    router.use(llm)
    call = make_call(QUESTION)
    assert [router.route(call), router.route(call)] == ["low", "high"]
    assert [(each.candidate, each.max_tokens, each.messages) for each in llm.questions] == [
        ("mid", 4, tuple(QUESTION))
    ] * 2
    with pytest.raises(AssertionError, match="the test prepared 2 answers, but this is question 3"):
        router.route(call)


def test_what_a_real_handle_refuses_is_refused() -> None:
    llm = ScriptedLlm("low")
    with pytest.raises(LlmError, match="messages must be a non-empty list"):
        llm.ask([])
    with pytest.raises(LlmError, match="temperature must be"):
        llm.ask(QUESTION, temperature=3)
    assert llm.questions == []
    reply = llm.ask(QUESTION)
    assert (reply.text, reply.candidate, reply.cost_usd) == ("low", "low", 0)
