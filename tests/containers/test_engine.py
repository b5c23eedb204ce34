"""An engine that is missing, an image that is, one that pulls, and a disk that is full."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import pytest

from tests.cli.commands import spawned, twinbench
from tests.containers.conftest import OpenSandbox
from tests.containers.registry import registry
from tests.containers.running import SMALL, loses_connections, ours, refused, said
from tests.containers.second_engine import second_engine_running
from tests.examples import thinned
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.containers.engine import DiskError, Engine, EngineLostError, ImageError, NoEngineError
from twinbench.containers.sandbox import Sandbox

pytestmark = loses_connections

ABSURD_MIB = 10**9
NOWHERE = [
    ("unix:///nowhere/docker.sock", "No such file or directory"),
    ("tcp://127.0.0.1:9", "refused"),
    ("nonsense://", ""),
]


@pytest.mark.parametrize(("address", "reason"), NOWHERE)
def test_no_engine_is_said_with_what_to_do(address: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    told = refused(Engine.connect)
    assert told is not None
    kind, cause, text = told
    assert (kind, cause) == (NoEngineError, Cause.engine)
    assert text.startswith("no Docker engine answers (")
    assert reason in text
    assert "DOCKER_HOST" in text


@pytest.mark.skipif(find_spec("paramiko") is not None, reason="with paramiko, the docker package does SSH")
def test_an_engine_behind_ssh_is_told_what_it_needs() -> None:
    told = refused(partial(Engine.connect, "ssh://somebody@127.0.0.1"))
    assert told is not None
    assert "at ssh://somebody@127.0.0.1 (Install paramiko" in told[2]


@pytest.mark.parametrize("command", ["doctor", "gc"])
def test_commands_without_an_engine_end_with_one_line(command: str) -> None:
    ran = spawned("dynamic", command, "--json", environment={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err.startswith("error: no Docker engine answers (")
    assert ran.err.count("\n") == 1


def test_doctor_finds_an_engine_that_works(engine: Engine, base_image: str) -> None:
    ran = twinbench("dynamic", "doctor", "--json").succeeded().json
    assert [(check["name"], check["status"]) for check in ran["checks"]] == [
        ("engine", "pass"),
        ("disk", "pass"),
        ("container", "pass"),
    ]


def test_an_image_that_is_missing_is_said(engine: Engine) -> None:
    told = refused(Sandbox(engine, "twinbench-missing:latest", "case", limits=SMALL).__enter__)
    assert told is not None
    assert told[0] is ImageError
    assert told[2].startswith("image twinbench-missing:latest is not present")
    assert CAUSES[told[1]].outcome_class is OutcomeClass.infra
    with pytest.raises(ImageError):
        engine.image_identity("twinbench-missing:latest")
    assert engine.recipe("twinbench-missing:latest") is None
    assert not engine.has_image("twinbench-missing:latest")


def test_an_image_that_does_not_pull_is_told_in_the_registrys_words(engine: Engine) -> None:
    with registry(refusal="not for you, says the keeper") as served:
        with pytest.raises(ImageError, match=r"could not pull image .*: .*not for you, says the keeper") as raised:
            engine.pull(served.image())
        assert raised.value.cause is Cause.image
        gone = served.image()
    with registry() as served, pytest.raises(ImageError, match=r"could not pull image .*: .*manifest unknown"):
        engine.pull(served.image().replace(":latest", ":other"))
    with pytest.raises(ImageError, match=r"could not pull image .*: .*refused"):
        engine.pull(gone)


def test_a_layer_that_does_not_arrive_whole_is_no_image(engine: Engine) -> None:
    with registry(cuts=True) as served:
        with pytest.raises(ImageError, match=f"could not pull image {served.image('cut')}: .+") as raised:
            engine.pull(served.image("cut"))
        assert served.layers_asked_for > 1
        assert raised.value.cause is Cause.image
        assert not engine.has_image(served.image("cut"))


def test_an_image_is_pulled_once_with_progress_and_known_by_its_digest(engine: Engine) -> None:
    told: list[tuple[str, int, int | None]] = []
    asked: list[str] = []
    with registry() as served:
        image = served.image()
        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: engine.pull(image, lambda *words: told.append(words)), range(4)))
            assert {what for what, _, _ in told} == {f"pulling {image}, MiB"}
            assert all(total is not None and 0 <= done <= total for _, done, total in told)
            assert engine.image_identity(image) == served.digest
            engine.pull(image, lambda *words: asked.append(words[0]))
            assert asked == []
            with Sandbox(engine, image, "case", limits=SMALL) as sandbox:
                assert said(sandbox, "echo pulled") == "pulled\n"
        finally:
            engine.client.images.remove(image, force=True)


def test_a_disk_at_its_watermark_starts_nothing_and_says_what_to_do(engine: Engine, open_sandbox: OpenSandbox) -> None:
    told = refused(open_sandbox(case="full", min_free_mib=ABSURD_MIB).__enter__)
    assert told is not None
    assert told[:2] == (DiskError, Cause.disk)
    assert re.search("docker image prune.*twinbench dynamic gc.*--min-free-mib", told[2])
    assert CAUSES[Cause.disk].outcome_class is OutcomeClass.infra
    assert not [each for each in ours(engine, "case") if each.labels["twinbench.case"] == "full"]
    ran = twinbench("dynamic", "doctor", "--json", "--min-free-mib", str(ABSURD_MIB))
    assert ran.code == 1
    assert {check["name"]: check["status"] for check in ran.json["checks"]} == {
        "engine": "pass",
        "disk": "fail",
        "container": "fail",
    }
    assert "error: failed checks: disk, container" in ran.err


@pytest.mark.acceptance
def test_threads_share_an_engine(engine: Engine, open_sandbox: OpenSandbox) -> None:
    ready = threading.Barrier(4)

    def work(number: int) -> str:
        with open_sandbox(case=str(number)) as opened:
            ready.wait(60)
            return "".join(said(opened, f"echo {number}") for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [f"{number}\n" * 10 for number in range(4)]


@pytest.mark.parametrize(
    ("name", "told"),
    thinned(
        [
            ("Bugreports/No-Such:latest", "repository name must be lowercase"),
            ("two words", "invalid reference format"),
            ("", "is empty"),
        ],
        3,
    ),
)
def test_a_name_that_an_engine_refuses_is_an_image_that_there_is_not(name: str, told: str, engine: Engine) -> None:
    assert not engine.has_image(name)
    with pytest.raises(ImageError, match=told):
        engine.image_identity(name)
    asks: list[Callable[[], object]] = [partial(engine.pull, name), Sandbox(engine, name, "case").__enter__]
    for ask in asks:
        found = refused(ask)
        assert found is not None
        assert found[:2] == (ImageError, Cause.image)


def test_an_image_for_no_machine_of_this_kind_is_an_image_that_does_not_pull(engine: Engine) -> None:
    wanted = r"could not pull image .*: .*no matching manifest"
    with registry(machine="s390x") as served, pytest.raises(ImageError, match=wanted):
        engine.pull(served.image())


def test_an_engine_that_goes_while_an_image_is_pulled_is_the_engines_fault(engine: Engine) -> None:
    with registry() as served, second_engine_running() as second:
        there = second.connect()
        second.stop()
        found = refused(partial(there.pull, served.image()))
    assert found is not None
    assert (found[0], found[1]) == (EngineLostError, Cause.engine)
