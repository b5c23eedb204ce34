"""What the operating system sees: signals, pipes, and processes side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.banks import a_row, a_trajectory, import_rows, write_jsonl
from tests.cli.commands import Ran, ended, files, spawned, twinbench, without_progress
from tests.cli.forked import SCRIPT, ForkedCommand
from twinbench.storage.store import STORE_VARIABLE, Store

WAIT_S = 60

SLOW_ROUTER = """
import pathlib, time


class Slow:
    def route(self, call):
        pathlib.Path({started!r}).touch()
        time.sleep(1)
        return "low"
"""

posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent this way on POSIX only")


@contextmanager
def running(*arguments: str | Path) -> Iterator[ForkedCommand]:
    """A command that is under way; ended afterwards."""
    with ForkedCommand(arguments) as process:
        yield process


def run_script(
    script: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S)


def until(condition: Path) -> None:
    """Wait for a file."""
    deadline = time.monotonic() + WAIT_S
    while not condition.exists():
        assert time.monotonic() < deadline, f"{condition} did not appear"
        time.sleep(0.01)


def big_bank(path: Path) -> Path:
    """A file whose rows take a while to be written into a bank."""
    rows = [row for number in range(50) for row in a_trajectory([0, 1, 2, 3] * 6, instance=f"i-{number}")]
    for number, row in enumerate(rows):
        row["messages"].append({"role": "user", "content": f"row {number}"})
    return write_jsonl(path, rows)


def until_written(folder: Path, process: ForkedCommand) -> None:
    """Wait until an import writes aside, or is over."""
    while process.poll() is None and not any(folder.glob(".partial-*")):
        time.sleep(0.002)


def struck_while_writing(store: Store, folder: Path, name: str, blow: signal.Signals) -> tuple[dict[str, bytes], Ran]:
    """An import that got a signal while it wrote its bank: the store's files before, and how it ended."""
    path = big_bank(folder / "big.jsonl")
    for _ in range(10):
        before = files(store.root)
        with running("bank", "import", path, "--name", name, "--replace") as process:
            until_written(store.root / "banks" / name, process)
            process.send_signal(blow)
            ran = ended(process)
        if ran.code != 0:  # else it was faster than we are
            return before, ran
    raise AssertionError("ten imports were over before they could be struck")


@pytest.fixture
def small_store(default_store: Store, tmp_path: Path) -> Store:
    """A store with the bank ``mine`` of three rows; commands use it untold."""
    import_rows(a_trajectory([0, 1, 2]), default_store, "mine")
    return default_store


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_score_that_a_signal_ends_says_so_and_leaves_no_router_behind(
    number: signal.Signals, kept_store: Store, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    router = tmp_path / "slow.py"
    router.write_text(SLOW_ROUTER.format(started=str(started)))

    with running("static", "score", f"{router}:Slow", "--bank", "mine") as process:
        until(started)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children != []
        process.send_signal(number)
        ran = ended(process)

    assert psutil.wait_procs(children, timeout=WAIT_S)[1] == []
    assert ran.code == 128 + number
    assert ran.out == b""
    assert ran.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in ran.err


@posix
def test_ctrl_c_while_the_command_line_is_loaded_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("print(flush=True)\nimport time\ntime.sleep(60)\n", "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "twinbench", "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WAIT_S) == ("", "")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("has_thread", [False, True])
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["no-such-command"], 2)])
def test_a_process_that_ends_calls_what_was_registered_for_it_and_waits_for_threads(
    has_thread: bool, arguments: list[str], code: int
) -> None:
    script = f"""
        import atexit, sys, threading, time
        from twinbench.cli import run

        atexit.register(print, "registered")
        atexit.register(print, "registered error", file=sys.stderr)
        if {has_thread}:
            threading.Thread(target=lambda: (time.sleep(0.5), print("thread"))).start()
        sys.argv = ["twinbench", *{arguments}]
        run()
        """
    done = run_script(script)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1 - has_thread :] == ["thread"] * has_thread + ["registered"]
    assert done.stderr.splitlines()[-1] == "registered error"


