"""Cases from the first call to the verdict: real containers, real HTTP, real grading."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from dynamic_track.rehearsal.replies import (
    ABSENT,
    HangReply,
    MessageReply,
    Reply,
    TokenCounts,
    ToolCall,
    error_reply,
    rate_limit_reply,
    server_error,
    too_long,
    unauthorized,
)
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import files, twinbench
from tests.dynamic_track.live import (
    HIGH,
    KEY,
    KEY_VARIABLE,
    LOW,
    MID,
    PENALTY,
    POOL,
    ROUTERS,
    SENTINEL,
    SIX,
    Done,
    by_step,
    live,
    named,
    nearly,
    pool_file,
    replayed,
    run_arguments,
    said,
    solving,
)
from tests.examples import thinned
from tests.plugins.serving import endpoint
from tests.scripted.server import ScriptedServer
from twinbench.calls.packing import unpack
from twinbench.storage.manifest_files import live_manifest

LEAVES = f"echo {SENTINEL}"
"""Submits nothing."""
FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "trial": int,
    "resolved": bool,
    "steps": int,
    "cost_usd": Decimal,
    "spend_usd": Decimal,
    "bill_usd": Decimal,
    "usage": dict,
    "models": dict,
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
def routers(tmp_path: Path) -> str:
    """The spec of routers in a file, up to the colon."""
    (tmp_path / "live_routers.py").write_text(ROUTERS, "utf-8")
    return f"{tmp_path / 'live_routers.py'}:"


def leaving(command: str = LEAVES) -> Callable[[ReceivedRequest], Reply]:
    """A script that submits at once."""
    return lambda _: said(command)


# Solved and not solved


@pytest.mark.parametrize(("number", "name"), thinned(enumerate(SIX), 3))
def test_a_solved_case_costs_what_its_calls_cost_and_an_unsolved_one_the_penalty_more(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, number: int, name: str
) -> None:
    task, text = named(rehearsal, name), bool(number % 2)
    style = ("--action-format", "text") if text else ()
    solved, failed = Done(tmp_path / "solved", name), Done(tmp_path / "failed", name)
    with ScriptedServer(solving(rehearsal, text=text), api_key=KEY) as server:
        ran = live(server.api_base, solved.run, *style, router=f"{routers}Turns?first={number}", only=name)
        assert ran.succeeded().text.count("\n") == 1
        assert server.completions[0].body["messages"][0]["role"] == "system"
    summary, case = ran.json, solved.case
    counted = {"cases", "resolved", "unresolved", "infra", "cap"}
    failing = {"router_errors", "first_router_error", "router_failure", "agent_ends"}
    assert set(summary) == {"run", "simulated", *counted, "cost_usd", "spend_usd", *failing, "stopped", "trials"}
    assert (summary["run"], summary["cases"], summary["resolved"]) == (str(solved.run), 1, 1)
    assert (summary["unresolved"], summary["infra"], summary["cap"]) == (0, 0, 0)

    assert (case["id"], case["trial"], case["resolved"], case["cause"], case["steps"]) == (name, 1, True, None, 3)
    for field, kind in FIELDS.items():
        assert isinstance(case[field], kind), field
    settled = solved.fields("settle")
    cost = sum(by_hand(each["usage"], model) for each, model in zip(settled, models(solved), strict=True))
    assert case["bill_usd"] == case["cost_usd"] == case["spend_usd"] == nearly(cost) == nearly(summary["cost_usd"])
    assert cost > 0
    assert case["models"] == {POOL[(number + step) % 4]: 1 for step in range(3)}
    assert set(case["usage"]) == {"input", "cache_read", "cache_write", "output"}
    assert case["usage"] == {bucket: sum(each["usage"][bucket] for each in settled) for bucket in case["usage"]}
    patch = (solved.folder / "patch.diff").read_text("utf-8")
    assert "diff --git" in patch
    verdict = json.loads((solved.folder / "verdict.json").read_text("utf-8"))
    assert (verdict["resolved"], verdict["cause"]) == (True, None)
    assert set(verdict["tests"]["FAIL_TO_PASS"]["success"]) == set(task.fail_to_pass)
    trajectory = json.loads((solved.folder / "trajectory.json").read_text("utf-8"))
    assert trajectory["trajectory_format"].startswith("mini-swe-agent-")
    assert (trajectory["info"]["exit_status"], trajectory["info"]["submission"]) == ("Submitted", patch)
    assert trajectory["info"]["model_stats"]["api_calls"] == 3
    roles = [message["role"] for message in trajectory["messages"]]
    assert roles[:3] == ["system", "user", "assistant"]
    assert roles[-1] == "exit"

    garbage = f"echo {SENTINEL} && echo this is no patch" if number % 3 else LEAVES
    with ScriptedServer(lambda _: said(garbage, text=text)) as server:
        ran = live(server.api_base, failed.run, *style, router="always-high", only=name).succeeded()
    case = failed.case
    assert (ran.json["unresolved"], ran.json["resolved"]) == (1, 0)
    assert (case["resolved"], case["cause"]) == (False, "unappliable" if number % 3 else "empty")
    assert case["bill_usd"] == case["cost_usd"] + PENALTY
    assert case["models"] == {HIGH: 1}


def models(done: Done) -> list[str]:
    """Who was asked, attempt by attempt."""
    return [each["candidate"] for each in done.fields("reserve")]


def by_hand(usage: Mapping[str, int], model: str) -> Decimal:
    """What a usage costs at the locked prices."""
    prices = next(each.prices for each in live_manifest().candidates if each.id == model)
    per_million = {
        "input": prices.input,
        "cache_read": prices.cache_read,
        "cache_write": prices.cache_write,
        "output": prices.output,
    }
    return sum((tokens * per_million[bucket] for bucket, tokens in usage.items()), Decimal(0)) / 10**6


@pytest.mark.parametrize(
    "how", ["file", "module", "built-in", "live of TwinRouterBench", "static of TwinRouterBench", "endpoint"]
)
def test_routers_of_every_kind_run_unchanged(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    wanted = {"built-in": (LOW, MID), "endpoint": (HIGH, HIGH), "static of TwinRouterBench": (MID, MID)}
    wanted["live of TwinRouterBench"] = (LOW, LOW)
    here = Path(__file__).parents[2] / "plugins"
    monkeypatch.chdir(tmp_path if how == "module" else here)
    specs = {
        "file": f"{routers}Turns",
        "module": "live_routers:Turns",
        "built-in": "round-robin",
        "live of TwinRouterBench": "trb:published:Live",
        "static of TwinRouterBench": "trb:published:function?level=1",
    }
    done = Done(tmp_path / "run")
    with (
        ScriptedServer(by_step([said("ls"), said(LEAVES)])) as server,
        endpoint(lambda handler: handler.reply({"candidate": "high"})) as deciding,
    ):
        live(server.api_base, done.run, router=specs.get(how, deciding.url)).succeeded()
        if how == "endpoint":
            assert [each["step_index"] for each in deciding.asked] == [1, 2]
            assert [each["id"] for each in deciding.asked[0]["candidates"]] == list(POOL)
    assert tuple(models(done)) == wanted.get(how, (LOW, MID))


# Answers that are no answers to an agent


def test_answers_without_a_command_are_paid_and_counted(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    done = Done(tmp_path / "run")
    replies = [
        MessageReply("I think that …", usage=TokenCounts(100, output=10)),
        MessageReply(None, calls=[ToolCall("{not json")], usage=TokenCounts(100, output=10)),
        said(LEAVES, usage=TokenCounts(100, output=10)),
    ]
    with ScriptedServer(replies) as server:
        live(server.api_base, done.run).succeeded()
        told = [asked.body["messages"] for asked in server.completions]
    assert (done.case["steps"], done.case["cause"], done.case["models"]) == (3, "empty", {HIGH: 3})
    assert done.case["cost_usd"] == nearly(3 * (100 * Decimal(5) + 10 * Decimal(25)) / 10**6)
    assert [len(messages) for messages in told] == [2, 3, 4], "what did not parse is not kept"


def test_whatever_a_model_says_ends_in_a_verdict(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    """Halves of surrogate pairs, NUL, odd types: each is a model's own fault and none is an error of ours."""
    odd: list[MessageReply] = [
        said("printf '\\xff\\xfe\\n'; echo \ud83d"),
        said("echo a\0b"),
        MessageReply(None, calls=[ToolCall('{"command": ["ls", 1]}')]),
        MessageReply(
            "[bold]\x1b[31m\ud800",
            calls=[ToolCall('{"command": "true"}')],
            message_fields={"reasoning_content": "\udfff"},
        ),
        MessageReply(None, calls=[ToolCall('{"command": null}')], message_fields={"role": "user", "name": None}),
    ]
    done = Done(tmp_path / "run")
    with ScriptedServer([*odd, said(f"echo {SENTINEL}; printf 'diff \\xff\\n'")], strict=False) as server:
        ran = live(server.api_base, done.run).succeeded()
    assert ran.json["unresolved"] == 1
    assert (done.case["steps"], done.case["cause"]) == (6, "unappliable")


