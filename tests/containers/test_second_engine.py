"""An engine without images, and one that goes away in the middle."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from dynamic_track.grading.doctor import check_container, check_engine
from dynamic_track.grading.verdict import GradingLimits
from tests.cli.commands import spawned
from tests.containers.registry import tiny_file_system
from tests.containers.running import SMALL, loses_connections, refused, said
from tests.containers.second_engine import SecondEngine, second_engine_running
from tests.images import import_image
from twinbench.causes import Cause
from twinbench.checks import Status
from twinbench.containers.engine import ContainerLostError, Engine, EngineLostError
from twinbench.containers.ownership import collect_garbage
from twinbench.containers.sandbox import Sandbox

pytestmark = loses_connections

LIMITS = GradingLimits(min_free_mib=10)
TINY = "tiny:latest"


@pytest.fixture(scope="module")
def second(engine: Engine) -> Iterator[SecondEngine]:
    """An engine of our own; the other one is wanted so that this needs Docker like everything here."""
    with second_engine_running() as running:
        yield running


def load_tiny(connected: Engine) -> None:
    if not connected.has_image(TINY):
        import_image(connected, TINY, tiny_file_system())


@pytest.mark.acceptance
def test_an_engine_without_images_is_said_to_have_none(second: SecondEngine) -> None:
    with second.connect() as empty:
        for image in empty.client.images.list():
            empty.client.images.remove(str(image.id), force=True)
        assert {each.status for each in check_engine(empty, LIMITS)} == {Status.passed}
        found = check_container(empty, [], LIMITS)
        assert (found.status, found.reason) == (Status.warned, "there is no image to start a container from")
        assert "--build" in (found.advice or "")
    ran = spawned("dynamic", "doctor", "--json", "--min-free-mib", "10", environment={"DOCKER_HOST": second.address})
    assert ran.succeeded().json["checks"][-1]["status"] == "warn"
    with second.connect() as connected:
        load_tiny(connected)
        found = check_container(connected, [TINY], LIMITS)
        assert (found.subject, found.status) == (TINY, Status.passed)


@pytest.mark.acceptance
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_is_restarted_in_the_middle_of_a_command_is_no_result(
    how: signal.Signals, second: SecondEngine
) -> None:
    with second.connect() as connected:
        load_tiny(connected)
        with Sandbox(connected, TINY, "case", limits=SMALL) as sandbox:
            assert said(sandbox, "echo before >/file; echo started") == "started\n"
            with ThreadPoolExecutor(1) as pool:
                restarted = pool.submit(second.restart, how, after_s=0.5)
                told = refused(lambda: sandbox.run_command("echo half; sleep 60; echo over", timeout_s=70))
                restarted.result()
            assert told is not None
            assert told[:2] in [(ContainerLostError, Cause.container), (EngineLostError, Cause.engine)]
            with pytest.raises(ContainerLostError, match="the engine was restarted"):
                sandbox.run_command("echo after")
            name = sandbox.container.name
        assert name not in [container.name for container in connected.client.containers.list(all=True)]


def test_an_engine_that_hangs_is_given_up_soon_after_the_deadline_of_a_command(second: SecondEngine) -> None:
    with second.connect() as connected:
        load_tiny(connected)
        with Sandbox(connected, TINY, "case", limits=SMALL) as sandbox:
            assert said(sandbox, "echo before") == "before\n"
            with second.hanging():
                began = time.monotonic()
                told = refused(partial(sandbox.run_command, "sleep 60", timeout_s=1))
                assert told is not None
                assert told[:2] == (EngineLostError, Cause.engine)
                assert "did not answer for 10 s" in told[2]
                sandbox.__exit__(None, None, None)
                assert not connected.answers()
                assert time.monotonic() - began < 1 + 30 + 10  # left and asked once more, for 10 s each
            assert connected.answers()
        for container in connected.client.containers.list(all=True):
            container.remove(force=True)


def test_an_engine_that_is_gone_is_lost(second: SecondEngine) -> None:
    with second.connect() as connected:
        load_tiny(connected)
        sandbox = Sandbox(connected, TINY, "case", limits=SMALL)
        sandbox.__enter__()
        try:
            second.stop()
            for ask in (
                partial(sandbox.run_command, "echo anything"),
                partial(sandbox.put, {"/file": b""}),
                Sandbox(connected, TINY, "case", limits=SMALL).__enter__,
                connected.info,
                partial(collect_garbage, connected),
            ):
                told = refused(ask)
                assert told is not None
                assert told[:2] == (EngineLostError, Cause.engine), ask
            assert refused(partial(sandbox.__exit__, None, None, None)) is None
        finally:
            second.start()
        # The container that could not be removed is this process's own, which lives: its deadline ends it.
        assert [each.labels["twinbench.role"] for each in connected.client.containers.list(all=True)] == ["case"]
        for container in connected.client.containers.list(all=True):
            container.remove(force=True)
