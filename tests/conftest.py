"""What all tests share: a store of their own, the protocol's files, the embedded bank."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from static_track.banks.embedded import ensure_embedded
from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import write_jsonl
from tests.examples import examples
from twinbench.storage.store import STORE_VARIABLE, Store

pytest_plugins = ["tests.engine"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

BankFile = Callable[..., Path]

SLOW = (
    "tests/benchmarks/",
    "tests/calls/test_answers_fuzzed.py",
    "tests/cli/test_bounds.py",
    "tests/cli/test_damaged_store.py",
    "tests/cli/test_full_disk.py",
    "tests/cli/test_hostile_text.py",
    "tests/cli/test_odd_parquet.py",
    "tests/cli/test_portable.py",
    "tests/cli/test_process.py",
    "tests/cli/test_pull.py",
    "tests/cli/test_refused_banks.py",
    "tests/cli/test_refused_usage.py",
    "tests/cli/test_score_json.py",
    "tests/cli/test_startup.py",
    "tests/cli/test_table_formats.py",
    "tests/cli/test_unreadable.py",
    "tests/cli/test_wheel.py",
    "tests/containers/",
    "tests/docs/",
    "tests/dynamic_track/auditing/",
    "tests/dynamic_track/rehearsal/",
    "tests/dynamic_track/results/",
    "tests/dynamic_track/importing/test_imported.py",
    "tests/dynamic_track/tasks/test_tasks.py",
    "tests/executing/test_executors.py",
    "tests/executing/test_processes.py",
    "tests/github/test_github.py",
    "tests/leaderboard/",
    "tests/outcomes/",
    "tests/plugins/",
    "tests/providers/",
    "tests/reports/",
    "tests/static_track/banks/",
    "tests/static_track/construction/test_build.py",
    "tests/static_track/construction/test_proposers.py",
    "tests/static_track/construction/test_review.py",
    "tests/static_track/leaks/",
    "tests/static_track/test_board.py",
    "tests/static_track/test_concurrency.py",
    "tests/static_track/test_crossval.py",
    "tests/static_track/test_oracle.py",
    "tests/static_track/test_own_calls.py",
    "tests/static_track/test_scoring_properties.py",
    "tests/static_track/test_tuning.py",
    "tests/static_track/test_vectors.py",
    "tests/submissions/test_trained_submissions.py",
    "tests/twinbench/test_learned_routers.py",
    "tests/twinbench/test_parquet.py",
    "tests/twinbench/test_tokens.py",
)
"""What starts many processes, imports banks or counts many tokens; ``make fast`` leaves it out, with what needs Docker.

The rest is done in a minute on two cores.
"""

# Where this is set, every process that a test starts would compile all modules again, and each worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "twinbench", examples(50, 100), deadline=None, derandomize="CI" in os.environ, print_blob=True
)
settings.load_profile("twinbench")

gc.set_threshold(50_000)
"""As in the command line: with a whole suite and litellm in memory, one look at all objects takes half a second."""


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever a test forgets to name a store for goes to a temporary one, in child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(tmp_path_factory.mktemp("default-store")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_reach_what_tests_start() -> None:
    """Started in the background or under ``nohup``, the suite ignores signals; what it starts would inherit that."""
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


@pytest.fixture(scope="session", autouse=True)
def _event_loop_of_litellm() -> Iterator[None]:
    """An event loop that is closed in the end: one that litellm opens is garbage of which a later test is warned."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the protocol, its vectors and real banks, which the project never contains."""
    if not SHARED.is_dir():
        pytest.skip(f"the protocol's files are not at {SHARED}")
    return SHARED


@pytest.fixture
def bank_file(tmp_path: Path) -> BankFile:
    """Writes rows as a JSONL file: ``bank_file(rows)`` or ``bank_file(rows, "name.jsonl")``."""

    def write(rows: Sequence[Mapping[str, Any]], name: str = "bank.jsonl") -> Path:
        return write_jsonl(tmp_path / name, rows)

    return write


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that has the embedded bank; for tests that add no bank of another name."""
    store = Store(tmp_path_factory.mktemp("embedded") / "store")
    ensure_embedded(DEFAULT_BANK, store)
    return store


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even load modules of slow tests where none of them is wanted; to load all takes seconds in each worker."""
    if "not slow" not in config.option.markexpr or not collection_path.is_relative_to(ROOT):
        return None
    name = collection_path.relative_to(ROOT).as_posix()
    return True if (f"{name}/" if collection_path.is_dir() else name).startswith(SLOW) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Leave what every test shares out of the search for garbage."""
    gc.freeze()


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Afterwards there is no garbage of this module's tests that another could be warned of."""
    yield
    gc.collect()
