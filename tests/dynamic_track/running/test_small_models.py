"""A pool of one's own of real small models, behind a server and with weights that nobody here wrote.

Nothing is asserted that depends on how able or how fast a model is: only what has to hold for any.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import twinbench
from tests.dynamic_track.live import EASY, Done, nearly, replayed
from tests.dynamic_track.running.small_models import (
    QWEN_CODER,
    SMOLLM2,
    Fetched,
    NotHadError,
    Passed,
    SmallModel,
    fetched,
    small_gateway,
)
from twinbench.calls.journal import read_journal
from twinbench.calls.packing import unpacked
from twinbench.causes import CAUSES, Cause, Counts
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("rehearsal")]

N_CTX = 8192
STEPS = 8
"""Two rounds of the pool's candidates."""
TERSE = "terse"
"""A candidate whose answers are cut before they can hold a command: each is a format error."""
GUIDED = "guided"
"""What the ids of candidates begin with that can say nothing but one command, since their server holds them to it."""
GRAMMAR = """
[candidates.parameters]
grammar = '''
root ::= thought "\\n\\n```mswea_bash_command\\n" command "\\n```"
thought ::= [ -_a-~]{1,100}
command ::= [a-z] [ -_a-~]{1,100}
'''
"""
PATIENCE = ("--call-timeout", "1800")
"""Seconds: the suite may have the machine to itself, or share its only core."""

HEAD = """\
kind = "live"
name = "small"
version = 1
dated = 2026-11-27
source = "tests: llama.cpp on this machine, at made-up prices"
rules = "released-v1"
gateway = "openai-compatible"
wallclock_ttl_seconds = 300
unresolved_penalty_usd = 0.6

[agent]
scaffold = "mini-swe-agent"
step_limit = {steps}
cost_limit_usd = 3.0
command_timeout_seconds = 60
"""
CANDIDATE = """
[[candidates]]
id = "{id}"
model = "{model}"
tier = "{tier}"
tier_default = true
context_window = {context_window}
max_output = {max_tokens}
max_tokens = {max_tokens}
temperature = 0
prices = {{ input = {price}, cache_read = {cached}, cache_write = {price}, output = {out} }}
served_as = ["{model}"]
"""


@pytest.fixture(scope="module")
def both() -> Fetched:
    """The engine and both models; where they cannot be had, that is said."""
    return got(SMOLLM2, QWEN_CODER)


@pytest.fixture(scope="module")
def smollm2() -> Fetched:
    """The engine and the smaller model."""
    return got(SMOLLM2)


def got(*models: SmallModel) -> Fetched:
    try:
        return fetched(*models)
    except NotHadError as error:
        pytest.skip(f"REAL SMALL MODELS CANNOT BE HAD: {error}")


def candidate(
    name: str, model: SmallModel, tier: str, *, max_tokens: int, context_window: int = N_CTX, price: str = "0"
) -> str:
    usd = Decimal(price)
    text = CANDIDATE.format(
        id=name,
        model=model.name,
        tier=tier,
        max_tokens=max_tokens,
        context_window=context_window,
        price=usd,
        cached=usd / 10,
        out=usd * 4,
    )
    return text + GRAMMAR if name.startswith(GUIDED) else text


def pool_of(path: Path, *candidates: str, steps: int = STEPS) -> Path:
    path.write_text(HEAD.format(steps=steps) + "".join(candidates), "utf-8")
    return path


@dataclass(frozen=True)
class Answered:
    """One answer in the journal, beside what the server said in it."""

    step: int
    candidate: str
    settle: Mapping[str, Any]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def usage(self) -> Usage:
        return Usage(**self.settle["usage"])


def answers(done: Done) -> list[Answered]:
    """The responses of a trial, in order: every request has one."""
    reserves, settles = done.fields("reserve"), done.fields("settle")
    return [
        Answered(settle["step"], reserve["candidate"], settle, unpacked(settle["response"]))
        for reserve, settle in zip(reserves, settles, strict=True)
    ]


