"""Whatever a router's process sends is an answer that was checked, or an error of its row and no more."""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from static_track.predict import predict
from tests.banks import a_trajectory
from tests.cli.commands import Ran, spawned, twinbench
from tests.examples import number_of, thinned
from tests.plugins.conftest import PutBank, WriteRouter
from tests.plugins.hostile.frames import FRAMES, NUMBER, frame
from tests.plugins.hosting import asked, hosted, hostile, limits
from tests.plugins.mutants import ANSWERS, mutant
from tests.twinbench.calls import TIERS, a_call
from twinbench.errors import TwinbenchError
from twinbench.plugins.answers import DECISION, HOOK, LOADING, AnswerKind, Question
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.process import RouterProcess
from twinbench.plugins.process_router import ProcessRouter
from twinbench.routing.asking import ask_router
from twinbench.routing.router import Choice, RouterError
from twinbench.routing.router_llm import NoRouterLlm
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import STORE_VARIABLE, Store

MUTANTS = number_of(2_500, 10_000)
MUTANTS_SENT = number_of(8, 80)

GOOD = """
from twinbench import Call, Tier

class R:
    def route(self, call: Call) -> Tier:
        return Tier(len(call.messages) % 4)
"""

MILLISECONDS = "it must be milliseconds, from 0 to those of a day"
RATIONALE = "it must be a string of at most 131,072 characters, or null"
UNASKED = "sent an answer with a wrong request number: some code in it wrote to twinbench's pipe"
HALF = "sent a string with half a surrogate pair, which UTF-8 cannot encode"

MESSAGES = {
    "no hooks": "sent an answer without hooks",
    "hooks no list": "sent an answer with hooks = 5; it must be a list of 'start', 'observe', 'end' and 'fit'",
    "hooks a text": "sent an answer with hooks = 'start'; it must be a list of 'start', 'observe', 'end' and 'fit'",
    "hooks unknown": r"sent an answer with hooks\[1\] = 'finish'; "
    "it must be a list of 'start', 'observe', 'end' and 'fit'",
    "hooks unhashable": r"sent an answer with hooks\[0\] = a list; "
    "it must be a list of 'start', 'observe', 'end' and 'fit'",
    "error without usage": "sent an answer without usage",
    "usage no truth value": "sent an answer with usage = 'yes'; it must be true or false",
    "load error no text": "sent an answer with error = an object; it must be a string",
    "decision at load": "sent an answer without hooks",
    "question at load": "called an LLM outside route()",
    "route_ms nan": r"sent an answer that is not JSON \(NaN is not a number\)",
    "route_ms infinite": r"sent an answer that is not JSON \(Infinity is not a number\)",
    "route_ms beyond floats": r"sent an answer that is not JSON \(1e999 is too large a number\)",
    "route_ms negative": f"sent an answer with route_ms = -1.5; {MILLISECONDS}",
    "route_ms huge": rf"sent an answer with route_ms = 1e\+300; {MILLISECONDS}",
    "route_ms of 400 digits": f"sent an answer with route_ms = 10{{59}}…; {MILLISECONDS}",
    "route_ms a text": f"sent an answer with route_ms = '0.1'; {MILLISECONDS}",
    "route_ms nan with error": r"sent an answer that is not JSON \(NaN is not a number\)",
    "score nan": r"sent an answer that is not JSON \(NaN is not a number\)",
    "score above 1": "sent an answer with score = 1.5; it must be a number from 0 to 1, or null",
    "score true": "sent an answer with score = true; it must be a number from 0 to 1, or null",
    "score of 5,000 digits": r"sent an answer that is not JSON \(.*5001 digits.*\)",
    "rationale a list": f"sent an answer with rationale = a list; {RATIONALE}",
    "rationale half a pair": HALF,
    "rationale too long": f"sent an answer with rationale = 'x{{59}}…; {RATIONALE}",
    "candidate an object": "sent an answer with candidate = an object; it must be a string",
    "candidate 900 deep": "sent an answer (with candidate = a list; it must be a string|that is no JSON .*)",
    "100,000 deep": r"sent an answer that is not JSON \(.*\)",
    "error half a pair": HALF,
    "error a number": "sent an answer with error = 5; it must be a string",
    "mutated a text": "sent an answer with mutated = 'no'; it must be true or false",
    "reached a number": "sent an answer with accesses = 3; it must be a list of texts",
    "reached of lists": r"sent an answer with accesses\[0\] = a list; it must be a list of texts",
    "neither": "sent an answer without candidate",
    "hooks at a decision": "sent an answer without candidate",
    "unknown field": "sent an answer with an unknown field: 'usage'",
    "key twice": r"sent an answer that is not JSON \(an object has a duplicate key\)",
    "number a text": UNASKED,
    "number a float": UNASKED,
    "number missing": UNASKED,
    "question no object": "sent an answer with ask = 5; it must be an object with messages, .*",
    "question without messages": "sent an answer without ask.messages",
    "question and decision": "sent an answer without ask.messages",
    "not UTF-8": r"sent an answer that is not JSON \('utf-8' codec can't decode byte .*\)",
    "empty": r"sent an answer that is not JSON \(.*\)",
    "decision at a hook": "sent an answer with an unknown field: 'candidate'",
    "question at a hook": "called an LLM outside route()",
    "hook error a list": r"sent an answer with error = a list; it must be a string",
    "hook error half a pair": HALF,
}

