"""What tests of routers in processes of their own share: afterwards, nothing of them is left."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugins.hosting import MARK_VARIABLE, children, marked, until

WriteRouter = Callable[..., str]


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
