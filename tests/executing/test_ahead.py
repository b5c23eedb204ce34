"""Work that is started before its result is needed: nobody has to wait for it, and its errors are nobody's."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executing.test_executors import until
from twinbench.executing.ahead import import_ahead, start_ahead


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException | None]]:
    """Errors that threads leave to the interpreter, which prints them with a traceback."""
    found: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: found.append(told.exc_value))
    yield found
    until(lambda: not [each for each in threading.enumerate() if each.name == "twinbench-ahead"])
    assert found == []


@pytest.mark.usefixtures("unheard")
def test_the_caller_goes_on_while_it_runs_and_hears_of_no_error() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(10)
        raise OSError("of the work")

    start_ahead(work)
    assert begun.wait(10)
    may_end.set()


@pytest.mark.usefixtures("unheard")
def test_a_module_is_there_after_a_while_and_one_that_is_broken_fails_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needed_later.py").write_text("loaded = True\n", "utf-8")
    (tmp_path / "broken_later.py").write_text("raise RuntimeError('broken')\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import_ahead("needed_later", "broken_later")
    until(lambda: getattr(sys.modules.get("needed_later"), "loaded", False))
    with pytest.raises(RuntimeError, match=r"^broken$"):
        import broken_later  # type: ignore[import-not-found]  # noqa: F401 - made above