def test_a_pool_of_real_small_models_is_checked_run_billed_and_replayed(both: Fetched, tmp_path: Path) -> None:
    file = pool_of(
        tmp_path / "small.toml",
        candidate("smollm2", SMOLLM2, "low", max_tokens=256, price="0.02"),
        candidate(f"{GUIDED}-coder", QWEN_CODER, "mid", max_tokens=256, price="0.05"),
        candidate(TERSE, QWEN_CODER, "mid_high", max_tokens=4, price="0.05"),
        candidate(f"{GUIDED}-smollm2", SMOLLM2, "high", max_tokens=256, price="0.02"),
    )
    run = tmp_path / "run"
    with small_gateway(both, N_CTX) as gateway:
        check = ("pool", "check", file, "--live", "--api-base", gateway.api_base, *PATIENCE, "--json")
        checked = twinbench(*check).succeeded().json
        before_run = len(gateway.passed)
        ran = twinbench(
            *("dynamic", "run", "round-robin", "--tasks", "rehearsal", "--only", EASY, "--action-format", "text"),
            *("--pool", file, "--api-base", gateway.api_base, "--run", run, "--run-usd", "1", *PATIENCE, "--json"),
        )
        assert ran.code == (0 if ran.json["router_failure"] is None else 1), ran.err
        passed = gateway.passed[before_run:]
    for asked in checked["live"][str(file)]["candidates"]:
        assert (asked["problems"], asked["listed"], asked["answered"]) == ([], True, True)
    done = Done(run)
    ended_by_itself(done, ran.json)
    received = answers(done)
    the_journal_holds_what_the_server_sent(run, received, passed)
    found = [each for each in received if each.settle["cause"] is None]
    # All but one, which may be a prompt for which there is no room any more.
    assert [(each.settle["cause"], each.settle["status"]) for each in received if each not in found] in (
        [],
        [("router", 400)],
    )
    the_bill_is_what_the_server_counted(done, found, file)
    a_repeated_prefix_is_read_from_the_cache(found)
    format_errors_are_paid_and_counted(done, found)
    assert replayed(run).succeeded().json == {"cases": 1, "equal": 1, "differences": []}
    assert json.loads((run / "plan.json").read_text("utf-8"))["where"]["division"] == "open"
    for line in table(found):
        print(f"evidence: small models: {line}")
    case = done.case
    print(f"evidence: small models: {EASY}: {case['exit_status']}, {len(found)} calls, replay equal")


def ended_by_itself(done: Done, summary: Mapping[str, Any]) -> None:
    """With a verdict, or by a cause that is the agent's or the router's."""
    case = done.case
    assert case["cause"] is None or CAUSES[Cause(case["cause"])].counts is Counts.unresolved
    assert (summary["resolved"] + summary["unresolved"], summary["infra"], summary["cap"]) == (1, 0, 0)


def the_journal_holds_what_the_server_sent(run: Path, found: Sequence[Answered], passed: Sequence[Passed]) -> None:
    assert len(read_journal(run / "journal")) > 3 * len(found)  # its chain is whole
    assert [(each.settle["status"], each.body) for each in found] == [(each.status, each.body) for each in passed]
    for answer, sent in zip(found, passed, strict=True):
        assert answer.settle["served_model"] == answer.said.get("model")
        assert answer.settle["cause"] is not None or answer.settle["served_model"] == sent.model


def the_bill_is_what_the_server_counted(done: Done, found: Sequence[Answered], file: Path) -> None:
    prices = {each.id: each.prices.prices() for each in live_manifest(str(file)).candidates}
    total = Decimal(0)
    for answer in found:
        told, timings = answer.said["usage"], answer.said["timings"]
        cached = told["prompt_tokens_details"]["cached_tokens"]
        assert answer.usage == Usage(told["prompt_tokens"] - cached, cached, 0, told["completion_tokens"])
        # The server counts a second time, where it tells how long it took.
        assert answer.usage == Usage(timings["prompt_n"], timings["cache_n"], 0, timings["predicted_n"])
        cost = answer.usage.cost_usd(prices[answer.candidate])
        assert Decimal(answer.settle["cost_usd"]) == cost > 0
        assert answer.settle["at_reservation"] is False
        total += cost
    case = done.case
    assert case["cost_usd"] == case["spend_usd"] == nearly(total)
    assert Usage(**case["usage"]) == sum((answer.usage for answer in found), Usage())


