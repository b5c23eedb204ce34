"""A large bank is checked in several processes: with the same result, and none is left where that is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from static_track.banks.bank import Bank
from static_track.leaks import checking
from static_track.leaks.checking import Examination, check_bank
from static_track.leaks.traits import read_traits
from tests.banks import import_rows
from tests.cli.commands import SCRIPT
from tests.examples import thinned
from tests.static_track.leaks.planted import rows, step_index
from twinbench.executing.executor import Executor
from twinbench.executing.processes import Processes, usable_cores
from twinbench.executing.threads import Threads
from twinbench.storage.store import STORE_VARIABLE, Store

ENOUGH = checking._SPREAD_FROM_ROWS // 3 + 1
"""Trajectories of three rows each for processes to be started."""


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that work on jobs of another one."""
    return [each for each in process.children() if any("executing.worker" in word for word in each.cmdline())]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a bank that is large enough, in which the step tells some labels."""
    store = Store(tmp_path_factory.mktemp("large") / "store")
    import_rows(rows(step_index, trajectories=ENOUGH), store)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("workloads", thinned([2, 1], 2))
def test_the_result_is_the_same_however_many_workers_there_are(workloads: int, store: Store) -> None:
    import_rows(rows(step_index), store)
    with Bank.open("bank", store) as bank:
        seen = read_traits(bank)
        targets = dict(bank.cursor().execute("SELECT row_no, target FROM base").fetchall())
    numbers = range(len(seen.row_nos))
    examination = Examination(
        seen.traits,
        [targets[row_no] for row_no in seen.row_nos],
        [str(number // 3) for number in numbers],
        [f"w{number // 3 % workloads}" for number in numbers],
    )
    told: list[tuple[int, int | None]] = []
    executors: list[Executor[Any, None, Any]] = [Threads({None: 1}), *(Processes(workers) for workers in (1, 5))]

    found = [examination.checks(lambda _, done, total: told.append((done, total)), each) for each in executors]

    assert all(checks == found[0] for checks in found)
    assert found[0][0].status == "fail"
    assert (found[0][0].within_workloads is not None) == (workloads == 2)
    assert told.count((len(seen.traits), len(seen.traits))) == 3


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="on one core, all is done in one process")
def test_an_interrupt_of_a_check_leaves_no_process_behind(large: Store) -> None:
    with subprocess.Popen(
        [str(SCRIPT), "bank", "check", "bank"],
        env=os.environ | {STORE_VARIABLE: str(large.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        command, deadline = psutil.Process(process.pid), time.monotonic() + 60
        while not (workers := workers_of(command)):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it was over before it could be interrupted"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert psutil.wait_procs(workers, timeout=20)[1] == []


@pytest.mark.slow
def test_a_large_bank_has_the_findings_of_one_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import_rows(rows(step_index), store)
    with Bank.open("bank", store) as bank:
        monkeypatch.setattr(checking, "_SPREAD_FROM_ROWS", bank.info.rows)
        spread = check_bank(bank).to_json()
        monkeypatch.setattr(checking, "_SPREAD_FROM_ROWS", 10**9)
        alone = check_bank(bank).to_json()
    assert spread == alone
    assert not spread["ok"]