def test_a_process_does_not_wait_for_what_was_started_ahead() -> None:
    script = """
        import sys, threading
        from twinbench.cli import run
        from twinbench.executing.ahead import start_ahead

        start_ahead(threading.Event().wait)
        sys.argv = ["twinbench", "--version"]
        run()
        """
    done = run_script(script)
    assert (done.returncode, done.stderr) == (0, "")


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.usefixtures("default_store")
def test_what_is_printed_to_a_closed_stream_is_lost_and_nothing_else(closed: str, one_row: Path) -> None:
    def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", f'"$@" {closed}', "sh", SCRIPT, *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S)

    imported = ran("bank", "import", one_row, "--name", "mine")
    assert imported.returncode == 0
    assert ("imported mine" in imported.stdout) == (closed in ("<&-", "2>&-"))
    scored = ran("static", "score", "--bank", "mine", "--resamples", "0", "--predictions", "-")  # none come
    refused = ran("static", "score", "--bank", "other")
    assert (scored.returncode, refused.returncode) == (2 if "<&-" in closed else 1, 2)
    assert ("no bank 'other'" in refused.stderr) == ("2>" not in closed)
    assert "Traceback" not in imported.stderr + scored.stderr + refused.stderr
    assert twinbench("bank", "validate", "mine").code == 0


@pytest.mark.parametrize(("theirs", "found"), [(None, "4"), ("20", "20")])
def test_idle_threads_of_openblas_leave_the_cores_to_others_unless_told_otherwise(
    theirs: str | None, found: str
) -> None:
    variable = "OPENBLAS_THREAD_TIMEOUT"
    environment = {name: value for name, value in os.environ.items() if name != variable}
    script = f"""
        import atexit, os, sys
        from twinbench.cli import run

        atexit.register(lambda: print(os.environ[{variable!r}]))
        sys.argv = ["twinbench", "--version"]
        run()
        """
    done = run_script(script, environment=environment if theirs is None else environment | {variable: theirs})
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, found)


BY_A_QUERY = """
import threading
import duckdb

def work():
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    while True:
        duckdb.sql("SELECT count(*) FROM range(2000000) t WHERE hash(t.range) % 7 = 3").fetchall()
"""
BY_A_LIBRARY = """
def work():
    try:
        os.kill(os.getpid(), number)
        while True:
            pass
    except KeyboardInterrupt:
        raise ImportError("an extension cannot be initialised")
"""
COMMAND_THAT_WORKS = """
import os, sys
import twinbench.storage.published
from twinbench.cli import run

number = int(sys.argv[1])
{work}
twinbench.storage.published.published_results = work
sys.argv = ["twinbench", "static", "published"]
run()
"""


@posix
@pytest.mark.parametrize("number", SIGNALS[:2])
@pytest.mark.parametrize("work", [BY_A_QUERY, BY_A_LIBRARY], ids=["a query", "a library"])
def test_a_signal_that_others_make_an_error_of_is_one_too(work: str, number: signal.Signals) -> None:
    done = run_script(COMMAND_THAT_WORKS.format(work=work), str(int(number)))
    assert (done.returncode, done.stderr) == (128 + number, "interrupted\n")


@posix
@pytest.mark.parametrize("name", ["new", "mine"])
def test_an_interrupted_import_leaves_the_store_as_it_was(small_store: Store, tmp_path: Path, name: str) -> None:
    before, ran = struck_while_writing(small_store, tmp_path, name, signal.SIGINT)

    assert ran.code == 130, ran.err
    assert ran.err.splitlines()[-1] == "interrupted"
    assert files(small_store.root) == before


@posix
def test_a_killed_import_leaves_every_bank_as_it_was(small_store: Store, tmp_path: Path) -> None:
    before, ran = struck_while_writing(small_store, tmp_path, "mine", signal.SIGKILL)

    assert ran.code == -signal.SIGKILL
    left = files(small_store.root)
    assert {file: content for file, content in left.items() if ".partial-" not in file} == before
    twinbench("bank", "validate", "mine").succeeded()
    twinbench("bank", "import", tmp_path / "big.jsonl", "--name", "mine", "--replace").succeeded()
    twinbench("bank", "validate", "mine").succeeded()