def a_repeated_prefix_is_read_from_the_cache(found: Sequence[Answered]) -> None:
    """From the second call of a model on, whichever candidate asked before: the conversation only grows."""
    last: dict[str, Usage] = {}
    for answer in found:
        if (before := last.get(answer.said["model"])) is not None:
            assert 2 * answer.usage.cache_read > before.input + before.cache_read
        last[answer.said["model"]] = answer.usage
    assert len(last) == 2


def format_errors_are_paid_and_counted(done: Done, found: Sequence[Answered]) -> None:
    ran = Counter(fields["step"] for fields in done.fields("command"))
    terse = [answer for answer in found if answer.candidate == TERSE]
    assert terse
    for answer in terse:
        assert answer.said["choices"][0]["finish_reason"] == "length"
        assert ran[answer.step] == 0
        assert Decimal(answer.settle["cost_usd"]) > 0
    assert {ran[answer.step] for answer in found if answer.candidate.startswith(GUIDED)} == {1}
    case = done.case
    assert case["models"] == dict(Counter(answer.candidate for answer in found))
    assert case["steps"] == len(found) <= STEPS
    said = json.loads((done.folder / "trajectory.json").read_text("utf-8"))["messages"]
    errors = [each for each in said if (each.get("extra") or {}).get("interrupt_type") == "FormatError"]
    assert len(errors) == sum(ran[answer.step] == 0 for answer in found) >= len(terse)
    assert all(Decimal(each["extra"]["cost_usd"]) > 0 for each in errors)


def table(found: Sequence[Answered]) -> list[str]:
    """Evidence: calls, tokens and seconds of each model."""
    lines = ["model | calls | input | cache read | cache write | output | seconds"]
    for model in dict.fromkeys(answer.said["model"] for answer in found):
        its = [answer for answer in found if answer.said["model"] == model]
        used = sum((answer.usage for answer in its), Usage())
        seconds = sum(float(answer.settle["latency_s"]) for answer in its)
        cells = (model, len(its), used.input, used.cache_read, used.cache_write, used.output, f"{seconds:.0f}")
        lines.append(" | ".join(str(cell) for cell in cells))
    return lines


def test_a_prompt_that_a_real_server_has_no_room_for_ends_the_case_by_the_router(
    smollm2: Fetched, tmp_path: Path
) -> None:
    """The pool claims more than the server has; the server's refusal is the one that was read in the journal."""
    file = pool_of(tmp_path / "small.toml", candidate("smollm2", SMOLLM2, "low", max_tokens=64, context_window=131072))
    run = tmp_path / "run"
    with small_gateway(smollm2, 1024) as gateway:
        ran = twinbench(
            *("dynamic", "run", "always-low", "--tasks", "rehearsal", "--only", EASY, "--action-format", "text"),
            *("--pool", file, "--api-base", gateway.api_base, "--run", run, *PATIENCE, "--json"),
        )
    assert (ran.code, ran.json["router_failure"]) == (1, "failed in every case")
    done = Done(run)
    [settle] = done.fields("settle")
    assert json.loads(unpacked(settle["response"]))["error"]["type"] == "exceed_context_size_error"
    assert (settle["status"], settle["cause"], settle["usage"]) == (400, "router", None)
    assert (Decimal(settle["cost_usd"]), settle["at_reservation"]) == (Decimal(0), False)
    assert (ran.json["unresolved"], done.case["cause"], done.case["steps"]) == (1, "router", 0)
    assert replayed(run).succeeded().json["equal"] == 1
    print(f"evidence: small models: {done.case['detail']}")


def test_the_table_of_a_run_says_that_its_pool_is_of_the_open_division(smollm2: Fetched, tmp_path: Path) -> None:
    file = pool_of(tmp_path / "small.toml", candidate("smollm2", SMOLLM2, "low", max_tokens=4), steps=1)
    with small_gateway(smollm2, N_CTX) as gateway:
        ran = twinbench(
            *("dynamic", "run", "always-low", "--tasks", "rehearsal", "--only", EASY, "--action-format", "text"),
            *("--pool", file, "--api-base", gateway.api_base, "--run", tmp_path / "run", *PATIENCE),
        ).succeeded()
    assert "open division: pool small is not locked" in ran.text
