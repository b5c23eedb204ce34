"""What a router does to its process costs that row and no more, and each has its own message."""

from __future__ import annotations

import json
import re
import signal
import sys
from itertools import product
from pathlib import Path

import pytest

from static_track.banks.bank import Bank
from static_track.board import Entry
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory, import_rows
from tests.examples import thinned
from tests.plugins.conftest import PutBank
from tests.plugins.hosting import asked, hosted, hostile, limits, marked
from tests.twinbench.calls import a_call
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.output import RouterOutput
from twinbench.storage.store import Store

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper and /proc")

SLOW = {"decision_s": 0.5}
"""Limits of a router that hangs."""


@pytest.fixture
def store(tmp_path: Path, put_bank: PutBank) -> Store:
    """A store with the bank ``small``: two trajectories of two steps, which are shorter than a router's patience."""
    made = Store(tmp_path / "store")
    put_bank([*a_trajectory([0, 1], instance="a"), *a_trajectory([0, 1], instance="b")], made, "small")
    return made


def board(store: Store, *specs: str, **fields: float) -> list[Entry]:
    """What becomes of routers on the bank ``small``."""
    with Bank.open("small", store) as bank:
        return [*Evaluator(bank, plugins=limits(**fields)).board(specs).entries]


FAILING = [
    ("Raises", r"route raised ValueError: no idea about 1 messages \(failing.py, line \d+\)"),
    ("RaisesWithoutText", r"route raised _MuteError: an error whose text cannot be had \(failing.py, line \d+\)"),
    ("SysExits", r"route raised SystemExit: 3 \(failing.py, line \d+\)"),
    ("OsExits", "its process exited with code 4; last line of standard error: I give up"),
    ("Kills", r"its process was killed by signal 9 \(SIGKILL\)"),
    ("Segfaults", r"its process was killed by signal 11 \(SIGSEGV\)"),
    ("WritesHugeFile", r"route raised OSError: \[Errno 27\] File too large \(failing.py, line \d+\)"),
    ("KillsGroup", r"its process was killed by signal 9 \(SIGKILL\)"),
    ("KillsReaper", r"its process was killed by signal 9 \(SIGKILL\)"),
]
HANGING = ["Loops", "Backtracks", "SleepsInC", "IgnoresSignals"]


@linux
@pytest.mark.parametrize(("name", "message"), FAILING)
def test_a_decision_that_fails_is_an_error_with_its_own_text(name: str, message: str) -> None:
    with hosted(hostile("failing", name)) as router:
        for session in ("one", "another"):
            assert re.fullmatch(f"error: {message}", asked(router, session))


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGXFSZ, signal.SIGABRT])
def test_whichever_signal_kills_it_is_named(number: signal.Signals) -> None:
    with hosted(f"{hostile('failing', 'Kills')}?number={int(number)}") as router:
        assert asked(router) == f"error: its process was killed by signal {int(number)} ({number.name})"


@linux
@pytest.mark.parametrize("name", HANGING)
def test_a_decision_that_hangs_is_ended_at_its_limit(name: str) -> None:
    with hosted(hostile("failing", name), **SLOW) as router:
        assert asked(router).startswith("error: the decision took longer than 0.5 s, the first of its process")


@linux
def test_a_stopped_reaper_stops_nobody_else() -> None:
    with hosted(hostile("failing", "StopsReaper"), **SLOW) as router:
        assert asked(router).startswith("error: the decision took longer than 0.5 s, the first of its process")


@pytest.mark.parametrize("name", ["Allocates", "AllocatesInChildren"])
def test_memory_without_end_ends_the_process(name: str) -> None:
    with hosted(hostile("failing", name), memory_mib=256) as router:
        assert asked(router) == "error: its process took more than 256 MiB of memory"


@pytest.mark.parametrize("hook", ["start", "observe", "end"])
def test_a_hook_that_hangs_is_named(hook: str, store: Store) -> None:
    entry = board(store, f"{hostile('failing', 'LoopsInHook')}?hook={hook}", **SLOW)[0]
    assert entry.first_error == f"{hook} took longer than 0.5 s"


