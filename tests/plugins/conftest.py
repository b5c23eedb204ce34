"""What tests of routers in processes of their own share: afterwards, nothing of them is left."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from tests.banks import Row, import_rows
from tests.plugins.hosting import MARK_VARIABLE, children, marked, until
from twinbench.statistics import Resampling
from twinbench.storage.store import Store

PutBank = Callable[..., None]
WriteRouter = Callable[..., str]


@pytest.fixture(scope="session")
def put_bank(tmp_path_factory: pytest.TempPathFactory) -> PutBank:
    """Makes a store of one bank; what has the same rows is a copy, in which the references are scored already."""
    made: dict[str, Store] = {}

    def put(rows: Sequence[Row], store: Store, name: str = "bank") -> None:
        key = json.dumps([name, rows])
        if key not in made:
            made[key] = Store(tmp_path_factory.mktemp("with-a-bank") / "store")
            import_rows(rows, made[key], name)
            with Bank.open(name, made[key]) as bank:
                Evaluator(bank).board([], [], Resampling())
        shutil.copytree(made[key].root, store.root)

    return put


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A word by which all processes of this test are known; afterwards none may be left."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK_VARIABLE, mark)
    yield mark
    assert until(lambda: not marked(mark)), [process.cmdline() for process in marked(mark)]
    assert until(lambda: not children()), children()


@pytest.fixture
def write_router(tmp_path: Path) -> WriteRouter:
    """Writes Python code to a file, and gives the spec of the class R in it."""

    def write(code: str, name: str = "routers.py") -> str:
        (tmp_path / name).write_text(code, "utf-8")
        return f"{tmp_path / name}:R"

    return write