THROUGH_THE_COMMAND_LINE = [
    *("hooks unhashable", "route_ms infinite", "error half a pair"),
    *("no hooks", "hooks no list", "error without usage", "route_ms nan", "route_ms negative"),
][: number_of(3, 8)]
"""Each of these once ended the command, or made all of its JSON impossible."""


def forging(what: str, every: int = 1) -> str:
    return f"{hostile('frames', 'Forges')}?what={what.replace('&', '')}&every={every}"


@pytest.fixture
def banked(store: Store, put_bank: PutBank, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a bank of 16 rows in four trajectories, which commands use untold."""
    put_bank([row for number in range(4) for row in a_trajectory([0, 1, 2, 3], instance=f"i{number}")], store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    return store


def test_each_frame_has_its_message() -> None:
    assert set(MESSAGES) == set(FRAMES)


@pytest.mark.parametrize("what", thinned(FRAMES, 4))
def test_a_frame_that_cannot_be_used_is_an_error_that_says_why(what: str) -> None:
    wanted = f"its process {MESSAGES[what]}"
    if FRAMES[what][0] == "load":
        with pytest.raises(RouterLoadError) as raised, hosted(forging(what)):
            pass
        assert re.fullmatch(f"router '.*' could not be loaded: {wanted}", str(raised.value), re.DOTALL)
        return
    with hosted(forging(what)) as router:
        for session in ("one", "another"):
            router.start(session)
            assert re.fullmatch(f"error: {wanted}", asked(router, session), re.DOTALL)


@pytest.mark.parametrize("what", thinned([name for name, (when, _) in FRAMES.items() if when != "load"], 4))
def test_the_next_decision_is_as_good_as_if_nothing_had_been(what: str) -> None:
    with hosted(forging(what, every=2)) as router:
        found = [asked(router, session) for session in "abcdef"]
    assert [each[:19] for each in found] == ["mid", "error: its process "] * 3


@pytest.mark.drawn
def test_frames_cost_their_routers_alone_and_json_stays_json(banked: Store, write_router: WriteRouter) -> None:
    forgers = {what: forging(what) for what in THROUGH_THE_COMMAND_LINE}
    ran = twinbench("static", "score", *forgers.values(), write_router(GOOD), "--bank", "bank", "--json")
    *bad, other = ran.json["routers"][: len(forgers) + 1]
    assert ran.code == 1
    assert [each["router"] for each in bad] == list(forgers.values())
    for what, entry in zip(forgers, bad, strict=True):
        assert re.search(MESSAGES[what], entry["first_error"]), what
        assert (entry["counts"]["errors"], entry["given_up"]) == (16, True), what
    assert (other["counts"]["errors"], other["first_error"]) == (0, None)
    assert "Traceback" not in ran.err


def test_the_same_through_a_command_of_its_own(banked: Store, write_router: WriteRouter) -> None:
    ran = spawned("static", "score", forging("route_ms nan"), write_router(GOOD), "--bank", "bank", "--json")
    assert (ran.code, "Traceback" in ran.err) == (1, False)
    assert ran.json["routers"][0]["given_up"] is True


def test_a_router_whose_every_second_frame_is_odd_keeps_the_other_rows(banked: Store) -> None:
    ran = twinbench("static", "score", forging("route_ms infinite", every=2), "--bank", "bank", "--json").succeeded()
    entry = ran.json["routers"][0]
    assert 0 < entry["counts"]["errors"] < 16
    assert all(value > 0 for value in entry["latency_ms"].values())


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    with hosted(hostile("frames", "Extra")) as router:
        assert asked(router, step=1) == "mid"
        assert "sent an answer with a wrong request number: some code" in asked(router, step=2)


def test_an_answer_cannot_come_before_its_question() -> None:
    """Else it would be right, and take no time."""
    with hosted(hostile("frames", "Early")) as router:
        assert asked(router, step=1) == "mid"
        assert "sent an answer with a wrong request number: some code" in asked(router, step=2)


def test_latency_is_what_passed_here_whatever_a_router_says(banked: Store) -> None:
    with Bank.open("bank", banked) as bank, hosted(hostile("frames", "Understates")) as router:
        predicted = predict(router, bank, static_manifest())
        assert router.last_route_ms == 0.001
    assert not predicted.errors
    assert predicted.latencies_ms is not None
    assert min(predicted.latencies_ms) >= 50


def test_latency_is_neither_the_start_of_a_process_nor_a_hook(write_router: WriteRouter) -> None:
    code = """
import os, time

class R:
    def __init__(self):
        time.sleep(0.5)

    def start(self, session):
        time.sleep(0.5)

    def route(self, call):
        if call.step_index == 1:
            os._exit(3)
        return "low"
"""
    with hosted(write_router(code)) as router:
        router.start("s")
        assert isinstance(ask_router(router, a_call(session="s", step_index=1))[0], str)
        choice, latency_ms = ask_router(router, a_call(session="s", step_index=2))
    assert isinstance(choice, Choice)
    assert latency_ms < 500


def test_latency_of_a_decision_that_failed_is_measured_too() -> None:
    with hosted(hostile("failing", "Loops"), decision_s=0.5) as router:
        _, latency_ms = ask_router(router, a_call())
    assert latency_ms >= 500


@pytest.mark.parametrize("claimed", [float("nan"), -1.0, "fast", None])
def test_a_router_of_this_process_is_measured_here_too(claimed: object, banked: Store) -> None:
    class Boastful:
        last_decision_ms = claimed

        def route(self, call: object) -> str:
            return "low"

    with Bank.open("bank", banked) as bank:
        entry = Evaluator(bank).board([Boastful()]).entries[0]
    assert all(value is not None and value > 0 for value in entry.latency_ms.values())


class Scripted(RouterProcess):
    """A process that sends what it is given, a few bytes at a time."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self._draw = draw
        self._mutant: bytes = b""
        self._left = b""
        self.ended = False
        self.rest: Callable[[], bytes] = bytes

    def sends(self, body: bytes) -> None:
        """Answer the next request with a content."""
        self._mutant = body

    def _write(self, data: bytes) -> None:
        body = self._mutant.replace(NUMBER.encode(), str(self._number).encode())
        length = len(body) if self._draw.random() < 0.97 else self._draw.randrange(2 * len(body) + 2)
        self._left = length.to_bytes(4, "big") + body

    def _read(self, size: int) -> bytes:
        size = min(size, self._draw.choice([1, 3, 1000, 2**20]))
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _ending_message(self) -> str:
        self.ended = True
        return self._killed_because or "its process exited with code 0"

    def kill(self, because: str) -> None:
        self._killed_because = because

    def close(self) -> None:
        self.ended = True

    def read_new_stderr(self, *, wait: bool) -> bytes:
        return b""

    def tree_mib(self) -> float:
        return 0.0


KINDS: Mapping[str, AnswerKind[Any, Any]] = {"load": LOADING, "hook": HOOK, "route": DECISION}


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(seed)  # noqa: S311 - the same mutants in every run
    for _ in range(count):
        kind = draw.choice(["load", "hook", "route", "route"])
        yield kind, mutant(draw, draw.choice(ANSWERS[kind]))


@pytest.mark.drawn
def test_mutants_are_answers_or_errors_of_routers() -> None:
    draw = random.Random(7)  # noqa: S311
    outcomes = {"used": 0, "refused": 0}
    for kind, body in mutants(20, MUTANTS):
        process = Scripted(draw)
        process.sends(body)
        try:
            answer = process.ask({"do": kind}, KINDS[kind], 60.0, "it", lambda _: {"error": "no"})
        except RouterError as error:
            outcomes["refused"] += 1
            said = str(error).encode()
            assert process.ended and len(said) < 10_000, said  # noqa: PT018
        else:
            outcomes["used"] += 1
            assert not isinstance(answer, Question)
            json.dumps(answer.model_dump(), allow_nan=False, ensure_ascii=False).encode()
    assert min(outcomes.values()) > MUTANTS / 100, outcomes


def test_mutants_of_decisions_become_rows_that_json_can_hold() -> None:
    """The same from the outside: whatever comes, there is a choice or a text, and a number of milliseconds."""
    draw = random.Random(8)  # noqa: S311
    decided = 0
    for kind, body in mutants(21, 2_000):
        if kind != "route":
            continue
        router = ProcessRouter("mutant", {}, TIERS, limits(), {}, NoRouterLlm())
        process = Scripted(draw)
        process.sends(body)
        router._process = process
        choice, latency_ms = ask_router(router, a_call())
        assert 0 <= latency_ms < 60_000
        if isinstance(choice, Choice):
            decided += 1
            shown: object = [choice.candidate.id, choice.score, choice.rationale]
        else:
            shown = choice
        json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()
    assert decided > 10


@pytest.mark.drawn
def test_mutants_from_a_real_process_leave_json_that_others_can_read(
    banked: Store, write_router: WriteRouter, tmp_path: Path
) -> None:
    folder = tmp_path / "mutants"
    folder.mkdir()
    bodies = [body for kind, body in mutants(22, 4 * MUTANTS_SENT) if kind == "route" and b'"ask"' not in body]
    for number, body in enumerate(bodies[:MUTANTS_SENT]):
        (folder / f"{number:04}").write_bytes(body)
    rounds = 0
    while any(folder.iterdir()) and rounds < MUTANTS_SENT:
        rounds += 1
        ran = twinbench(
            *("static", "score", f"{hostile('frames', 'Mutates')}?mutants={folder}", write_router(GOOD)),
            *("--bank", "bank", "--json", "--no-cache"),
        )
        assert_only_the_bad_one_failed(ran)
    assert not any(folder.iterdir())


def assert_only_the_bad_one_failed(ran: Ran) -> None:
    assert ran.code in (0, 1), ran.err
    assert "Traceback" not in ran.err
    assert "bug" not in ran.err
    bad, good = ran.json["routers"][:2]
    assert bad["counts"]["rows"] == 16
    assert (good["counts"]["errors"], good["first_error"]) == (0, None)


@pytest.mark.parametrize("what", thinned(["error half a pair", "reached of lists", "mutated a text"], 3))
def test_what_a_check_shows_of_a_forger_is_text(what: str, banked: Store) -> None:
    ran = twinbench("router", "check", forging(what), "--bank", "bank", "--json")
    assert ran.code == 1
    assert ran.json["checks"]


def test_a_check_of_frames_costs_little_beside_a_decision(write_router: WriteRouter) -> None:
    """As a part of the way to a process and back that is measured in the same run."""
    from twinbench.plugins import answers

    body = frame('{"number": 1, "candidate": "low", "score": 0.5, "rationale": "why", "route_ms": 0.25}', 1)[4:]
    call = a_call()
    with hosted(write_router(GOOD)) as router:
        there = statistics.median(timed(lambda: router.route(call), 300))
    check = statistics.median(timed(lambda: answers.check_answer(body, 1, DECISION), 300))
    assert check < there / 2


def timed(work: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found


PYTHONS = [
    ("echo '{\"kind\": '", r"is it Python 3.10 or newer\? \({\"kind\":\)"),
    ("echo '[]'", r"is it Python 3.10 or newer\? \(\[\]\)"),
    ('echo \'{"not_found": ["x"]}\'', "is it Python 3.10 or newer"),
    ('echo \'{"kind": "file", "target": "\\ud800"}\'', "is it Python 3.10 or newer"),
    ("head -c 8000000 /dev/zero", "more than 4,194,304 bytes"),
    ("head -c 8000000 /dev/zero >&2; echo >&2; echo oh >&2; exit 3", r"is it Python 3.10 or newer\? \(oh\)"),
]


@pytest.mark.parametrize(("script", "message"), PYTHONS, ids=[script[:20] for script, _ in PYTHONS])
def test_an_interpreter_that_describes_no_router_is_wrong_usage(
    script: str, message: str, write_router: WriteRouter, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(TwinbenchError, match=message), hosted(write_router(GOOD), python=str(python)):
        pass
