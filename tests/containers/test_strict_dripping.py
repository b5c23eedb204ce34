"""Strict isolation: a router that drips or floods is ended at its limit there too, and twinbench does not grow."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.containers.running import ours
from tests.containers.test_strict import undescribed
from tests.examples import thinned
from tests.plugins.hosting import asked, hostile, limits, until
from tests.plugins.test_dripping import FOUND, LATE, LIMIT_S, ended_soon, feeding, growth_bounded
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NAMESPACE, container_namespace
from twinbench.containers.strict import StrictIsolation
from twinbench.errors import UsageError
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.loading import load_router
from twinbench.routing.router import Outcome, RouterError
from twinbench.routing.usage import Usage

NO_LIMIT: dict[str, Any] = {"load_s": 60.0}
"""A container starts slowly where many do."""

FEEDING = [
    ("Drips", LATE),
    ("Floods", LATE),
    ("FloodsInChild", LATE),
    ("DripsHeader", LATE),
    ("DripsFrame", LATE),
    ("FloodsPipe", "error: its process sent an answer of 2,021,161,080 bytes; at most 1,048,576 are allowed"),
    ("FloodsOutput", "error: "),  # No space left on device, or late where the machine is busy
    ("ClosesAndLives", LATE),  # the engine does not tell of a closed pipe as long as something runs
    ("Bombs", LATE),
]


@pytest.fixture
def strict(engine: Engine, base_image: str) -> Iterator[StrictIsolation]:
    """Strict isolation in the base image; afterwards no router's container is left."""
    yield StrictIsolation(engine, base_image)
    assert until(lambda: ours(engine, "router") == []), ours(engine, "router")


@pytest.mark.parametrize(("name", "message"), thinned(FEEDING, 4), ids=[name for name, _ in FEEDING])
def test_a_decision_that_drips_or_floods_is_ended_at_its_limit(
    name: str, message: str, strict: StrictIsolation
) -> None:
    with undescribed(feeding(name), strict, decision_s=LIMIT_S, **NO_LIMIT) as router, growth_bounded(), ended_soon():
        assert asked(router).startswith(message.format(what="the decision"))


def test_a_flood_of_standard_error_takes_no_memory(strict: StrictIsolation) -> None:
    with undescribed(feeding("Floods"), strict, decision_s=5.0, **NO_LIMIT) as router, growth_bounded(), ended_soon():
        assert asked(router).startswith("error: the decision took longer than 5 s, the first of its process")


@pytest.mark.parametrize("name", thinned(["Drips", "Floods", "DripsFrame"], 3))
def test_loading_that_drips_or_floods_is_ended_at_its_limit(name: str, strict: StrictIsolation) -> None:
    refused = pytest.raises(RouterLoadError, match="could not be loaded: loading it took longer than 2 s")
    with growth_bounded(), ended_soon(), refused, undescribed(feeding(name, "load"), strict, load_s=2.0):
        pass


@pytest.mark.parametrize("hook", thinned(["start", "observe", "end"], 3))
def test_a_hook_that_drips_is_ended_at_its_limit(hook: str, strict: StrictIsolation) -> None:
    late = f"{hook} took longer than 1 s"
    with undescribed(feeding("Drips", hook), strict, decision_s=LIMIT_S, **NO_LIMIT) as router, ended_soon():
        router.start("s")
        if hook == "start":
            assert asked(router, "s") == f"error: {late}"
            return
        assert asked(router, "s") == "low"
        outcome = Outcome("s", 1, router.candidates[0], Usage(), 0.0)
        with pytest.raises(RouterError, match=late):
            getattr(router, hook)(outcome if hook == "observe" else "s")


def test_a_process_that_reads_no_request_is_ended_at_its_limit(strict: StrictIsolation) -> None:
    messages = ({"role": "user", "content": "x" * 20 * 2**20},)
    spec = hostile("dripping", "NeverReads")
    with undescribed(spec, strict, decision_s=LIMIT_S, **NO_LIMIT) as router:
        router._hooks = frozenset()
        with ended_soon():
            assert asked(router, messages=messages).startswith(LATE.format(what="the decision"))


def test_what_writes_to_standard_error_behind_good_answers_takes_no_memory(strict: StrictIsolation) -> None:
    with undescribed(feeding("FloodsBehind"), strict, decision_s=30, **NO_LIMIT) as router, growth_bounded():
        assert [asked(router, "s", step) for step in range(1, 30)] == ["low"] * 29


@pytest.mark.acceptance
@pytest.mark.parametrize("name", thinned(FOUND, 2))
def test_what_was_found_to_run_on_is_ended_at_its_limit(name: str, strict: StrictIsolation, shared: Path) -> None:
    spec = f"{shared / 'found/routers/drip.py'}:{name}"
    with undescribed(spec, strict, decision_s=2.0, **NO_LIMIT) as router, growth_bounded(), ended_soon():
        assert asked(router).startswith("error: the decision took longer than 2 s, the first of its process")


@contextmanager
def image_with_python(engine: Engine, script: str) -> Iterator[str]:
    """An image whose python3 is a script of the shell."""
    name = f"twinbench-test-{uuid.uuid4().hex[:8]}"
    replace = 'rm /usr/bin/python3; printf "%s\\n" "$SCRIPT" > /usr/bin/python3; chmod +x /usr/bin/python3'
    made = engine.client.containers.create(
        "twinbench-base",
        ["bash", "-c", replace],
        environment={"SCRIPT": script},
        labels={NAMESPACE: container_namespace()},
    )
    try:
        made.start()
        made.wait()
        made.commit(name, "python")
    finally:
        made.remove(force=True)
    try:
        yield f"{name}:python"
    finally:
        engine.client.images.remove(f"{name}:python", force=True)


DESCRIBING = [
    ("cat >/dev/null; while true; do printf . >&2; sleep 0.1; done", r"python3 of 3\.10 or newer \(\.+\)"),
    ("exec cat /dev/zero", "more than 4,194,304 bytes"),
    ("exec cat /dev/zero >&2", r"python3 of 3\.10 or newer"),
    ("""cat >/dev/null; echo '{"kind": '""", r"python3 of 3\.10 or newer \({\"kind\":\)"),
]


@pytest.mark.acceptance
@pytest.mark.parametrize(("script", "message"), thinned(DESCRIBING, 4), ids=["drips", "floods", "floods errors", "cut"])
def test_an_image_that_describes_no_router_is_said_in_time(
    script: str, message: str, engine: Engine, strict: StrictIsolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinbench.containers.strict._DESCRIBE_TIMEOUT_S", 3.0)
    with image_with_python(engine, f"#!/bin/bash\n{script}") as image, growth_bounded(), ended_soon():
        isolation = StrictIsolation(engine, image)
        with pytest.raises(UsageError, match=message):
            load_router(hostile("answering", "Prints"), limits(isolation=isolation))