@posix
def test_a_bank_can_be_read_while_it_is_replaced(small_store: Store, tmp_path: Path) -> None:
    with running("bank", "import", big_bank(tmp_path / "big.jsonl"), "--name", "mine", "--replace") as process:
        until_written(small_store.root / "banks" / "mine", process)
        process.send_signal(signal.SIGSTOP)
        before = twinbench("bank", "show", "mine", "--json")
        during = twinbench("static", "score", "sticky", "--bank", "mine", "--json")
        process.send_signal(signal.SIGCONT)
        assert ended(process).code == 0

    assert during.succeeded().json["bank"]["rows"] == before.succeeded().json["rows"] == 3
    assert twinbench("bank", "show", "mine", "--json").succeeded().json["rows"] == 50 * 24


def test_the_same_score_asked_for_by_many_processes_at_once_is_one_score(small_store: Store) -> None:
    command = ("static", "score", "round-robin?every=3", "--bank", "mine", "--json")

    with ExitStack() as stack:
        processes = [stack.enter_context(running(*command)) for _ in range(3)]
        ended_as = [ended(process) for process in processes]

    assert [ran.err for ran in ended_as] == [""] * 3
    first, *others = [[entry["scores"] for entry in ran.succeeded().json["routers"]] for ran in ended_as]
    assert others == [first] * 2


@pytest.mark.parametrize("name", ["same", "other"])
def test_imports_at_once_are_both_whole_or_one_is_told(default_store: Store, one_row: Path, name: str) -> None:
    with ExitStack() as stack:
        names = ("same", name)
        processes = [stack.enter_context(running("bank", "import", one_row, "--name", each)) for each in names]
        ended_as = [ended(process) for process in processes]

    codes = sorted(ran.code for ran in ended_as)
    assert codes == ([0, 2] if name == "same" else [0, 0])
    assert all("exists" in ran.err for ran in ended_as if ran.code)
    for bank in {"same", name}:
        twinbench("bank", "validate", bank).succeeded()


@pytest.fixture(scope="module")
def wide_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose bank ``wide`` is more than a pipe takes at once."""
    store = Store(tmp_path_factory.mktemp("wide") / "store")
    import_rows([a_row(), a_row(instance="i-2", note="x" * 300_000)], store, "wide")
    return store


@posix
@pytest.mark.parametrize(
    "command",
    [
        ("demo",),
        ("bank", "list", "--json"),
        ("bank", "export", "wide"),
        ("static", "predict", "sticky", "--bank", "wide"),
        ("static", "score", "--bank", "wide", "--format", "parquet"),
        ("--help",),
    ],
)
def test_a_reader_that_leaves_early_causes_no_noise(
    wide_store: Store, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(wide_store.root))

    with ForkedCommand(command) as process:
        process.stdout.read(1)
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(WAIT_S) in (0, 1)  # 0 where all was in the pipe already

    assert without_progress(err) == ""


def test_a_file_name_that_is_no_text_is_shown_escaped(default_store: Store, tmp_path: Path, one_row: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux takes any bytes as a file name")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.jsonl"))
    path.write_bytes(one_row.read_bytes())

    spawned("bank", "import", path, "--name", "odd").succeeded()

    assert spawned("bank", "show", "odd", "--json").succeeded().json["source"] == "b\\udcff.jsonl"
    assert "\\udcff" in spawned("bank", "validate", path).succeeded().text
    assert spawned("bank", "validate", path, "--json").succeeded().json["valid_rows"] == 1


def test_a_store_without_an_own_variable_lies_in_the_checkout(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != STORE_VARIABLE}

    shown = subprocess.run(
        [sys.executable, "-c", "from twinbench.storage.store import default_store; print(default_store())"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )

    assert shown.stdout == f"{Path(__file__).parents[2] / 'results' / 'store'}\n"