def test_the_agents_own_limit_ends_a_case_unresolved(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    """The call that reaches 3 USD counts in full, and no other is made."""
    done = Done(tmp_path / "run")
    with ScriptedServer(lambda _: said("true", usage=TokenCounts(200_000, output=20_000))) as server:
        live(server.api_base, done.run, usd="30").succeeded()
        assert len(server.completions) == 2
    case = done.case
    assert (case["resolved"], case["cause"], case["cost_usd"]) == (False, "empty", Decimal(3))
    assert case["bill_usd"] == Decimal("3.6")


# Faults


FAULTS: dict[str, tuple[Reply, str, int]] = {
    "401": (unauthorized(), "access", 1),
    "no usage": (said("ls", usage=ABSENT), "usage", 1),
    "another model": (said("ls", model="gpt-17"), "model", 1),
    "a switch": (error_reply(400, "Invalid `signature` in `thinking` block"), "switch", 1),
}


@pytest.mark.parametrize(("reply", "cause", "attempts"), thinned(FAULTS.values(), 2), ids=FAULTS)
def test_a_fault_of_the_provider_is_infrastructure_and_goes_on_when_it_is_over(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, reply: Reply, cause: str, attempts: int
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(by_step([said("ls"), reply])) as server:
        ran = live(server.api_base, done.run, router=f"{routers}Turns")
        assert len(server.completions) == 1 + attempts
    case = done.case
    assert (ran.code, ran.json["infra"], ran.json["unresolved"], ran.json["cases"]) == (1, 1, 0, 1)
    assert (case["resolved"], case["cause"], case["bill_usd"], case["steps"]) == (None, cause, None, 1)
    assert case["spend_usd"] == nearly(done.spend_usd) == nearly(ran.json["spend_usd"])
    assert len(done.at_reservation) == (cause == "usage")
    before = case["cost_usd"]

    with ScriptedServer(by_step([said("no"), said(LEAVES)])) as server:
        ran = live(server.api_base, done.run, router=f"{routers}Turns").succeeded()
        assert len(server.completions) == 1
    case = done.case
    assert (case["resolved"], case["cause"], case["steps"]) == (False, "empty", 2)
    assert case["cost_usd"] > before
    assert case["spend_usd"] == nearly(done.spend_usd)


def test_what_passes_is_tried_again_and_accounted_for(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    done = Done(tmp_path / "run")
    replies: list[Reply] = [rate_limit_reply(0), server_error(), HangReply(), said(LEAVES)]
    with ScriptedServer(replies) as server:
        live(server.api_base, done.run, "--call-timeout", "15").succeeded()
        assert len(server.completions) == 4
    causes = [(each["cause"], each["at_reservation"]) for each in done.fields("settle")]
    assert causes == [("quota", False), ("transport", True), ("transport", True), (None, False)]
    assert len(set(done.at_reservation)) == 1
    case = done.case
    assert case["steps"] == 1
    assert case["spend_usd"] == nearly(done.spend_usd) > case["cost_usd"]
    assert case["bill_usd"] == case["cost_usd"] + PENALTY


# Routers that fail


ODD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "raises": ("Odd?how=raises&at=2", "no route", ()),
    "hangs": ("Odd?how=hangs&at=2", "took longer than 3 s", ("--decision-timeout", "3")),
    "dies": ("Odd?how=dies&at=2", "", ()),
    "unknown": ("Odd?how=unknown&at=2", "gpt-17", ()),
    "none": ("Odd?how=none&at=2", "must return", ()),
    "start": ("Odd?how=start", "no start", ()),
    "observe": ("Odd?how=observe", "no observe", ()),
}


@pytest.mark.parametrize(("spec", "detail", "more"), thinned(ODD.values(), 3), ids=ODD)
def test_a_router_that_fails_is_unresolved_with_the_penalty(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, spec: str, detail: str, more: tuple[str, ...]
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(by_step([said("ls"), said(LEAVES)])) as server:
        ran = live(server.api_base, done.run, *more, router=routers + spec)
        asked = len(server.completions)
    case = done.case
    assert (ran.code, ran.json["router_failure"], ran.json["router_errors"]) == (1, "failed in every case", 1)
    assert detail in ran.err, "and it is told"
    assert asked == case["steps"] == (0 if "start" in spec else 1)
    assert (ran.json["unresolved"], ran.json["infra"]) == (1, 0)
    assert (case["resolved"], case["cause"]) == (False, "router")
    assert detail in case["detail"]
    assert case["bill_usd"] == case["cost_usd"] + PENALTY
    assert (done.folder / "trajectory.json").is_file()
    assert (done.folder / "patch.diff").read_bytes() == b""


@pytest.mark.acceptance
@pytest.mark.parametrize("how", thinned(["raises", "start", "unknown"], 3))
def test_a_tier_may_answer_where_the_router_fails_which_is_another_run(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, how: str
) -> None:
    done, router, more = Done(tmp_path / "run"), f"{routers}Odd?how={how}&at=2", ("--on-router-error", "high")
    with ScriptedServer(by_step([said("ls"), said(LEAVES)])) as server:
        ran = live(server.api_base, done.run, *more, router=router).succeeded()
        again = live(server.api_base, done.run, router=router)
    assert (ran.json["unresolved"], ran.json["infra"]) == (1, 0)
    assert (done.case["cause"], done.case["router_errors"]) == ("empty", 1)
    assert models(done) == [HIGH if how == "start" else LOW, LOW if how == "start" else HIGH]
    failed = [each for each in done.fields("decision") if each.get("router_error")]
    assert [each["candidate"] for each in failed] == [HIGH]
    assert replayed(done.run, "--route").succeeded().json["equal"] == 1
    assert again.code == 2
    assert "overrides" in again.err


def test_a_tier_that_the_pool_lacks_cannot_answer_for_the_router(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    ran = live("http://127.0.0.1:9/v1", tmp_path / "run", "--on-router-error", "highest")
    assert ran.code == 2
    assert "low, mid, mid_high, high" in ran.err


def test_a_router_that_nobody_trusts_runs_in_a_container(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str
) -> None:
    done = Done(tmp_path / "run")
    tmp_path.chmod(0o755)  # a router in strict isolation is not root
    with ScriptedServer(by_step([said("ls"), said(LEAVES)])) as server:
        live(server.api_base, done.run, "--isolation", "strict", router=f"{routers}Turns").succeeded()
    assert models(done) == [LOW, MID]
    assert replayed(done.run, "--route", "--isolation", "strict").succeeded().json["equal"] == 1


@pytest.mark.acceptance
def test_what_the_provider_says_that_a_call_cost_stands_beside_the_locked_price(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Done(tmp_path / "run")
    script = by_step([said("ls", usage=TokenCounts(1000, output=10, cost_usd=0.125)), said(LEAVES)])
    told = by_step(
        [
            said("ls", usage=TokenCounts(1000, output=10, cost_usd=0.125)),
            said(LEAVES, usage=TokenCounts(9, cost_usd=0.5)),
        ]
    )
    with ScriptedServer(script) as server:
        live(server.api_base, done.run).succeeded()
    assert done.case["reported_usd"] is None, "one of two calls does not say it"
    done = Done(tmp_path / "told")
    with ScriptedServer(told) as server:
        words = run_arguments(server.api_base, done.run)
        ran = twinbench(*[word for word in words if word != "--json"], "--yes").succeeded()
    assert done.case["reported_usd"] == Decimal("0.625")
    assert f"the provider reports 0.6250 USD for 1 case, {0.625 - float(done.case['cost_usd']):+.4f}" in ran.text


@pytest.mark.parametrize("who", thinned(["we", "the provider"], 2))
def test_a_candidate_that_cannot_take_the_conversation_is_the_routers_fault(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str, who: str
) -> None:
    done, more = Done(tmp_path / "run"), []
    if who == "we":
        tiny = "context_window = 33768\nmax_output = 33768"
        pool = pool_file(
            tmp_path / "tiny.toml", lambda text: text.replace("context_window = 163800\nmax_output = 163800", tiny)
        )
        more = ["--pool", str(pool)]
    with ScriptedServer(lambda _: too_long()) as server:
        ran = live(server.api_base, done.run, *more, router=f"{routers}Fixed?model={LOW}")
        assert (ran.code, "1 router failure: rehearsal__slotbook-17, step 1: " in ran.err) == (1, True)
        assert len(server.completions) == (0 if who == "we" else 1)
    assert ran.json["unresolved"] == 1
    case = done.case
    assert (case["resolved"], case["cause"], case["bill_usd"]) == (False, "router", PENALTY)


# Money


def test_a_run_without_a_cap_is_refused_where_it_costs_money(
    tmp_path: Path, rehearsal: Sequence[Task], routers: str
) -> None:
    free = pool_file(tmp_path / "free.toml", _free)
    with ScriptedServer(leaving()) as server:
        ran = live(server.api_base, tmp_path / "paid", usd=None)
        assert (ran.code, ran.out) == (2, b"")
        assert "--run-usd" in ran.err
        assert not (tmp_path / "paid").exists()
        assert server.asked == []
        for wrong in ("0", "-1", "much", "nan", "inf"):
            assert live(server.api_base, tmp_path / "paid", usd=wrong).code == 2
        ran = live(server.api_base, tmp_path / "free", "--pool", str(free), usd=None).succeeded()
    assert (ran.json["cost_usd"], ran.json["spend_usd"], ran.json["unresolved"]) == (0, 0, 1)
    assert Done(tmp_path / "free").case["bill_usd"] == PENALTY


def _free(text: str) -> str:
    lines = [
        "prices = { input = 0, cache_read = 0, cache_write = 0, output = 0 }" if line.startswith("prices = {") else line
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def test_a_cap_stops_a_case_which_goes_on_under_a_higher_one_and_pays_nothing_twice(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(
        by_step([said(each, usage=TokenCounts(2000, output=400)) for each in ("ls", "true", LEAVES)])
    ) as server:
        ran = live(server.api_base, done.run, usd="0.1")
        assert (ran.code, ran.json["cap"], ran.json["infra"], ran.json["spend_usd"]) == (1, 1, 0, 0)
        assert server.completions == []
        ran = live(server.api_base, done.run, usd="0.86")
        assert (ran.code, ran.json["cap"]) == (1, 1)
        case, sent = done.case, len(server.completions)
        assert (case["resolved"], case["cause"], case["bill_usd"], case["steps"]) == (None, "cap", None, sent)
        assert 0 < sent < 3
        assert case["spend_usd"] == nearly(done.spend_usd) <= Decimal("0.86")
        live(server.api_base, done.run, usd="5").succeeded()
        assert len(server.completions) == 3
    case = done.case
    assert (case["resolved"], case["cause"], case["steps"]) == (False, "empty", 3)
    assert case["spend_usd"] == case["cost_usd"] == nearly(done.spend_usd)


def test_a_run_is_continued_as_what_it_is_only(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(leaving()) as server:
        live(server.api_base, done.run).succeeded()
        before = files(done.run)
        for more, router in (
            (("--seed", "1"), "always-high"),
            (("--action-format", "text"), "always-high"),
            ((), "round-robin"),
        ):
            ran = live(server.api_base, done.run, *more, router=router)
            assert (ran.code, ran.out) == (2, b"")
            assert "run with other settings" in ran.err
        assert files(done.run) == before
        live(server.api_base, done.run, "--call-timeout", "30", usd="4").succeeded()
        assert len(server.completions) == 1


# Secrets

ESCAPED_KEY = "p/a+s=sw&o%r$d-0123456789"
"""One that an address and Base64 write otherwise."""


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("key", "refused"), thinned([(KEY, False), (KEY, True), (ESCAPED_KEY, True), (ESCAPED_KEY, False)], 2)
)
def test_the_key_is_nowhere_though_the_server_tells_it(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch, key: str, refused: bool
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    forms = [key, base64.b64encode(key.encode()).decode(), urllib.parse.quote(key, safe="")]
    told = f"{' '.join(forms)} {json.dumps(key)}"
    script: list[Reply] = [
        said(f"echo '{told}'", message_fields={"reasoning_content": told}),
        said(f"echo {SENTINEL}; echo '{told}'"),
    ]
    done = Done(tmp_path / "run")
    with ScriptedServer(lambda _: error_reply(401, told) if refused else by_step(script)(_), api_key=key) as server:
        ran = live(server.api_base, done.run)
    assert ran.code == int(refused), ran.err
    everything = {"stdout": ran.out, "stderr": ran.err.encode(), **files(done.run)}
    packed = [each["response"] for each in done.fields("settle")]
    packed += [each["output"] for each in done.fields("observation")]
    everything |= {f"packed {number}": unpack(text) for number, text in enumerate(packed)}
    assert len(packed) == (1 if refused else 4)
    for form in forms:
        assert [name for name, content in everything.items() if form.encode() in content] == [], form
    if not refused:
        assert "[secret]" in (done.folder / "patch.diff").read_text("utf-8")
        assert replayed(done.run).succeeded().json["equal"] == 1
