"""Routers published for the TwinRouterBench repository run unchanged, and see no label."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from static_track.banks.bank import Bank
from static_track.predict import predict
from tests.banks import a_trajectory, import_rows
from tests.plugins.hosting import asked, decided, hosted
from tests.twinbench.calls import TIERS, a_call
from twinbench.errors import UsageError
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.published import read_arguments
from twinbench.routing.router import Limits
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import live_models, static_manifest
from twinbench.storage.store import Store


@pytest.fixture(autouse=True)
def _beside_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are found in the folder that twinbench is called in."""
    monkeypatch.chdir(Path(__file__).parent)


ANSWERS = [
    ("Live", "low"),
    ("Live?prefer=2", "mid_high"),
    ("Live.best", "high"),
    ("by_name", "high"),
    ("Static", "mid_high"),
    ("function", "mid_high"),
    ("function?level=1", "mid"),
    ("predictors_are_a_module", "mid"),
    ("Unknown", "error: route raised ValueError: select chose the model 'gpt-17'; the models are "),
    ("Odd?what=five", "error: route raised ValueError: predict answered 5, not a tier id from 0 to 3"),
    ("Odd?what=text", "error: route raised ValueError: predict answered 'high', not a tier id from 0 to 3"),
    ("Odd?what=true", "error: route raised ValueError: predict answered True, not a tier id from 0 to 3"),
    ("Odd?what=minus", "error: route raised ValueError: predict answered -1, not a tier id from 0 to 3"),
    ("Odd?what=none", "error: route raised ValueError: predict answered None, not a tier id from 0 to 3"),
]


@pytest.mark.parametrize(("spec", "wanted"), ANSWERS)
def test_both_kinds_answer(spec: str, wanted: str) -> None:
    with hosted(f"trb:published:{spec}") as router:
        found = asked(router)
        assert found.startswith(wanted) if wanted.startswith("error") else found == wanted


def test_a_live_router_is_shown_a_context_without_labels() -> None:
    call = a_call(
        read={TIERS[2].id: 70}, session="s1", step_index=4, spent_usd=0.25, limits=Limits(steps=30, cost_usd=1.5)
    )
    with hosted("trb:published:Live") as router:
        shown = ast.literal_eval(router.route(call).rationale or "")
    models = live_models()
    assert shown.pop("models") == tuple(models[tier] for tier in Tier)
    assert shown == {
        "instance_id": "s1",
        "step_index": 3,
        "messages": 1,
        "warm": {models[Tier.MID_HIGH]: 70},
        "ttl": 300,
        "spent": 0.25,
        "limits": (30, 1.5),
        "fields": [
            *("available_models", "budget_so_far_usd", "cache_state", "instance_id", "messages", "run_config"),
            *("step_index", "tools"),
        ],
    }


@pytest.mark.parametrize("name", ["Live", "Static", "function"])
def test_a_bank_is_scored(name: str, store: Store) -> None:
    import_rows(a_trajectory([0, 1, 2]), store)
    with Bank.open("bank", store) as bank, hosted(f"trb:published:{name}") as router:
        found = predict(router, bank, static_manifest())
    assert not found.errors
    assert len(found.tier_ids) == 3


def test_its_ids_are_the_key_of_the_session() -> None:
    with hosted("trb:published:Static") as router:
        assert decided(router, a_call(session="opaque", step_index=2)) == "mid_high"


def test_what_cannot_be_used_says_why() -> None:
    with (
        pytest.raises(RouterLoadError, match="asks an LLM through OpenAICompatRouterClassifier"),
        hosted("trb:published:Asks"),
    ):
        pass
    with (
        pytest.raises(UsageError, match=r"it has neither select\(ctx\) nor predict\(row\)"),
        hosted("trb:published:Neither"),
    ):
        pass
    with pytest.raises(UsageError, match="no module 'no_such_thing'"), hosted("trb:no_such_thing:x"):
        pass


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ("Late", r"select answered something to be awaited, .* write def select\(self, ctx\)"),
        ("Text", "select answered 'gpt-4o', not a RouterDecision"),
        ("Unknown", r"select chose the model \['a'\]; the models are "),
    ],
)
def test_an_answer_that_is_no_decision_is_shown(router: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("wrong")
    with hosted(f"trb:published_ways:{router}") as opened:
        assert re.search(said, asked(opened))


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ("Needs", "it needs the argument 'path': add"),
        ("Text?k=1", "it takes no argument 'k'; its arguments: none"),
        ("decides", r"decides\(ctx\) decides itself: .* return FunctionRouter\('decides', decides\)"),
        ("Ours", "leave out trb: before its name"),
    ],
)
def test_what_is_wrong_about_its_name_is_refused_as_of_any_router(
    router: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("wrong")
    with pytest.raises(UsageError, match=said), hosted(f"trb:published_ways:{router}"):
        pass


def test_a_text_that_is_too_long_for_a_path_stays_a_text(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("", "utf-8")
    texts = {"prompt": "Be brief. " * 40, "rules": "rules.txt"}
    assert read_arguments(dict, texts, tmp_path, "") == {**texts, "rules": str(tmp_path / "rules.txt")}
