"""Processes that are killed, that leave, that give back what cannot be sent; and that none is left of any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.executing import jobs
from tests.executing.test_executors import until
from twinbench.executing import processes
from twinbench.executing.executor import collect_results, stop_nothing
from twinbench.executing.processes import Processes, ProcessLostError, usable_cores
from twinbench.executing.worker import ProcessJobError

ROOT = Path(__file__).resolve().parents[2]


def ended_of(work: jobs.Work, workers: int, error: type[Exception], said: str) -> list[int]:
    """The jobs of 0 to 5 that ended, where work raises ``error``."""
    ended: list[int] = []
    executor: Processes[int, Any] = Processes(workers)
    with pytest.raises(error, match=said):
        executor.run(range(6), work, lambda job, _: ended.append(job), stop_nothing)
    return sorted(ended)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_killed_process_fails_its_job_and_no_other(workers: int) -> None:
    said = "^the process of 2 was killed by SIGKILL before it was done; this happens if the system is out of memory"
    assert ended_of(jobs.killed_at, workers, ProcessLostError, said) == [0, 1, 3, 4, 5]


def test_a_process_that_leaves_fails_its_job_and_no_other() -> None:
    said = "^the process of 2 ended with exit code 3 before it was done$"
    assert ended_of(jobs.leaving_at, 2, ProcessLostError, said) == [0, 1, 3, 4, 5]


def test_a_process_that_is_killed_from_outside_is_noticed_while_it_computes(tmp_path: Path) -> None:
    def kill() -> None:
        begun = tmp_path / "begun"
        until(lambda: begun.exists() and begun.read_text())
        os.kill(int(begun.read_text()), signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(ProcessLostError, match="killed by SIGKILL"):
        collect_results(Processes(1), [tmp_path], jobs.computing_without_end)
    killing.join()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (jobs.a_lock, "^the result of a_lock cannot be pickled: TypeError: cannot pickle"),
        (jobs.exiting, "^the job ended its process: SystemExit: "),
        (jobs.unreadable, "^UnreadableError: one and other\n"),
        (jobs.exiting_when_read, "^the result of [0-5] cannot be unpickled: SystemExit: 7"),
        (jobs.interrupting_when_read, "^the result of [0-5] cannot be unpickled: KeyboardInterrupt"),
    ],
)
def test_what_cannot_come_back_is_said(work: jobs.Work, said: str) -> None:
    assert ended_of(work, 2, ProcessJobError, said) == []


def test_the_callers_own_work_is_what_an_error_names() -> None:
    with pytest.raises(ProcessJobError, match=r"^the result of a_lock cannot be pickled"):
        collect_results(Processes(1), [1], jobs.a_lock)
    with pytest.raises(ProcessJobError, match=r"^.*<lambda> cannot be sent to another process"):
        collect_results(Processes(1), [1], lambda job, _: job)


def test_a_process_that_ends_by_an_error_of_its_own_was_not_killed() -> None:
    said = "^the process of [0-5] ended with exit code 1 before it was done$"
    began = time.monotonic()
    assert ended_of(jobs.unsayable, 3, ProcessLostError, said) == []
    assert time.monotonic() - began < 30, "threads that the work left are not waited for"


def test_a_process_that_closes_its_answer_pipe_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_END_TIMEOUT_S", 0.1)
    with pytest.raises(ProcessLostError, match=r"^the process of 1 closed its answer pipe and was killed$"):
        collect_results(Processes(1), [1], jobs.closing_answer_pipe)


def test_work_has_nothing_to_read() -> None:
    assert collect_results(Processes(1), [1, 2], jobs.reading) == [(1, "", b""), (2, "", b"")]


def test_work_that_closes_standard_input_costs_no_other_job_anything() -> None:
    assert collect_results(Processes(1), [1, 2, 3], jobs.closing_standard_input) == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be copied")
def test_a_copy_of_a_process_answers_nothing() -> None:
    assert collect_results(Processes(1), [1, 2, 3], jobs.copying_itself) == [(True, 1), (True, 2), (True, 3)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be copied")
def test_a_copy_that_lives_on_does_not_hide_that_its_process_was_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ProcessLostError, match="killed by SIGKILL"):
        collect_results(Processes(1), [tmp_path], jobs.leaving_a_copy)
    os.kill(int((tmp_path / "copy").read_text()), signal.SIGKILL)
    assert time.monotonic() - began < 30


def test_the_main_module_of_a_process_has_no_name_that_work_could_be_taken_for() -> None:
    assert collect_results(Processes(1), [1], jobs.names_of_main) == [["json", "sys", "twinbench"]]


def test_work_that_nobody_can_import_is_refused_before_anything_begins() -> None:
    assert ended_of(lambda job, _: job, 2, ProcessJobError, "Work must be a function of an importable module") == []


def test_a_job_that_cannot_be_sent_fails_alone() -> None:
    ended: list[Any] = []
    executor: Processes[Any, Any] = Processes(2)
    with pytest.raises(ProcessJobError, match=r"^<unlocked _thread.lock .*> cannot be sent to another process: "):
        executor.run([1, threading.Lock(), 2], jobs.process_number, lambda job, _: ended.append(job), stop_nothing)
    assert sorted(ended) == [1, 2]


def test_an_error_brings_the_traceback_of_its_process() -> None:
    with pytest.raises(ValueError, match="1 is odd") as raised:
        collect_results(Processes(1), [1], jobs.odd_ones_fail)
    [note] = raised.value.__notes__
    assert 'jobs.py", line' in note


def test_large_content_and_prints_cross_or_do_not() -> None:
    content = os.urandom(2**20)
    assert collect_results(Processes(2), [content] * 3, jobs.a_megabyte) == [content[::-1]] * 3
    assert collect_results(Processes(1), [1, 2], jobs.printing) == [1, 2]


def test_processes_are_kept_for_the_next_job_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_API_KEY", "secret")
    assert collect_results(Processes(1), ["PROVIDER_API_KEY"], jobs.environment) == [None]
    numbers = set(collect_results(Processes(2), range(20), jobs.process_number))
    assert len(numbers) <= 2
    assert os.getpid() not in numbers
    assert not any(psutil.pid_exists(number) for number in numbers)
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


SCRIPT = """
import sys
from pathlib import Path

