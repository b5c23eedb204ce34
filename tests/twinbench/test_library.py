"""Results as a library gives them: data frames of whatever is installed, tables in a notebook, the same numbers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinbench as tb
from tests.banks import a_trajectory, import_rows
from tests.outcomes.tables import SHIPPED
from twinbench.display.frames import FRAME_KINDS, make_data_frame
from twinbench.errors import UsageError
from twinbench.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
ANY: Any = tb
"""The library, for calls that no type checker would let through."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [
        row
        for number in range(8)
        for row in a_trajectory([number % 4, 0, 3][: 1 + number % 3], instance=f"<i>{number}</i>")
    ]
    import_rows(rows, Store(tmp_path))
    return tmp_path


class Always:
    """A router of an author's own, which has a score."""

    def __init__(self, tier: str = "low") -> None:
        self.tier = tier

    def route(self, call: tb.Call) -> tb.Decision:
        return tb.Decision(self.tier, score=call.step_index / 10)


class Later:
    async def route(self, call: tb.Call) -> str:
        return "low"


async def later(call: tb.Call) -> str:
    return "low"


def by_step(call: tb.Call) -> tb.Decision:
    return tb.Decision("low", score=call.step_index / 10)


@pytest.mark.slow
def test_a_function_is_a_router_in_every_function_of_the_library(store: Path) -> None:
    board = tb.score([Always(), by_step], "bank", store=store, resampling=None)
    function, instance = (
        next(entry for entry in board.entries if entry.router == name)
        for name in ("function:by_step", "instance:Always")
    )
    assert function.score.scores == instance.score.scores
    assert tb.explain(by_step, "bank", store=store).router == "function:by_step"
    curves = tb.curve([Always(), by_step, "depth-rule"], "bank", store=store, points=3, plugins=tb.PluginLimits())
    assert [each.router for each in curves] == ["instance:Always", "function:by_step", "depth-rule"]
    assert (
        curves[0].cost_and_quality
        == curves[1].cost_and_quality
        == tb.curve(by_step, "bank", store=store, points=3).cost_and_quality
    )


@pytest.mark.slow
def test_a_board_is_shown_on_one_screen(store: Path) -> None:
    def fails(call: tb.Call) -> str:
        raise ValueError("x" * 10_000)

    shown = repr(tb.score([fails, *[Always("l" * 200)] * 30], "bank", store=store, resampling=None)).splitlines()
    assert len(shown) < 40
    assert max(map(len, shown)) <= 400
    assert any(line.startswith("function:fails") for line in shown)
    assert any("rows failed, the first: route raised ValueError" in line for line in shown)


@pytest.mark.slow
def test_a_score_is_a_data_frame_with_all_digits(store: Path) -> None:
    board = tb.score(["depth-rule"], "bank", store=store)
    df = board.df("pandas")
    assert next(iter(df["router"])) == "depth-rule"
    assert df["combined"][0] == board.entries[0].score.scores["combined"]
    assert df.shape == board.df("pyarrow").shape
    assert {"combined_low", "combined_high", "rank_best", "latency_p95_ms"} <= set(df.columns)
    assert board.to_json()["routers"][0]["router"] == "depth-rule"


@pytest.mark.slow
def test_every_result_is_a_frame_and_a_table_in_which_text_is_text(store: Path) -> None:
    results: list[Any] = [
        tb.score(["sticky"], "bank", store=store),
        tb.compare(["sticky", "always-low"], "bank", store=store),
        tb.explain("always-low", "bank", store=store),
        tb.difference("always-low", "always-high", "bank", store=store),
        tb.curve("depth-rule", "bank", store=store),
    ]
    for result in results:
        assert len(result.df()) == len(result.records()) > 0
        shown = result._repr_html_()
        assert shown.startswith("<table>")
        assert "<i>" not in shown
    assert "&lt;i&gt;" in results[2]._repr_html_()


def test_a_bank_is_a_frame_without_its_messages(store: Path) -> None:
    with tb.open_bank("bank", store=store) as bank:
        assert isinstance(bank, tb.Bank)
        df = bank.df()
    assert list(df["target"])[:2] == ["low", "mid"]
    assert (df["prompt_tokens_high"] > 0).all()