@pytest.mark.parametrize(("hook", "errors"), [("start", 2), ("observe", 2), ("end", 2)])
def test_a_hook_that_raises_costs_one_row(hook: str, errors: int, store: Store) -> None:
    entry = board(store, f"{hostile('failing', 'RaisesInHook')}?hook={hook}")[0]
    assert (entry.first_error or "").startswith(f"{hook} raised LookupError: never heard of it (failing.py, line ")
    assert entry.score.counts["errors"] == errors


ODD = [
    ("none", "route returned None, of type NoneType; it must return a Decision, a Candidate, a Tier or a str"),
    ("number", "route returned 3, of type int; it must return a Decision, a Candidate, a Tier or a str"),
    ("list", r"route returned \['low'\], of type list; it must return a Decision, a Candidate, a Tier or a str"),
    ("unknown", r"'gpt-17' is neither a candidate \(.*\) nor a tier"),
    ("nan", "score must be a number from 0 to 1 or None, not nan"),
    ("infinite", "score must be a number from 0 to 1 or None, not inf"),
    ("text-score", "score must be a number from 0 to 1 or None, not '0.5'"),
    ("long-rationale", "its rationale has 10,485,760 characters; at most 131,072 are allowed"),
    ("long-text", r"'x{70,76}… is neither a candidate \(.*\) nor a tier"),
    ("bytes-rationale", "rationale must be a str or None, not b'x'"),
    ("surrogate-rationale", r"rationale must be a str or None, not '\\ud800'"),
    ("raising-repr", r"looking at the answer raised ZeroDivisionError: no repr \(answering.py, line \d+\)"),
    ("long-name", r"its process sent an answer of 2,097,\d\d\d bytes; at most 1,048,576 are allowed"),
    ("surrogate-error", r"route raised ValueError: half a \? and a \0 \(answering.py, line \d+\)"),
]


def test_answers_that_are_no_decisions_are_errors_that_say_so() -> None:
    with hosted(hostile("answering", "Answers")) as router:
        for what, message in ODD:
            assert re.fullmatch(f"error: {message}", asked(router, what), re.DOTALL), what
            # Nor does the next decision suffer; its rationale is of the longest length, however it is written.
            assert asked(router, "escaped-rationale") == "low", what


@pytest.mark.parametrize("how", ["print", "write", "subprocess", "error", "raise"])
def test_what_a_router_prints_is_kept_and_is_no_error(how: str) -> None:
    output = RouterOutput()
    spec = f"{hostile('answering', 'Prints')}?how={how}"
    with hosted(spec, output=output) as router:
        assert asked(router) == "low" if how != "raise" else asked(router).startswith("error: route raised ValueError")
        assert output.read_output(spec) == "hello\n"
        assert output.before_failure(spec) == ("hello" if how == "raise" else None)


def test_what_is_printed_is_passed_on_once_and_kept_within_bounds() -> None:
    heard: list[str] = []
    output = RouterOutput(lambda _, text: heard.append(text))
    spec = f"{hostile('answering', 'Prints')}?how=much"
    with hosted(spec, output=output) as router:
        for step in (1, 2, 3):
            assert asked(router, step=step) == "low"
            assert output.read_output(spec) == ("x" * 65_535 + "\n")
    assert heard == ["x" * 65_535 + "\n"] * 3


def test_what_a_router_printed_before_it_died_or_was_ended_is_there() -> None:
    for how in ("dies", "hangs"):
        output = RouterOutput()
        spec = f"{hostile('answering', 'Prints')}?how={how}"
        with hosted(spec, output=output, **SLOW) as router:
            assert asked(router).startswith("error: ")
        assert output.before_failure(spec) == "hello"


def test_what_warms_up_takes_no_time_of_a_decision() -> None:
    with hosted(hostile("loading", "WarmsUp"), decision_s=2.0) as router:
        assert asked(router) == "high"
    with (
        pytest.raises(RouterLoadError, match="could not be loaded: loading it took longer than 1 s"),
        hosted(hostile("loading", "WarmsUp"), load_s=1.0),
    ):
        pass


