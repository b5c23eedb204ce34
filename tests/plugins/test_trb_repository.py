"""Routers named as the TwinRouterBench repository names them, from a checkout of it and from an installed package."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tests.plugins.hosting import asked, hosted
from tests.twinbench.calls import a_call
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import live_models

# A repository of the same layout and names, whose code is ours.
REPOSITORY = {
    "main/__init__.py": "from main.dataset import LABELS\n",
    "main/tiers.py": "raise RuntimeError('a stand-in comes first')\n",
    "main/dataset.py": "LABELS = ('data', 'static')\n",
    "swerouter/__init__.py": "",
    "swerouter/router.py": "raise RuntimeError('a stand-in comes first')\n",
    "swerouter/pricing.py": "from main.dataset import LABELS\nDEAREST = len(LABELS) - 3\n",
    "swerouter/routers/__init__.py": "from swerouter.routers.always_model import AlwaysModelRouter\n",
    "swerouter/routers/always_model.py": """
from dataclasses import dataclass

from main.tiers import PUBLIC_TIERS, TIER_HIGH
from swerouter.pricing import DEAREST
from swerouter.router import RouterContext, RouterDecision


@dataclass
class AlwaysModelRouter:
    model_id: str
    label: str

    def select(self, ctx: RouterContext) -> RouterDecision:
        assert self.model_id in ctx.available_models
        assert PUBLIC_TIERS[DEAREST] == TIER_HIGH
        return RouterDecision(model_id=self.model_id, rationale=self.label)


@dataclass
class Mapped:
    path: str
    label: str = "mapped"

    def select(self, ctx: RouterContext) -> RouterDecision:
        with open(self.path) as file:
            return RouterDecision(file.read().strip())
""",
}
ALWAYS = "trb:swerouter.routers.always_model:AlwaysModelRouter"
HIGH = live_models()[Tier.HIGH]


def write_repository(folder: Path) -> Path:
    for name, text in REPOSITORY.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_a_checkout_runs_as_it_names_its_routers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_repository(tmp_path))
    Path("map.txt").write_text(HIGH, "utf-8")
    with hosted(f"{ALWAYS}?model_id={HIGH}") as router:
        decision = router.route(a_call())
        assert (decision.candidate, decision.rationale) == ("high", "AlwaysModelRouter")
    with hosted("trb:swerouter.routers.always_model:Mapped?path=map.txt") as router:
        assert asked(router) == "high"
    with (
        pytest.raises(UsageError, match=r"no module 'swerouter\.routers\.nothing' here"),
        hosted("trb:swerouter.routers.nothing:X"),
    ):
        pass
    with (
        pytest.raises(UsageError, match="has no class 'Never'; it has AlwaysModelRouter, Mapped"),
        hosted("trb:swerouter.routers.always_model:Never"),
    ):
        pass


def test_an_installed_package_runs_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = write_repository(tmp_path / "site")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.syspath_prepend(str(installed))  # where its files are looked for, for the fingerprint
    with hosted(f"{ALWAYS}?model_id={HIGH}") as router:
        assert asked(router) == "high"


def test_a_package_of_the_same_name_is_not_taken_for_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "mine.py").write_text(
        "from main.eval import FunctionPredictor\n\ndef make():\n    return FunctionPredictor(lambda row: 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    with hosted("trb:mine:make") as router:
        assert asked(router) == "mid_high"


FOUND = [
    ("pub1:make", "mid_high"),
    ("pub3:make", "low"),
    ("pub4:make", "mid"),
    ("pub5:make", "low"),
    ("pub6:make", "high"),
    ("pub7:make", "high"),
    ("pub8:R", "high"),
    ("pub9:make", "error: route raised TypeError: the predictor's function answered 1.7: a tier id, an integer"),
]


@pytest.mark.parametrize(("spec", "answer"), FOUND)
def test_code_as_authors_write_it_works(
    spec: str, answer: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shared / "found" / "trb" / f"{spec.partition(':')[0]}.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    with hosted(f"trb:{spec}") as router:
        assert asked(router, tools=({"type": "function", "function": {"name": "bash"}},)).startswith(answer)


def test_tokens_are_those_that_were_counted_and_texts_those_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "telling.py").write_text(
        """
from main import question_bank_messages_to_classifier_prompt as prompt
from main.router_llm import parse_tier_response_to_id
from main.tiers import public_tier_from_cn, public_tier_from_id
from main.tokenizer import count_messages_tokens, count_text_tokens, is_semantic_prefix, split_prompt_tokens_for_step
from swerouter.router import RouterDecision


class Telling:
    def select(self, ctx):
        messages = list(ctx.messages)
        split = split_prompt_tokens_for_step(
            prev_tier="mid", curr_tier="mid", msgs_prev=messages[:1], msgs_curr=messages
        )
        return RouterDecision(
            ctx.available_models[0],
            rationale=repr(
                {
                    "tokens": [count_messages_tokens(messages, tier) for tier in ("low", "high")],
                    "half": count_messages_tokens(messages[:1], "low"),
                    "text": count_text_tokens("x" * 100, "low"),
                    "split": split,
                    "prefix": [is_semantic_prefix(messages[:1], messages), is_semantic_prefix(messages[1:], messages)],
                    "prompt": prompt(messages, [{"name": "f"}]),
                    "tiers": [public_tier_from_cn("高"), public_tier_from_id(2), parse_tier_response_to_id(" 3 ")],
                    "cold": ctx.cache_state.by_model[ctx.available_models[0]].prefix_token_count,
                }
            ),
        )
"""
    )
    monkeypatch.chdir(tmp_path)
    messages = (
        {"role": "user", "content": "x" * 400},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "y" * 393},
    )
    with hosted("trb:telling:Telling") as router:
        call = a_call(messages=messages, tokens={"low": 214, "mid": 300, "mid_high": 300, "high": 414})
        told = ast.literal_eval(router.route(call).rationale or "")
    assert told["tokens"] == [214, 414]
    assert told["half"] == 100 + 4 + 2  # four characters a token, in a conversation of 797 characters
    assert told["text"] == 25
    assert sum(told["split"]) == 300
    assert told["prefix"] == [True, False]
    assert told["prompt"] == (
        '### available_tools\n[\n  {\n    "name": "f"\n  }\n]\n\n'
        f"### user\n{'x' * 400}\n\n"
        '### assistant\n\n[tool_calls JSON]\n[{"function": {"name": "f", "arguments": "{}"}}]\n\n'
        f"### user\n[tool result tool_call_id=1]\n{'y' * 393}"
    )
    assert told["tiers"] == ["high", "mid_high", 3]
    assert told["cold"] == 0