def test_what_is_installed_decides_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": None}, {"a": 2, "c": "x"}]
    assert make_data_frame(rows, "pyarrow").column_names == ["a", "b", "c"]
    assert list(make_data_frame(rows).columns) == ["a", "b", "c"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    assert make_data_frame(rows).num_rows == 2
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        make_data_frame(rows)
    with pytest.raises(UsageError, match="pip install polars"):
        make_data_frame(rows, "polars")
    with pytest.raises(UsageError, match=", ".join(FRAME_KINDS)):
        make_data_frame(rows, "excel")


@pytest.mark.slow
def test_prices_that_might_be_are_another_protocol(store: Path, tmp_path: Path) -> None:
    from tests.cli.commands import twinbench
    from twinbench.storage.resources import pools_dir

    dear = tmp_path / "what-if.toml"
    text = (pools_dir() / "static-2026-04.toml").read_text("utf-8")
    dear.write_text(
        text.replace('name = "static-2026-04"', 'name = "what-if"').replace("output = 25.0", "output = 5.0")
    )
    words = ("static", "score", "depth-rule", "--bank", "bank", "--store", store, "--json")
    was = twinbench(*words).succeeded().json
    now = twinbench(*words, "--prices", dear).succeeded().json
    assert was["protocol"] != now["protocol"]
    one, other = (each["routers"][0]["scores"] for each in (was, now))
    assert one["row_pass"] == other["row_pass"]
    assert one["cost_save"] != other["cost_save"]
    assert twinbench(*words, "--prices", "live-2026-04").code == 2


@pytest.mark.slow
def test_a_price_list_that_was_edited_meanwhile_is_read_again(store: Path, tmp_path: Path) -> None:
    shipped = (ROOT / "pools" / "static-2026-04.toml").read_text("utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(shipped, "utf-8")
    before = tb.score("depth-rule?mid=2&high=3", "bank", prices=str(mine), resampling=None, store=store)
    mine.write_text(shipped.replace("ttl_steps = 3", "ttl_steps = 0"), "utf-8")
    after = tb.score("depth-rule?mid=2&high=3", "bank", prices=str(mine), resampling=None, store=store)
    assert before.protocol != after.protocol
    assert before.entries[0].score.scores["cost_save"] != after.entries[0].score.scores["cost_save"]
    mine.unlink()
    with pytest.raises(UsageError, match="no pool manifest"):
        tb.score("depth-rule", "bank", prices=str(mine), store=store)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ANY.score(None), "no router: None has no method route"),
        (lambda: ANY.score(b"sticky"), "no router: b'sticky' has no method route"),
        (lambda: ANY.score(Always), "Always'> is a class: give an object of it, such as Always()"),
        (lambda: ANY.curve(Always), "is a class"),
        (lambda: ANY.score(object()), " has no method route(call)"),
        (lambda: ANY.score(Later()), " is async def, and nothing is awaited: write def route(self, call)"),
        (lambda: ANY.score(later), "nothing is awaited: write def later(call)"),
        (lambda: ANY.score(lambda: "low"), "has the wrong signature (): it is called with one argument, the call"),
        (lambda: ANY.score("sticky", resampling=100), "give a twinbench.Resampling or None"),
        (lambda: ANY.compare(["sticky", "depth-rule"], resampling=None), "give a twinbench.Resampling"),
        (lambda: ANY.curve("depth-rule", weak="lowest"), "unknown tier 'lowest'"),
        (lambda: ANY.curve("depth-rule", points=0), "points is 0"),
        (lambda: ANY.explain("sticky", limit=-1), "limit is -1"),
        (lambda: ANY.score_many([1]), "must be a mapping from names to sets of predictions"),
        (lambda: ANY.score_many({"a": 3}), "is neither a list of tier ids"),
        (lambda: ANY.score_many({"a": np.array(3)}), "is not a list of tier ids"),
        (lambda: ANY.rehearse("always-low", seeds="12"), "seeds is '12'"),
        (lambda: ANY.rehearse("always-low", seeds=[1, 1]), "distinct integers"),
        (lambda: ANY.rehearse("always-low", seeds=0), "seeds is 0"),
        (lambda: ANY.rehearse("always-low", workers=0), "workers is 0"),
        (lambda: ANY.rehearse("always-low", resampling=5), "resampling is 5"),
        (lambda: ANY.rehearse([object()]), "is not a router"),
        (lambda: ANY.grade({"a": None}), "the patch of 'a' is NoneType"),
        (lambda: ANY.grade({}, workers=-1), "workers is -1"),
        (lambda: ANY.audit("nowhere", head="x"), "head is 'x'"),
        (lambda: ANY.headroom(None, {}), "table of outcomes name None: use letters"),
        (lambda: ANY.headroom("t", None), "tiers is None: give a dict of texts"),
        (lambda: ANY.headroom("t", {"low": 1}), "tiers is {'low': 1}: give a dict of texts"),
        (lambda: ANY.headroom(SHIPPED, {}, penalty_usd="1"), "penalty_usd is '1': give a number"),
        (lambda: ANY.headroom("t", {}, sensitivity="1"), "sensitivity is '1': give a number"),
        (lambda: ANY.outcomes_power("t", tasks=-1), "tasks is -1: give an integer of at least 1"),
        (lambda: ANY.outcomes_power(SHIPPED, pilot=1.5), "pilot is 1.5"),
        (lambda: ANY.outcomes_power("t", same=["a"]), "same is ['a']: give a dict of texts"),
        (lambda: ANY.outcomes_power(SHIPPED, text={1: "x"}), "text is {1: 'x'}"),
        (lambda: ANY.import_outcomes("t.csv", "t", columns={"modle": "m"}), "columns names 'modle': there are model, "),
        (lambda: ANY.import_outcomes("t.csv", None), "table of outcomes name None"),
        (lambda: ANY.import_outcomes(None, "t"), "name at least one file of outcomes"),
        (lambda: ANY.run("always-low", run="r", api_base=None), "api_base: "),
        (lambda: ANY.run("always-low", run="r", api_base="http://x/v1", trials="x"), "trials: "),
        (lambda: ANY.run("always-low", run="r", api_base="http://x/v1", nosuch=1), "nosuch: "),
    ],
)
def test_arguments_that_are_none_are_refused_in_words(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        call()
