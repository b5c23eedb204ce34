"""The Docker engine that tests run on: one for all. Where there is none, the tests that need it say so, loudly.

Each test has a namespace of its own for containers, so that no test collects or counts those of another, and one that
leaves a container behind fails. All these namespaces are below the session's, in which everything that is left is
removed in the end, and told of.
"""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sharing import locked
from twinbench.causes import CausedError
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.engine import Engine, NoEngineError, docker_errors_as_ours
from twinbench.containers.labels import (
    NAMESPACE,
    NAMESPACE_VARIABLE,
    boot_and_pid_namespace_id,
    container_namespace,
    is_alive,
    process_identity,
)
from twinbench.containers.ownership import remove_container

if TYPE_CHECKING:
    from docker.models.containers import Container

REQUIRED_VARIABLE = "TWINBENCH_REQUIRE_DOCKER"
"""Set to 1, a missing engine fails the tests that need it instead of skipping them."""

_MARKER = "docker"
_NO_ENGINE = "NO DOCKER ENGINE"
_SESSIONS = f"tests/{boot_and_pid_namespace_id()}/"
"""What the namespaces of all test sessions of this machine begin with; the session's process comes next."""

_numbers = itertools.count(1)
_connected = pytest.StashKey[Engine]()


@contextmanager
def alone_on_this_machine(doing: str) -> Iterator[None]:
    """Wait until no other test process of this machine, of this run or of another, does the same."""
    with locked(Path(tempfile.gettempdir()) / f"twinbench-tests-{os.getuid()}-{doing}.lock"):
        yield


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The engine; a test that uses it is marked ``docker``."""
    connected = _engine()
    if isinstance(connected, str):
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            pytest.fail(f"{_NO_ENGINE}, and {REQUIRED_VARIABLE}=1 wants one: {connected}", pytrace=False)
        pytest.skip(f"{_NO_ENGINE}: {connected}")
    with connected:
        pytestconfig.stash[_connected] = connected
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


@pytest.fixture(autouse=True)
def own_namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """The namespace of the containers that this test starts, in child processes too; in the end it has to be empty."""
    with pytest.MonkeyPatch.context() as patch:
        own = f"{container_namespace()}/{os.getpid()}-{next(_numbers)}"
        patch.setenv(NAMESPACE_VARIABLE, own)
        yield own
    connected = request.config.stash.get(_connected, None)
    if connected is not None and "engine" in request.fixturenames:
        left = _removed(connected, lambda name: name == own or name.startswith(f"{own}/"))
        if left:
            pytest.fail(f"the test left containers behind: {', '.join(left)}", pytrace=False)


def _removed(engine: Engine, chosen: Callable[[str], bool]) -> list[str]:
    """Remove every container whose namespace is chosen, and list them."""
    with docker_errors_as_ours("list containers"):
        found: list[Container] = engine.client.containers.list(
            all=True, filters={"label": NAMESPACE}, ignore_removed=True
        )
    theirs = [container for container in found if chosen(container.labels[NAMESPACE])]
    for container in theirs:
        remove_container(container)
    return [f"{container.name} ({container.status})" for container in theirs]


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The name of the base image, which is present."""
    with alone_on_this_machine("base-image"):
        ensure_base_image(engine)
    return BASE_IMAGE


@pytest.fixture(scope="session")
def rehearsal_images(engine: Engine, base_image: str) -> None:
    """The images of all tasks of our own are present, and nobody builds them while tests run."""
    from dynamic_track.tasks.images import prepare_images
    from dynamic_track.tasks.sources import load_tasks

    with alone_on_this_machine("rehearsal-images"):
        assert prepare_images(engine, load_tasks("rehearsal").tasks, build_them=True) == {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an engine, before anything is chosen by its marker."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(_MARKER)


def pytest_configure(config: pytest.Config) -> None:
    """Name the session's namespace, which its workers inherit, and look after it in the end."""
    if not hasattr(config, "workerinput"):
        os.environ[NAMESPACE_VARIABLE] = f"{_SESSIONS}{process_identity(os.getpid())}"
        config.pluginmanager.register(_WholeSession(), "whole-session")


class _WholeSession:
    """Removes what a session left on the engine; in the one process that is the whole session's."""

    def __init__(self) -> None:
        self._used_engine = False
        self._left: list[str] = []
        self._failure = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Know whether anything used the engine."""
        self._used_engine |= _MARKER in report.keywords

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self) -> None:
        """What was running in a worker that was lost may have used the engine."""
        self._used_engine = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remove the session's containers, which fails it, and those of sessions that were killed."""
        if not self._used_engine or isinstance(engine := _engine(), str):
            return
        mine = container_namespace()
        with engine:
            try:
                self._left = _removed(engine, lambda name: name == mine or name.startswith(f"{mine}/"))
                _removed(engine, _of_an_ended_session)
            except CausedError as error:
                self._failure = str(error)
        if (self._left or self._failure) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell of what was left."""
        for line in (*self._left, *filter(None, [self._failure])):
            terminalreporter.write_line(f"CONTAINER LEFT BEHIND by this session: {line}", red=True, bold=True)


def _of_an_ended_session(name: str) -> bool:
    process = name.removeprefix(_SESSIONS).partition("/")[0]
    return name.startswith(_SESSIONS) and not is_alive(process)


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
