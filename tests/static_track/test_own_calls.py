"""Routers that ask an LLM themselves, scored offline: what that costs stands beside the score and never in it."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from dynamic_track.rehearsal.replies import ABSENT, MessageReply, Reply, TokenCounts, server_error
from dynamic_track.rehearsal.server import ReceivedRequest
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import Ran, twinbench
from tests.examples import thinned
from tests.scripted.server import Script, ScriptedServer
from twinbench.storage.store import STORE_VARIABLE, Store

KEY = "sk-own-0123456789-must-never-show"
KEY_VARIABLE = "TWINBENCH_TEST_OWN_KEY"
USED = TokenCounts(prompt=1000, output=10)
EACH = Decimal("0.00025578")
"""1000 · 0.252 + 10 · 0.378, per million."""

ROWS = [
    *a_trajectory([0, 1, 3], instance="i-1"),
    *a_trajectory([0, 0], instance="i-2"),
    *a_trajectory([2, 1], workload="bfcl", instance="i-1"),
]

ASKS = """
    from twinbench import Call, Decision, LlmError

    class Asks:
        '''At some steps; else mid.'''
        def __init__(self, most: int = 99, catches: bool = False) -> None:
            self.most, self.catches = most, catches

        def use(self, llm) -> None:
            self.llm = llm

        def route(self, call: Call) -> Decision:
            if call.step_index > self.most:
                return Decision("mid")
            try:
                return Decision(self.llm.ask(call.messages, max_tokens=16).text)
            except LlmError as error:
                if self.catches:
                    return Decision("mid")
                raise

    class Says(Asks):
        '''The same decisions for nothing.'''
        def route(self, call: Call) -> Decision:
            return Decision("mid" if call.step_index > self.most else "mid_high")
"""


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the bank and the scores of its references, which take the longest."""
    store = Store(tmp_path_factory.mktemp("kept") / "store")
    import_rows(ROWS, store, "mine")
    twinbench("static", "score", "--bank", "mine", "--store", store.root).succeeded()
    return store


