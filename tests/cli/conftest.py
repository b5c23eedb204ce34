"""Stores and files that the command line is tried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.banks import Row, a_row, a_trajectory, import_rows, write_jsonl
from twinbench.storage.store import STORE_VARIABLE, Store


def two_workloads() -> list[Row]:
    """Seven rows: one workload with rows of every label, and one without any row of label high."""
    return [
        *a_trajectory([0, 3, 1], workload="swebench", instance="i-1"),
        *a_trajectory([2, 2], workload="swebench", instance="i-2"),
        *a_trajectory([0, 1], workload="bfcl", instance="i-1"),
    ]


@pytest.fixture
def default_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store that commands use without being told."""
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    return store


@pytest.fixture
def begun_store(default_store: Store, embedded_store: Store) -> Store:
    """A store that has the embedded bank and nothing else, for tests that change it; commands use it untold."""
    shutil.copytree(embedded_store.root / "banks", default_store.root / "banks")
    return default_store


@pytest.fixture(scope="session")
def _kept_store(tmp_path_factory: pytest.TempPathFactory, embedded_store: Store) -> Store:
    store = Store(tmp_path_factory.mktemp("kept") / "store")
    shutil.copytree(embedded_store.root / "banks", store.root / "banks")
    import_rows(two_workloads(), store, "mine")
    return store


@pytest.fixture
def kept_store(_kept_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with ``mine`` and the embedded bank, shared by tests that leave both alone; commands use it untold."""
    monkeypatch.setenv(STORE_VARIABLE, str(_kept_store.root))
    return _kept_store


@pytest.fixture
def one_row(tmp_path: Path) -> Path:
    """A bank file with a single valid row."""
    return write_jsonl(tmp_path / "one.jsonl", [a_row()])