@pytest.mark.parametrize("then", ["", "all", "loop"])
def test_a_closed_pipe_is_seen(then: str) -> None:
    with hosted(f"{hostile('answering', 'ClosesPipe')}?then={then}") as router:
        assert asked(router) == "error: its process closed its pipe to twinbench"


ON_THE_PIPE = [
    ("text", "its process sent an answer of 1,751,477,356 bytes; at most 1,048,576 are allowed"),
    ("no-json", r"its process sent an answer that is not JSON \(.*\)"),
    ("list", "its process sent an answer that is not a JSON object"),
    ("deep", r"its process sent an answer that is not JSON \(.*\)"),
    (
        "other-session",
        "its process sent an answer with a wrong request number: some code in it wrote to twinbench's pipe",
    ),
]


@linux
@pytest.mark.parametrize(("what", "message"), ON_THE_PIPE)
def test_what_it_writes_to_the_pipe_itself_is_refused(what: str, message: str) -> None:
    with hosted(f"{hostile('answering', 'WritesToPipe')}?what={what}") as router:
        assert re.fullmatch(f"error: {message}", asked(router))


@linux
@pytest.mark.parametrize("what", ["odd-answer", "no-answer"])
def test_a_forged_answer_to_the_right_question_is_checked_like_any_other(what: str, store: Store) -> None:
    entry = board(store, f"{hostile('answering', 'WritesToPipe')}?what={what}")[0]
    assert entry.score.counts["errors"] > 0
    assert entry.first_error


def test_a_router_that_patches_modules_deceives_itself_alone() -> None:
    with hosted(hostile("answering", "PatchesModules")) as router:
        assert [asked(router, session) for session in "abc"] == ["low"] * 3


def test_nothing_that_is_like_a_label_can_be_reached(store: Store, tmp_path: Path) -> None:
    rows = [
        row | {"messages": [{"role": "user", "content": "hello"}], "target_tier": "mid_high", "target_tier_id": 2}
        for row in a_trajectory([0, 1, 2], workload="secretworkload", instance="secretinstance")
    ]
    import_rows(rows, store, "secretbank")
    words = ["target_tier", "total_steps", "secretworkload", "secretinstance", "secretbank", str(store.root)]
    known_words = [*words, "step_index"]  # to see that it looks at all
    report = tmp_path / "report"
    with Bank.open("secretbank", store) as bank:
        peeks = f"{hostile('answering', 'Peeks')}?words={','.join(known_words)}&report={report}"
        entry = Evaluator(bank, plugins=limits()).board([peeks]).entries[0]
    assert entry.first_error is None
    for line in report.read_text().splitlines():
        looked_at, _, found = line.partition(" ")
        assert int(looked_at) > 5_000
        assert found == "step_index"


def test_secrets_in_the_environment_are_not_passed_on_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("OTHER_KEY", "secret")
    for environment, seen in (((), None), (("API_KEY",), "secret")):
        with hosted(hostile("answering", "ReadsEnvironment"), environment=environment) as router:
            answer = router.route(a_call())
        found = json.loads(answer.rationale or "")
        assert found.get("API_KEY") == seen
        assert "OTHER_KEY" not in found
        assert "PATH" in found
        assert Path(found["HOME"]) != Path.home()


FORKING = ["Plainly", "Away", "Unmarked", "Returning"]


@linux
@pytest.mark.parametrize(("name", "then"), thinned(product(FORKING, ["", "exit", "hang", "kill-group"]), 3))
def test_what_it_starts_does_not_outlive_it(name: str, then: str, mark: str) -> None:
    """The fixture ``mark`` looks for what is left."""
    with hosted(
        f"{hostile('forking', name)}?mark={mark}&then={then}", decision_s=1.0 if then == "hang" else 20.0
    ) as router:
        wanted = {
            "": "low",
            "exit": "error: its process exited with code 5",
            "hang": "error: the decision took longer than 1 s",
            "kill-group": "error: its process was killed by signal 9 (SIGKILL)",
        }
        if then or name != "Returning":
            assert asked(router).startswith(wanted[then])
        else:
            assert [asked(router, session) for session in "abc"] == ["low"] * 3
        assert bool(marked(mark)) == (not then)