@pytest.fixture
def routers(tmp_path: Path, store: Store, _kept: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """The spec of routers in a file, up to the colon; there is a bank, and a key."""
    shutil.copytree(_kept.root, store.root)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    (tmp_path / "asking.py").write_text(textwrap.dedent(ASKS), "utf-8")
    return f"{tmp_path / 'asking.py'}:"


def says(text: str) -> Script:
    return lambda _: MessageReply(text, usage=USED)


@contextmanager
def serving(script: Script) -> Iterator[ScriptedServer]:
    with ScriptedServer(script, api_key=KEY) as server:
        yield server


def paid(server: ScriptedServer, usd: str = "1") -> list[str]:
    return ["--api-base", server.api_base, "--api-key-env", KEY_VARIABLE, "--router-usd", usd]


def scored(spec: str, *more: str) -> Ran:
    return twinbench("static", "score", spec, "--bank", "mine", "--json", *more)


def first(ran: Ran) -> Any:
    return ran.json["routers"][0]


def test_every_command_that_judges_routers_can_reach_their_gateway(routers: str, tmp_path: Path) -> None:
    spec, page = f"{routers}Asks?most=2", tmp_path / "page.html"
    with serving(says("mid_high")) as server:
        for command in (
            ["explain", spec, "--json"],
            ["diff", spec, "always-high", "--json"],
            ["report", spec, "-o", str(page)],
        ):
            refused = twinbench("static", *command, "--bank", "mine")
            assert refused.code in (0, 1), "it is the router that fails without"
            assert server.completions == []
            ran = twinbench("static", *command, "--bank", "mine", "--no-cache", *paid(server)).succeeded()
            assert "spends about" in ran.err
            assert len(server.completions) == 6
            server.asked.clear()
    assert "its own LLM calls cost 0.0015 USD" in page.read_text("utf-8")
    assert KEY not in page.read_text("utf-8")
    assert "cannot be swept" not in page.read_text("utf-8"), "its decisions have no score"


@pytest.mark.parametrize("catches", ["true", "false"])
def test_a_router_that_asks_is_not_swept_since_every_threshold_would_cost_again(routers: str, catches: str) -> None:
    refused = twinbench("static", "curve", f"{routers}Asks?catches={catches}", "--bank", "mine")
    assert refused.code == 2
    assert "it asks an LLM itself, and would pay for that again at every threshold" in refused.err


def test_own_calls_cost_beside_the_headline_and_never_in_it(routers: str) -> None:
    with serving(says("mid_high")) as server:
        asked = scored(f"{routers}Asks?most=2", *paid(server)).succeeded()
    free = first(scored(f"{routers}Says?most=2").succeeded())
    entry = first(asked)
    assert len(server.completions) == 6
    assert {name: entry[name] for name in ("scores", "counts", "by_workload", "ablation")} == {
        name: free[name] for name in ("scores", "counts", "by_workload", "ablation")
    }
    assert entry["router_usd"] == pytest.approx(float(6 * EACH), abs=1e-12)
    own = {"swebench": 4 * float(EACH), "bfcl": 2 * float(EACH)}
    net = sum(
        block["weight"] * 100 * (block["n_usd"] - own[name]) / block["d_usd"]
        for name, block in entry["by_workload"].items()
    )
    assert entry["cost_save_net"] == pytest.approx(net)
    assert entry["cost_save_net"] < entry["scores"]["cost_save"]
    assert (free["router_usd"], free["cost_save_net"]) == (None, None)
    assert all(each["router_usd"] is None for each in asked.json["routers"][1:])
    assert "spends about" in asked.err
    assert "capped at 1 USD" in asked.err


def test_what_was_paid_for_is_kept_and_shown_without_a_gateway(routers: str) -> None:
    spec = f"{routers}Asks"
    with serving(says("mid")) as server:
        paid_for = first(scored(spec, *paid(server)).succeeded())
        assert len(server.completions) == len(ROWS)
        assert first(scored(spec, *paid(server))) == first(scored(spec)) == paid_for
        predicted = twinbench("static", "predict", spec, "--bank", "mine").succeeded()
        assert [json.loads(line)["tier_id"] for line in predicted.text.splitlines()] == [1] * len(ROWS)
        assert len(server.completions) == len(ROWS)
        assert first(scored(spec, *paid(server), "--no-cache").succeeded())["router_usd"] == paid_for["router_usd"]
        assert len(server.completions) == 2 * len(ROWS)


def test_another_pool_is_another_router(routers: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "pools" / "live-2026-04.toml").read_text("utf-8")
    other = tmp_path / "other.toml"
    other.write_text(text.replace('name = "live-2026-04"', 'name = "other"'), "utf-8")
    with serving(says("mid")) as server:
        scored(f"{routers}Asks", *paid(server)).succeeded()
        scored(f"{routers}Asks", *paid(server), "--pool", str(other)).succeeded()
    assert len(server.completions) == 2 * len(ROWS)


def test_a_table_says_what_a_router_asked_for(routers: str) -> None:
    with serving(says("mid")) as server:
        ran = twinbench("static", "score", f"{routers}Asks?most=1", "--bank", "mine", *paid(server)).succeeded()
    told = " ".join(ran.text.split())
    assert "its own LLM calls cost 0.0008 USD; CostSave minus that: " in told


def test_a_summary_of_predictions_says_it_too(routers: str, tmp_path: Path) -> None:
    out = str(tmp_path / "p.jsonl")
    with serving(says("mid")) as server:
        more = (*paid(server), "--bank", "mine", "-o", out)
        ran = twinbench("static", "predict", f"{routers}Asks?most=1", *more, "--json").succeeded()
    assert ran.json["router_usd"] == pytest.approx(float(3 * EACH))
    silent = twinbench("static", "predict", "sticky", "--bank", "mine", "-o", out, "--json").succeeded()
    assert silent.json["router_usd"] is None


def test_without_a_gateway_every_row_says_which_options_there_are(routers: str) -> None:
    ran = scored(f"{routers}Asks")
    assert ran.code == 1
    told = first(ran)["first_error"]
    assert all(option in told for option in ("--api-base", "--api-key-env", "--router-usd"))
    assert first(ran)["router_usd"] == 0


def kept(store: Store, router: str) -> int:
    scores = [path.read_bytes() for path in store.root.glob("predictions/*/predictions.parquet")]
    return sum(router.encode() in content for content in scores)


@pytest.mark.parametrize("how", thinned(["unpaid", "cap", "provider", "usage"], 2))
def test_what_was_decided_without_an_answer_is_never_kept(routers: str, store: Store, how: str) -> None:
    scripts: dict[str, Reply] = {"provider": server_error(), "usage": MessageReply("mid", usage=ABSENT)}
    spec = f"{routers}Asks?catches=true&most=1"
    with serving(lambda _: scripts.get(how, MessageReply("mid", usage=USED))) as server, no_waiting():
        more = [] if how == "unpaid" else paid(server, "0.0002" if how == "cap" else "1")
        ran = scored(spec, *more).succeeded()
        assert first(ran)["counts"]["errors"] == 0
        assert "got no answer to some of its LLM calls, so its result is not cached; the first error: " in ran.err
        asked = len(server.completions)
        assert asked == {"unpaid": 0, "cap": 1, "provider": 18, "usage": 3}[how]
        assert kept(store, "Asks") == 0
        scored(spec, *paid(server)).succeeded()
        assert len(server.completions) > asked
    with serving(says("mid")) as server:
        scored(spec, *paid(server)).succeeded()
        assert len(server.completions) == (0 if how in ("unpaid", "cap") else 3)
    assert kept(store, "Asks") == 1


@contextmanager
def no_waiting() -> Iterator[None]:
    """Retries follow one another at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twinbench.routing.clock.WallClock.sleep", lambda *_: None)
        yield


def test_a_cap_is_held_and_the_rows_beyond_it_are_errors(routers: str) -> None:
    with serving(says("mid")) as server:
        entry = first(scored(f"{routers}Asks?most=2", *paid(server, "0.0004")).succeeded())
    assert len(server.completions) == 2
    assert entry["counts"]["errors"] == 4
    assert entry["router_usd"] == pytest.approx(float(2 * EACH))
    assert "continue with a higher --router-usd" in entry["first_error"]


def test_of_unknown_usage_the_reservation_counts(routers: str) -> None:
    with serving(lambda _: MessageReply("mid", usage=ABSENT)) as server:
        entry = first(scored(f"{routers}Asks?most=1", *paid(server)).succeeded())
    assert entry["counts"]["errors"] == 3
    assert 0 < entry["router_usd"] < 0.01
    assert "usage" in entry["first_error"]


def test_nothing_that_the_provider_sees_tells_of_labels_or_instances(routers: str) -> None:
    with serving(says("mid")) as server:
        scored(f"{routers}Asks", *paid(server)).succeeded()
    asked: Sequence[ReceivedRequest] = server.completions
    assert len({each.session for each in asked}) == 3, "one a trajectory"
    for each in asked:
        assert set(each.body) == {"model", "messages", "max_tokens", "temperature"}
        shown = each.raw.decode() + json.dumps(dict(each.headers))
        assert not any(word in shown for word in ("i-1", "i-2", "swebench", "bfcl", "target", "total_steps"))


def test_the_same_trajectories_are_shown_with_a_handle_and_without(routers: str) -> None:
    """A handle changes nothing of the calls: a router that does not use it decides as ever, and is kept as ever."""
    spec = f"{routers}Says"
    with serving(says("mid")) as server:
        before = first(scored(spec).succeeded())
        assert first(scored(spec, *paid(server)).succeeded()) == before
    assert server.asked == []


WRONG: list[tuple[list[str], str]] = [
    (["--router-usd", "1"], "--router-usd is for routers that call an LLM themselves"),
    (["--api-key-env", KEY_VARIABLE], "--api-key-env is for routers"),
    (["--api-base", "http://127.0.0.1:9/v1"], "pool live-2026-04 costs money"),
    (["--api-base", "http://127.0.0.1:9/v1", "--router-usd", "0"], "--router-usd 0: an amount"),
    (["--api-base", "http://127.0.0.1:9/v1", "--router-usd", "much"], "--router-usd much: an amount"),
    (["--api-base", "nowhere", "--router-usd", "1"], "is not an address"),
    (["--api-base", "http://127.0.0.1:9/v1", "--router-usd", "1", "--api-key-env", "TWINBENCH_NO_KEY"], "is missing"),
    (["--api-base", "http://127.0.0.1:9/v1", "--router-usd", "1", "--pool", "static-2026-04"], "a live one is needed"),
]


@pytest.mark.parametrize(("options", "told"), WRONG, ids=[str(number) for number in range(len(WRONG))])
@pytest.mark.parametrize("command", ["score", "predict"])
def test_options_that_make_no_sense_are_wrong_usage(routers: str, command: str, options: list[str], told: str) -> None:
    ran = twinbench("static", command, f"{routers}Says", "--bank", "mine", *options)
    assert (ran.code, told in ran.err) == (2, True), ran.err


def test_a_check_of_a_router_pays_for_nothing_and_says_so(routers: str) -> None:
    ran = twinbench("router", "check", f"{routers}Asks", "--bank", "mine", "--rows", "3", "--json")
    assert ran.code == 1
    assert any("router check provides no LLM" in each["reason"] for each in ran.json["checks"])
    twinbench("router", "check", f"{routers}Asks?catches=true", "--bank", "mine", "--rows", "3").succeeded()


class Here:
    """An instance."""

    def use(self, llm: tb.Llm) -> None:
        self.llm = llm

    def route(self, call: tb.Call) -> str:
        return self.llm.ask(call.messages, candidate=call.candidates[0], max_tokens=10).text


def test_the_library_pays_for_instances_too(routers: str, store: Store) -> None:
    score: Callable[..., Any] = tb.score
    with serving(says("low")) as server:
        more = {"api_base": server.api_base, "api_key_env": KEY_VARIABLE, "router_usd": 1}
        board = score([Here(), Here()], bank="mine", store=store.root, **more)
    assert [entry.own.router_usd for entry in board.entries[:2]] == [pytest.approx(float(7 * EACH))] * 2
    assert board.entries[2].own is None
    unpaid = score(Here(), bank="mine", store=store.root).entries[0]
    assert "--api-base" in unpaid.first_error
