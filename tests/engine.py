"""The Docker engine that tests run on: one for all. Where there is none, the tests that need it say so, loudly."""

from __future__ import annotations

import fcntl
import gc
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.engine import Engine, NoEngineError

REQUIRED_VARIABLE = "TWINBENCH_REQUIRE_DOCKER"
"""Set to 1, a missing engine fails the tests that need it instead of skipping them."""

_MARKER = "docker"
_NO_ENGINE = "NO DOCKER ENGINE"


@contextmanager
def alone_on_this_machine(doing: str) -> Iterator[None]:
    """Wait until no other test process of this machine, of this run or of another, does the same."""
    path = Path(tempfile.gettempdir()) / f"twinbench-tests-{os.getuid()}-{doing}.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine; a test that uses it is marked ``docker``."""
    connected = _engine()
    if isinstance(connected, str):
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            pytest.fail(f"{_NO_ENGINE}, and {REQUIRED_VARIABLE}=1 wants one: {connected}", pytrace=False)
        pytest.skip(f"{_NO_ENGINE}: {connected}")
    with connected:
        yield connected


def _engine() -> Engine | str:
    """The engine, or why there is none."""
    with warnings.catch_warnings():
        # docker-py leaves the socket of a connection that fails to the garbage collector, which warns.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return Engine.connect()
        except NoEngineError as error:
            reason = str(error)
        gc.collect()
    return reason


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The name of the base image, which is present."""
    with alone_on_this_machine("base-image"):
        ensure_base_image(engine)
    return BASE_IMAGE


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an engine, before anything is chosen by its marker."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(_MARKER)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was tried on a real engine, and how much was not."""
    ran, skipped = set(), set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport):
                continue
            if report.skipped and _NO_ENGINE in str(report.longrepr):
                skipped.add(report.nodeid)
            elif _MARKER in report.keywords and report.when == "call":
                ran.add(report.nodeid)
    if ran:
        terminalreporter.write_line(f"Docker tests: {len(ran)} ran")
    if skipped:
        terminalreporter.section(f"{_NO_ENGINE}: {len(skipped)} tests were skipped", sep="*", red=True, bold=True)
        terminalreporter.write_line("Start one (make test does, where it can), or name one with DOCKER_HOST.")
        terminalreporter.write_line(f"With {REQUIRED_VARIABLE}=1 they fail instead of being skipped.")
        terminalreporter.write_sep("*", red=True, bold=True)
