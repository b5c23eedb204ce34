"""Processes that are killed, that leave, that give back what cannot be sent; and that none is left of any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.executing import jobs
from tests.executing.test_executors import until
from twinbench.executing.executor import nothing_to_stop, results_in_order
from twinbench.executing.processes import Processes, ProcessLostError, usable_cores
from twinbench.executing.worker import ProcessJobError

ROOT = Path(__file__).resolve().parents[2]


def ended_of(work: jobs.Work, workers: int, error: type[Exception], said: str) -> list[int]:
    """The jobs of 0 to 5 that ended, where work raises ``error``."""
    ended: list[int] = []
    executor: Processes[int, Any] = Processes(workers)
    with pytest.raises(error, match=said):
        executor.run(range(6), work, lambda job, _: ended.append(job), nothing_to_stop)
    return sorted(ended)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_killed_process_fails_its_job_and_no_other(workers: int) -> None:
    said = "^the process that worked on 2 was killed by SIGKILL before it was done; a system that is out of memory"
    assert ended_of(jobs.killed_at, workers, ProcessLostError, said) == [0, 1, 3, 4, 5]


def test_a_process_that_leaves_fails_its_job_and_no_other() -> None:
    said = "^the process that worked on 2 ended with exit code 3 before it was done$"
    assert ended_of(jobs.leaving_at, 2, ProcessLostError, said) == [0, 1, 3, 4, 5]


def test_a_process_that_is_killed_from_outside_is_noticed_while_it_computes(tmp_path: Path) -> None:
    def kill() -> None:
        begun = tmp_path / "begun"
        until(lambda: begun.exists() and begun.read_text())
        os.kill(int(begun.read_text()), signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(ProcessLostError, match="killed by SIGKILL"):
        results_in_order(Processes(1), [tmp_path], jobs.computing_without_end)
    killing.join()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (jobs.a_lock, "^what a_lock gave back cannot be pickled: TypeError: cannot pickle"),
        (jobs.exiting, "^the job ended its process: SystemExit: "),
        (jobs.unreadable, "^UnreadableError: one and other\n"),
    ],
)
def test_what_cannot_come_back_is_said(work: jobs.Work, said: str) -> None:
    assert ended_of(work, 2, ProcessJobError, said) == []


def test_work_that_nobody_can_import_is_refused_before_anything_begins() -> None:
    assert ended_of(lambda job, _: job, 2, ProcessJobError, "Work has to be a function of a module") == []


def test_a_job_that_cannot_be_sent_fails_alone() -> None:
    ended: list[Any] = []
    executor: Processes[Any, Any] = Processes(2)
    with pytest.raises(ProcessJobError, match="cannot be sent to a process of its own"):
        executor.run([1, threading.Lock(), 2], jobs.process_number, lambda job, _: ended.append(job), nothing_to_stop)
    assert sorted(ended) == [1, 2]


def test_an_error_brings_the_traceback_of_its_process() -> None:
    with pytest.raises(ValueError, match="1 is odd") as raised:
        results_in_order(Processes(1), [1], jobs.odd_ones_fail)
    [note] = raised.value.__notes__
    assert 'jobs.py", line' in note


def test_large_content_and_prints_cross_or_do_not() -> None:
    content = os.urandom(2**20)
    assert results_in_order(Processes(2), [content] * 3, jobs.a_megabyte) == [content[::-1]] * 3
    assert results_in_order(Processes(1), [1, 2], jobs.printing) == [1, 2]


def test_processes_are_kept_for_the_next_job_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_API_KEY", "secret")
    assert results_in_order(Processes(1), ["PROVIDER_API_KEY"], jobs.environment) == [None]
    numbers = set(results_in_order(Processes(2), range(20), jobs.process_number))
    assert len(numbers) <= 2
    assert os.getpid() not in numbers
    assert not any(psutil.pid_exists(number) for number in numbers)
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


SCRIPT = """
import sys
from pathlib import Path

from tests.executing import jobs
from twinbench.executing.executor import results_in_order
from twinbench.executing.processes import Processes

folder = Path(sys.argv[1])
print("the script runs", flush=True)
results_in_order(Processes(2), [(folder, 0), (folder, 1)], jobs.written_down_and_waiting)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_script_however_it_is_ended(how: signal.Signals, tmp_path: Path) -> None:
    """The script has no ``if __name__ == "__main__"``, and no handler of signals beside Python's own."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), "utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        begun = [tmp_path / "begun-0", tmp_path / "begun-1"]
        until(lambda: all(path.exists() and path.read_text() for path in begun))
        numbers = [int(path.read_text()) for path in begun]
        assert {child.pid for child in psutil.Process(process.pid).children(recursive=True)} == set(numbers)
        process.send_signal(how)
        out, _ = process.communicate(timeout=60)
    assert out == "the script runs\n", "its processes do not run it again"
    until(lambda: not any(psutil.pid_exists(number) for number in numbers), 20)