from tests.executing import jobs
from twinbench.executing.executor import collect_results
from twinbench.executing.processes import Processes

folder = Path(sys.argv[1])
print("the script runs", flush=True)
collect_results(Processes(2), [(folder, 0), (folder, 1)], jobs.written_down_and_waiting)
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


def run_script(text: str, folder: Path, *arguments: str, shell_adds: str = "") -> str:
    """What a script prints that comes to its end."""
    script = folder / "script.py"
    script.write_text(text, "utf-8")
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {shell_adds}', "sh", sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    ).stdout


ORPHANS = """
import sys
from pathlib import Path

from tests.executing import jobs
from twinbench.executing.executor import collect_results
from twinbench.executing.processes import Processes

collect_results(Processes(1), [Path(sys.argv[1])], getattr(jobs, sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process whatever it does")
@pytest.mark.parametrize("work", [jobs.matching_without_end, jobs.stopping_itself])
def test_a_process_that_cannot_listen_does_not_outlive_a_killed_script(work: jobs.Work, tmp_path: Path) -> None:
    script, begun = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(ORPHANS, "utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), work.__name__], env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        until(lambda: begun.exists() and begun.read_text())
        time.sleep(0.1)  # until it holds the lock, or is stopped
        process.kill()
    number = int(begun.read_text())
    until(lambda: not psutil.pid_exists(number), 20)


def test_a_process_whose_caller_ended_before_it_began_ends_too() -> None:
    caller_of_another = os.getppid()
    with subprocess.Popen(
        [sys.executable, "-c", f"from twinbench.executing import worker; worker.main({caller_of_another})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.wait(60) == 1


CLOSED = """
from tests.executing import jobs
from twinbench.executing.executor import collect_results
from twinbench.executing.processes import Processes

found = collect_results(Processes(2), [1, 2, 3], jobs.printing)
with open("found", "w", encoding="utf-8") as file:
    file.write(str(found))
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_a_script_without_standard_error_has_its_jobs_done(closed: str, tmp_path: Path) -> None:
    run_script(CLOSED.replace('"found"', repr(str(tmp_path / "found"))), tmp_path, shell_adds=closed)
    assert (tmp_path / "found").read_text("utf-8") == "[1, 2, 3]"


OF_MAIN = """
import functools

from tests.executing import jobs
from twinbench.executing import processes
from twinbench.executing.executor import stop_nothing, collect_results


def main(number, _place):
    return number


class Thing:
    def work(self, number, _place):
        return number


def refuse(*_, **__):
    raise AssertionError("a process is started")


processes.subprocess.Popen = refuse
executor = processes.Processes(2)
for begin in (
    lambda: executor.run([1, 2], main, print, stop_nothing),
    lambda: executor.run([1, 2], Thing().work, print, stop_nothing),
    lambda: collect_results(executor, [1, 2], main),
    lambda: collect_results(executor, [1, 2], functools.partial(main)),
    lambda: collect_results(executor, [Thing], jobs.doubled),
    lambda: collect_results(executor, [[Thing()]], jobs.doubled),
    lambda: collect_results(executor, [main], jobs.doubled),
):
    try:
        begin()
    except processes.ProcessJobError as error:
        print(error)
"""


def test_what_stands_in_a_script_is_refused_before_a_process_is_started(tmp_path: Path) -> None:
    said = run_script(OF_MAIN, tmp_path).splitlines()
    assert len(said) == 7
    assert all("is defined in the script or notebook that runs; move it to an imported module" in s for s in said)
    assert [line.partition(" cannot be sent")[0] for line in said[:3]] == ["main", "Thing.work", "main"]
    assert [("Thing is defined" in line, "main is defined" in line) for line in said] == [
        *[(False, True), (True, False), (False, True), (False, True)],
        *[(True, False), (True, False), (False, True)],
    ]
