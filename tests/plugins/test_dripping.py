"""A router that drips or floods is ended at its limit, whatever it writes to, and twinbench does not grow."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from static_track.banks.bank import Bank
from static_track.board import Entry
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory
from tests.examples import thinned
from tests.plugins.conftest import PutBank
from tests.plugins.hosting import asked, hosted, hostile, limits
from tests.twinbench.calls import a_call
from twinbench.plugins.limits import RouterLoadError
from twinbench.storage.store import Store

LIMIT_S = 1.0
ENDED_WITHIN_S = 30.0
"""Of a limit of one second, on a machine that does ten other things; without an end it would be for ever."""

MOST_GROWTH_MIB = 48
"""What a few seconds of flooding are many times of."""

LATE = "error: {what} took longer than 1 s"
"""How the error begins."""
CLOSED = "error: its process closed its pipe to twinbench"
UNASKED = "error: its process sent an answer with a wrong request number: some code in it wrote to twinbench's pipe"

FEEDING = [
    ("Drips", LATE),
    ("Floods", LATE),
    ("FloodsInChild", LATE),
    ("DripsHeader", LATE),
    ("DripsFrame", LATE),
    ("FloodsPipe", "error: its process sent an answer of 2,021,161,080 bytes; at most 1,048,576 are allowed"),
    ("FloodsOutput", "error: "),  # File too large, or late where the disk is slow
    ("ClosesAndLives", CLOSED),
    ("Bombs", LATE),
]
FOUND = ["Drip", "DripOnce", "Flood", "Fifo"]


def feeding(name: str, when: str = "route") -> str:
    return f"{hostile('dripping', name)}?when={when}"


@contextmanager
def growth_bounded(most_mib: float = MOST_GROWTH_MIB) -> Iterator[None]:
    """The resident memory of this process may not grow by much, at any time within the block."""
    gc.collect()
    me = psutil.Process()
    before = most = me.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, me.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert (most - before) / 2**20 < most_mib


@contextmanager
def ended_soon() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < ENDED_WITHIN_S


@pytest.mark.parametrize(("name", "message"), thinned(FEEDING, 3), ids=[name for name, _ in FEEDING])
def test_a_decision_that_drips_or_floods_is_ended_at_its_limit(name: str, message: str) -> None:
    with hosted(feeding(name), decision_s=LIMIT_S) as router:
        for session in ("one", "another"):
            with growth_bounded(), ended_soon():
                assert asked(router, session).startswith(message.format(what="the decision"))


@pytest.mark.parametrize("name", thinned([name for name, _ in FEEDING], 4))
def test_loading_that_drips_or_floods_is_ended_at_its_limit(name: str) -> None:
    with growth_bounded(), ended_soon(), pytest.raises(RouterLoadError) as raised:  # noqa: SIM117
        with hosted(feeding(name, "load"), load_s=LIMIT_S):
            pass
    message = dict(FEEDING)[name].removeprefix("error: ").format(what="loading it")
    assert f"could not be loaded: {message}" in str(raised.value)


@pytest.mark.parametrize("hook", thinned(["start", "observe", "end"], 2))
@pytest.mark.parametrize("name", thinned(["Drips", "Floods", "DripsFrame"], 3))
def test_a_hook_that_drips_or_floods_is_ended_at_its_limit(name: str, hook: str, store: Store) -> None:
    entry = scored(feeding(name, hook), store)
    assert entry.first_error == f"{hook} took longer than 1 s"


@pytest.fixture
def store(tmp_path: Path, put_bank: PutBank) -> Store:
    """A store with the bank ``small``."""
    made = Store(tmp_path / "store")
    put_bank([*a_trajectory([0, 1], instance="a"), *a_trajectory([0, 1], instance="b")], made, "small")
    return made


def scored(spec: str, store: Store) -> Entry:
    with Bank.open("small", store) as bank:
        return Evaluator(bank, plugins=limits(decision_s=LIMIT_S)).board([spec]).entries[0]


def test_a_process_that_reads_no_request_is_ended_at_its_limit() -> None:
    """Even where the request is larger than what a pipe holds."""
    messages = ({"role": "user", "content": "x" * 5 * 2**20},)
    with hosted(hostile("dripping", "NeverReads"), decision_s=LIMIT_S) as router, growth_bounded(256):
        for session in ("one", "another"):
            with ended_soon():
                found = asked(router, session, messages=messages)
                assert found.startswith(LATE.format(what="the decision" if router._hooks == frozenset() else "start"))


def test_questions_without_end_are_ended_at_the_limit() -> None:
    """The limit stands still while a question is answered, and no longer."""
    with hosted(hostile("dripping", "AsksForEver"), decision_s=LIMIT_S) as router, growth_bounded(256), ended_soon():
        assert asked(router).startswith(LATE.format(what="the decision"))


def test_a_question_of_nothing_but_brackets_takes_little_room() -> None:
    """Two bytes of it would take a hundred in memory."""
    with hosted(hostile("dripping", "AsksBrackets")) as router, growth_bounded(128):
        assert asked(router) == (
            "error: its process sent an LLM question with more than 1,048,576 bytes outside strings"
        )


def test_what_writes_to_standard_error_behind_good_answers_takes_little_room(tmp_path: Path) -> None:
    with hosted(feeding("FloodsBehind"), decision_s=20) as router, growth_bounded():
        for step in range(1, 20):
            assert asked(router, "s", step) == "low"
            time.sleep(0.05)
        assert router._process is not None
        held = Path(f"/proc/self/fd/{router._process._output.file.fileno()}")  # type: ignore[attr-defined]
        sizes = []
        for _ in range(40):
            with contextlib.suppress(OSError):
                sizes.append(held.stat().st_size)
            time.sleep(0.02)
    assert min(sizes) < 64 * 2**20, sizes


def test_last_words_are_kept_however_much_was_said_before(tmp_path: Path) -> None:
    code = """
import os, time

class R:
    def route(self, call):
        for _ in range(40):
            os.write(2, b"noise " * 100_000)
            time.sleep(0.01)
        os.write(2, b"\\nI give up\\n")
        os._exit(4)
"""
    (tmp_path / "routers.py").write_text(code, "utf-8")
    with hosted(f"{tmp_path / 'routers.py'}:R") as router:
        assert asked(router) == "error: its process exited with code 4; last line of standard error: I give up"


@pytest.mark.parametrize("name", thinned(FOUND, 2))
def test_what_was_found_to_run_on_is_ended_at_its_limit(name: str, shared: Path) -> None:
    spec = f"{shared / 'found/routers/drip.py'}:{name}"
    with hosted(spec, decision_s=LIMIT_S) as router, growth_bounded(), ended_soon():
        assert asked(router).startswith(LATE.format(what="the decision"))


def test_an_answer_that_comes_after_its_limit_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where whoever watches the limit from outside has not looked yet."""
    monkeypatch.setattr("twinbench.plugins.local_process._POLL_S", 5.0)
    with hosted(f"{hostile('dripping', 'AnswersAfter')}?seconds=1.2", decision_s=LIMIT_S) as router:
        assert asked(router).startswith(LATE.format(what="the decision"))
        assert router.route(a_call(step_index=2)).candidate == "low"
