"""A bad router beside good ones in one command: what it costs, what the run says, and what is left."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from static_track.banks.bank import Bank
from static_track.board import Entry
from static_track.evaluator import Evaluator
from static_track.results import ResultCache
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import SCRIPT, spawned, twinbench
from tests.examples import thinned
from tests.plugins.conftest import PutBank, WriteRouter
from tests.plugins.hosting import MARK_VARIABLE, asked, children, hosted, hostile, limits, marked, until
from tests.timing import HANG_S, limit_for
from twinbench.errors import UsageError
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.local_process import COOKIE
from twinbench.storage.store import STORE_VARIABLE, Store

ROWS = 24
GOOD = """
from twinbench import Call, Tier

class R:
    def route(self, call: Call) -> Tier:
        return Tier(len(call.messages) % 4)
"""
FLAKY = """
import os

class R:
    def route(self, call):
        if call.step_index % 4 == 0:
            os._exit(9)
        return "mid"
"""


@pytest.fixture
def banked(store: Store, put_bank: PutBank, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a bank of 24 rows in four trajectories, which commands use untold."""
    rows = [row for number in range(4) for row in a_trajectory([0, 1, 2, 3, 1, 0], instance=f"i-{number}")]
    assert len(rows) == ROWS
    put_bank(rows, store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    return store


def test_bad_routers_cost_the_good_ones_nothing(banked: Store, write_router: WriteRouter) -> None:
    good, flaky = write_router(GOOD, "good.py"), write_router(FLAKY, "flaky.py")
    bad = [
        hostile("failing", "Segfaults"),
        hostile("failing", "IgnoresSignals"),  # hangs, without taking a processor from whoever else is measured
        f"{hostile('answering', 'ClosesPipe')}?then=",
        hostile("loading", "Raises"),
        hostile("answering", "PatchesModules"),
    ]
    with Bank.open("bank", banked) as bank:
        judged: list[Entry] = []
        # What a decision takes is a part of what all of them take.
        decision_s = limit_for(
            lambda: judged.append(Evaluator(bank, plugins=limits(), no_cache=True).board([good]).entries[0]),
            at_least_s=0.2,
            times=1,
        )
        (alone,) = judged
        several = Evaluator(bank, plugins=limits(decision_s=decision_s), no_cache=True)
        entries = several.board([bad[0], flaky, *bad[1:], good]).entries
    by_name = {entry.router: entry for entry in entries}
    assert by_name[good].score == alone.score
    assert (by_name[good].first_error, by_name[good].given_up) == (None, False)
    assert [by_name[name].given_up for name in bad] == [True, True, True, True, False]
    assert by_name[flaky].given_up is False
    assert by_name[flaky].score.counts["errors"] == 4
    assert by_name[flaky].first_error == "its process exited with code 9"


def test_a_router_that_always_fails_is_given_up_on_and_the_run_says_so(
    banked: Store, write_router: WriteRouter, tmp_path: Path
) -> None:
    good, bad = write_router(GOOD), f"{hostile('failing', 'Kills')}?number=11"
    ran = twinbench("static", "score", bad, good, "--bank", "bank")
    assert ran.code == 1
    why = "its process was killed by signal 11 (SIGSEGV)"
    assert ran.err == f"error: {bad} was stopped after too many failures in a row: {why}\n"
    assert bad in ran.text
    assert good in ran.text
    ran = twinbench("static", "predict", bad, "--bank", "bank", "-o", tmp_path / "predictions.jsonl")
    assert ran.code == 1
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    failed = [why in line for line in lines]
    left = ["not asked: the router was stopped after 10 failures in a row" in line for line in lines]
    assert (sum(failed), sum(left)) == (10, 14)
    assert [one or other for one, other in zip(failed, left, strict=True)] == [True] * 24


@pytest.mark.acceptance
def test_a_router_that_fails_on_every_row_of_a_short_bank_has_failed_too_and_is_not_kept(
    store: Store, write_router: WriteRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_rows(a_trajectory([0, 1]), store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    good = write_router(GOOD, "good.py")
    bad = write_router("class R:\n    def route(self, call):\n        return 'ultra'\n")
    why = f"error: {bad} failed on every row: 'ultra' is neither a candidate"
    for _ in range(2):
        ran = twinbench("static", "score", bad, good, "--bank", "bank", "--json")
        assert ran.code == 1
        assert ran.err.startswith(why)
        assert ran.err.count("error: ") == 1
        assert [entry["given_up"] for entry in ran.json["routers"][:2]] == [False, False]
    with ResultCache(store).connect() as connection:
        kept = {router for (router,) in connection.execute("SELECT DISTINCT router FROM predictions").fetchall()}
    assert good in kept
    assert bad not in kept
    ran = twinbench("static", "predict", bad, "--bank", "bank", "-o", tmp_path / "predictions.jsonl")
    assert ran.code == 1
    assert why in ran.err
    failed = ("static", "score", "--predictions", tmp_path / "predictions.jsonl", "--bank", "bank")
    assert twinbench(*failed).code == 0  # a file is scored as it stands


def test_what_a_router_given_up_on_did_is_not_kept(banked: Store, write_router: WriteRouter) -> None:
    fails = write_router("class R:\n    def route(self, call):\n        raise LookupError('down')\n")
    assert twinbench("static", "score", fails, "--bank", "bank").code == 1
    kept = twinbench("static", "score", fails, "--bank", "bank")
    assert kept.code == 1
    assert "was stopped after too many failures in a row: route raised LookupError: down" in kept.err


@pytest.mark.acceptance
def test_other_limits_and_another_environment_are_another_run(
    banked: Store, write_router: WriteRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os, time

class R:
    def route(self, call):
        time.sleep(1.5 if call.step_index == 2 and "WANTED" not in os.environ else 0)
        if call.step_index == 3:
            return os.environ["WANTED"]
        return "low"
"""
    spec = write_router(code)

    def errors(*options: str) -> int:
        command = ["static", "score", spec, "--bank", "bank", "--json", *options]
        routers = twinbench(*command).succeeded().json["routers"]
        return int(routers[0]["counts"]["errors"])

    assert errors("--decision-timeout", "1") == 8
    assert errors() == 4
    monkeypatch.setenv("WANTED", "high")
    assert errors("--plugin-env", "WANTED") == 0
    monkeypatch.setenv("WANTED", "enormous")
    assert errors("--plugin-env", "WANTED") == 4


@pytest.mark.parametrize("victim", thinned(["twinbench", "its whole group"], 2))
def test_nothing_is_left_of_a_killed_run(victim: str, banked: Store, mark: str) -> None:
    """In the middle of a decision that hangs, with children of all kinds."""
    routers = [f"{hostile('forking', 'Unmarked')}?mark={mark}&then=hang"]
    command = [str(SCRIPT), "static", "score", *routers, "--bank", "bank", "--plugin-env", MARK_VARIABLE]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    assert until(lambda: len(marked(mark)) == 4), marked(mark)  # twinbench, reaper, router, stray
    folders = {process.environ()["HOME"] for process in marked(mark) if COOKIE in process.environ()}
    if victim == "twinbench":
        run.kill()
    else:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert until(lambda: not marked(mark)), marked(mark)
    assert until(lambda: not any(Path(folder).parent.exists() for folder in folders))


@pytest.mark.acceptance
def test_an_impatient_person_waits_for_no_decision(banked: Store, mark: str) -> None:
    router = hostile("failing", "Loops")
    command = [str(SCRIPT), "static", "score", router, "--bank", "bank", "--plugin-env", MARK_VARIABLE]
    command += ["--decision-timeout", str(2 * HANG_S)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    assert until(lambda: any(process.cpu_times().user > 0.5 for process in marked(mark) if process.pid != run.pid))
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=HANG_S)
    assert run.returncode == 130
    assert b"interrupted" in said


def test_a_wrapper_around_the_interpreter_hides_nothing(mark: str, write_router: WriteRouter, tmp_path: Path) -> None:
    """Such as a script that activates an environment: the reaper's parent is then not twinbench."""
    wrapper = tmp_path / "python"
    wrapper.write_text('#!/bin/sh\n/usr/bin/env python3 "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    spec = write_router(GOOD)
    with hosted(spec, python=str(wrapper)) as router:
        assert asked(router) == "mid"
    with hosted(hostile("failing", "Loops"), python=str(wrapper), decision_s=0.5) as router:
        assert asked(router).startswith("error: the decision took longer than 0.5 s, the first of its process")
        assert until(lambda: not children())


LOADING = [
    (
        "Raises",
        r"router '{spec}' could not be loaded: its constructor raised OSError: no model here (loading.py, line ",
    ),
    ("Hangs", "router '{spec}' could not be loaded: loading it took longer than 0.5 s"),
    (
        "SysExits",
        "router '{spec}' could not be loaded: its constructor raised SystemExit: not today (loading.py, line ",
    ),
    ("OsExits", "router '{spec}' could not be loaded: its process exited with code 6"),
    ("OddToLookAt", "router '{spec}' could not be loaded: looking at its methods raised ValueError: who asks for "),
]


@pytest.mark.parametrize(("name", "message"), LOADING)
def test_a_router_that_cannot_be_loaded_fails_every_row(name: str, message: str, banked: Store) -> None:
    spec = hostile("loading", name)
    with Bank.open("bank", banked) as bank:
        entry = Evaluator(bank, plugins=limits(load_s=0.5 if name == "Hangs" else 30.0)).board([spec]).entries[0]
    assert (entry.first_error or "").startswith(message.format(spec=spec))
    assert entry.given_up
    assert entry.score.counts["errors"] == ROWS


def test_the_load_limit_is_an_option(banked: Store) -> None:
    ran = twinbench("static", "score", hostile("loading", "Hangs"), "--bank", "bank", "--load-timeout", "0.5")
    assert ran.code == 1
    assert "loading it took longer than 0.5 s" in ran.err


BROKEN = [
    ("class R\n", r"importing {file} raised SyntaxError: expected ':' ({name}, line 1)"),
    ("import no_such_module\n", "importing {file} raised ModuleNotFoundError: No module named 'no_such_module'"),
    ("1 / 0\n", "importing {file} raised ZeroDivisionError: division by zero ({name}, line 1)"),
    ("import sys\nsys.exit(3)\n", "importing {file} raised SystemExit: 3 ({name}, line 2)"),
]


@pytest.mark.parametrize(("code", "message"), BROKEN)
def test_a_file_that_cannot_be_imported_says_where(code: str, message: str, write_router: WriteRouter) -> None:
    spec = write_router(code)
    file = spec.removesuffix(":R")
    wanted = f"router {spec!r} could not be loaded: " + message.format(file=file, name=Path(file).name)
    with pytest.raises(RouterLoadError) as raised, hosted(spec):
        pass
    assert str(raised.value).startswith(wanted)


WRONG = [
    ("{folder}/good.py:Missing", "{folder}/good.py has no class 'Missing'; it has R"),
    ("{folder}/good.py:R.inner", "{folder}/good.py has no class 'R.inner'; it has R"),
    ("{loading}:NoRouter", "NoRouter has no method route(call)"),
    ("{folder}/good.py:R?k=5", "it takes no argument 'k'; its arguments: none"),
    ("{folder}/none.py:R", "file {folder}/none.py does not exist"),
    ("no_such_package:R", "no module 'no_such_package'; install it, or run from its folder"),
    ("no-such-router", "no router has that name; installed: "),
]


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_a_spec_that_names_nothing_is_wrong_usage(
    spec: str, message: str, write_router: WriteRouter, tmp_path: Path
) -> None:
    write_router(GOOD, "good.py")
    places = {"folder": str(tmp_path), "loading": hostile("loading", "").removesuffix(":")}
    with pytest.raises(UsageError) as raised, hosted(spec.format(**places)):
        pass
    assert message.format(**places) in str(raised.value)


def test_wrong_usage_is_exit_code_2(banked: Store, write_router: WriteRouter) -> None:
    ran = twinbench("static", "score", f"{write_router(GOOD)}s", "--bank", "bank")
    assert ran.code == 2
    assert "has no class 'Rs'; it has R" in ran.err


def test_a_module_whose_name_begins_like_a_missing_one_is_not_blamed(
    write_router: WriteRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_router("import my\n", "my_router.py")
    monkeypatch.chdir(tmp_path)
    message = "importing my_router raised ModuleNotFoundError: No module named 'my'"
    with pytest.raises(RouterLoadError, match=message), hosted("my_router:R"):
        pass


def test_a_router_that_loads_only_once_is_an_error_of_the_row(tmp_path: Path) -> None:
    with hosted(f"{hostile('loading', 'Once')}?memory={tmp_path / 'memory'}") as router:
        assert asked(router) == "error: its process exited with code 7"
        assert asked(router).startswith("error: its process ended and cannot be restarted: router ")
        assert "once is enough" in asked(router)


def test_the_command_in_a_process_of_its_own_tells_the_same(banked: Store, write_router: WriteRouter) -> None:
    ran = spawned("static", "score", hostile("failing", "SysExits"), write_router(GOOD), "--bank", "bank")
    assert ran.code == 1
    assert "was stopped after too many failures in a row: route raised SystemExit: 3 (failing.py, line " in ran.err
    assert children() == []
