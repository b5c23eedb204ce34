"""Strict isolation: the same decisions as anywhere, and nothing of this machine in reach of a router."""

from __future__ import annotations

import json
import os
import re
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.banks.embedded_names import DEFAULT_BANK
from static_track.evaluator import Evaluator
from static_track.predict import predict
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import twinbench
from tests.containers.running import ours
from tests.examples import thinned
from tests.plugins.hosting import asked, decided, growing, hosted, hostile, limits, until
from tests.plugins.stateful import Stateful
from tests.plugins.test_sessions import DIES, STATEFUL, an_outcome, lived
from tests.twinbench.calls import TIERS, a_call
from twinbench.containers.engine import Engine, ImageError
from twinbench.containers.labels import NAMESPACE, container_namespace
from twinbench.containers.strict import StrictIsolation
from twinbench.errors import UsageError
from twinbench.plugins.limits import RouterLoadError
from twinbench.plugins.loading import load_router
from twinbench.plugins.output import RouterOutput
from twinbench.plugins.process_router import ProcessRouter
from twinbench.plugins.spec import parse_spec
from twinbench.routing.router import RouterError
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import STORE_VARIABLE, Store

Write = Callable[..., str]

GOOD = """
import hashlib
from twinbench import Call, Decision

class R:
    def __init__(self, salt: int = 0) -> None:
        self.salt = salt

    def route(self, call: Call) -> Decision:
        said = "".join(str(message.get("content")) for message in call.messages)
        digest = hashlib.sha256(f"{self.salt}{said}".encode()).digest()
        return Decision(call.candidates[digest[0] % 4], score=digest[1] / 255, rationale=digest.hex()[:8])
"""


@pytest.fixture
def strict(engine: Engine, base_image: str) -> Iterator[StrictIsolation]:
    """Strict isolation in the base image; afterwards no router's container is left."""
    yield StrictIsolation(engine, base_image)
    assert until(lambda: ours(engine, "router") == []), ours(engine, "router")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes Python code to a file that everybody may read, and gives the spec of the class R in it."""

    def write_code(code: str, name: str = "routers.py") -> str:
        folder = tmp_path / "routers"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        (folder / name).write_text(code, "utf-8")
        (folder / name).chmod(0o644)
        return f"{folder / name}:R"

    return write_code


def undescribed(spec: str, isolation: StrictIsolation, **fields: Any) -> ProcessRouter:
    """The router of a spec without a look at what it depends on, which takes a container more."""
    parsed = parse_spec(spec)
    place = isolation.locate(
        {
            "kind": parsed.kind,
            "target": parsed.target,
            "attribute": parsed.attribute,
            "arguments": dict(parsed.arguments),
        }
    )
    return ProcessRouter(spec, place, TIERS, limits(isolation=isolation, **fields), {})


@pytest.fixture
def banked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a small bank, which commands use untold."""
    import_rows([row for number in range(3) for row in a_trajectory([0, 1, 2], instance=f"i{number}")], store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    return store


@pytest.mark.acceptance
def test_a_bank_is_scored_as_in_default_isolation(strict: StrictIsolation, embedded_store: Store, write: Write) -> None:
    spec = f"{write(GOOD)}?salt=3"
    with Bank.open(DEFAULT_BANK, embedded_store) as bank:
        scores = [
            Evaluator(bank, plugins=limits(isolation=isolation), no_cache=True).board([spec]).entries[0]
            for isolation in (None, strict)
        ]
        assert scores[0].first_error is scores[1].first_error is None
        assert scores[0].score == scores[1].score


@pytest.mark.acceptance
def test_decisions_and_fingerprint_are_the_same_each_time(strict: StrictIsolation, banked: Store, write: Write) -> None:
    spec = write(GOOD)
    runs = []
    with Bank.open("bank", banked) as bank:
        for isolation in (strict, strict, None):
            loaded = load_router(spec, limits(isolation=isolation))
            with loaded.open(TIERS) as router:
                made = predict(router, bank, static_manifest())
            assert not made.errors
            runs.append(((made.tier_ids, made.scores, made.rationales), loaded.fingerprint))
    assert runs[0] == runs[1]
    assert runs[0][0] == runs[2][0]
    assert runs[0][1] != runs[2][1]
    changed = write(GOOD.replace("255", "256"))
    assert load_router(changed, limits(isolation=strict)).fingerprint != runs[0][1]


def test_interleaved_sessions_are_decided_as_in_this_process(strict: StrictIsolation) -> None:
    trajectories = [growing(5, session=f"s{number}") for number in range(10)]
    interleaved = [calls[step] for step in range(5) for calls in trajectories]
    with undescribed(STATEFUL, strict) as router:
        assert lived(router, interleaved) == lived(Stateful(), interleaved)


@pytest.mark.acceptance
def test_a_restart_goes_on_with_the_whole_prefix(strict: StrictIsolation, write: Write) -> None:
    told: list[Any] = []
    with undescribed(write(DIES), strict) as router:
        router.start("s")
        for call in growing(5, "s"):
            try:
                told.append(router.route(call).rationale)
                router.observe(an_outcome(call, TIERS[1]))
            except RouterError as error:
                told.append(str(error))
    assert told == [
        "start s, route s 1 of 2",
        "start s, route s 1 of 2, observe 1, route s 2 of 4",
        "its process exited with code 1",
        "start s, route s 4 of 8",
        "start s, route s 4 of 8, observe 4, route s 5 of 10",
    ]


HOSTILE: list[tuple[str, str, dict[str, Any], str]] = [
    ("failing", "Raises", {}, r"route raised ValueError: no idea about 1 messages \(failing.py, line \d+\)"),
    ("failing", "SysExits", {}, r"route raised SystemExit: 3 \(failing.py, line \d+\)"),
    ("failing", "OsExits", {}, "its process exited with code 4; last line of standard error: I give up"),
    ("failing", "Kills", {}, r"its process was killed by signal 9 \(SIGKILL\)"),
    ("failing", "Kills?number=15", {}, r"its process was killed by signal 15 \(SIGTERM\)"),
    ("failing", "Segfaults", {}, r"its process was killed by signal 11 \(SIGSEGV\)"),
    ("failing", "KillsGroup", {}, r"its process was killed by signal 9 \(SIGKILL\)"),
    ("failing", "KillsReaper", {}, r"its process was killed by signal 9 \(SIGKILL\)"),
    (
        "failing",
        "WritesHugeFile",
        {},
        r"route raised OSError: \[Errno 30\] Read-only .*'huge' \(failing.py, line \d+\)",
    ),
    ("failing", "Loops", {"decision_s": 0.5}, "the decision took longer than 0.5 s, the first .*"),
    ("failing", "IgnoresSignals", {"decision_s": 0.5}, "the decision took longer than 0.5 s, the first .*"),
    ("failing", "StopsReaper", {"decision_s": 0.5}, "the decision took longer than 0.5 s, the first .*"),
    ("failing", "Allocates", {"memory_mib": 128}, "its process took more than 128 MiB of memory"),
    ("failing", "AllocatesInChildren", {"memory_mib": 128, "decision_s": 2}, ".*(128 MiB of memory|longer than 2 s.*)"),
    ("failing", "LoopsInHook?hook=start", {"decision_s": 0.5}, "start took longer than 0.5 s"),
    ("answering", "Answers?what=nan", {}, "score must be a number from 0 to 1 or None, not nan"),
    ("answering", "Answers?what=long-rationale", {}, "its rationale has 10,485,760 characters; at most .*"),
    ("answering", "Answers?what=long-name", {}, "its process sent an answer of .* bytes; at most 1,048,576 are .*"),
    ("answering", "ClosesPipe?then=", {}, "its process closed its pipe to twinbench"),
    (
        "answering",
        "ClosesPipe?then=loop",
        {"decision_s": 1},
        "the decision took longer than 1 s, the first .*",
    ),  # unlike here
    ("answering", "WritesToPipe?what=text", {}, "its process sent an answer of .* bytes; at most 1,048,576 are .*"),
    ("answering", "WritesToPipe?what=other-session", {}, "its process sent an answer with a wrong request number: .*"),
    ("forking", "Away?mark=x&then=exit", {}, "its process exited with code 5"),
    ("forking", "Plainly?mark=x&then=kill-group", {}, r"its process was killed by signal 9 \(SIGKILL\)"),
    ("forking", "Unmarked?mark=x&then=hang", {"decision_s": 1.0}, "the decision took longer than 1 s, the first .*"),
]


def test_what_a_router_prints_comes_out_of_its_container(strict: StrictIsolation) -> None:
    output = RouterOutput()
    spec = f"{hostile('answering', 'Prints')}?how=raise"
    with undescribed(spec, strict, output=output) as router:
        assert asked(router).startswith("error: route raised ValueError: after printing")
    assert output.before_failure(spec) == "hello"


@pytest.mark.parametrize(("file", "name", "fields", "message"), thinned(HOSTILE, 5), ids=[each[1] for each in HOSTILE])
def test_what_a_hostile_router_does_is_told_and_contained(
    file: str, name: str, fields: dict[str, Any], message: str, strict: StrictIsolation
) -> None:
    with undescribed(hostile(file, name), strict, **fields) as router:
        assert re.fullmatch(f"error: {message}", asked(router), re.DOTALL)


def test_what_a_router_leaves_running_ends_with_its_container(strict: StrictIsolation, engine: Engine) -> None:
    with undescribed(f"{hostile('forking', 'Away')}?mark=x", strict) as router:
        assert asked(router) == "low"
        (container,) = ours(engine, "router")
        assert len(container.top()["Processes"]) >= 4  # the first of the container, the reaper, router and stray
        assert router.memory_mib() > 1


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    thinned(
        [
            ("Raises", {}, r"its constructor raised OSError: no model here \(loading.py, line \d+\)"),
            ("Hangs", {"load_s": 0.5}, "loading it took longer than 0.5 s"),
            ("OsExits", {}, "its process exited with code 6"),
        ],
        3,
    ),
)
def test_a_router_that_cannot_be_loaded_says_why(
    name: str, fields: dict[str, Any], message: str, strict: StrictIsolation
) -> None:
    wanted = pytest.raises(RouterLoadError, match=f"could not be loaded: {message}")
    with wanted, undescribed(hostile("loading", name), strict, **fields):
        pass


REACHES = """
import json, os, socket, subprocess, sys
from pathlib import Path
from twinbench import Call, Decision

def tried(what, *arguments):
    try:
        return f"done: {what(*arguments)!r:.200}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

def many(folder):
    for number in range(100_000):
        (Path(folder) / f"f{number}").touch()

def fill(path):
    with open(path, "wb") as file:
        while True:
            file.write(bytes(2**20))

def forks():
    for number in range(2000):
        if os.fork() == 0:
            import time
            time.sleep(100)
            os._exit(0)

class R:
    def __init__(self, store: str) -> None:
        self.store = store

    def route(self, call: Call) -> Decision:
        here = Path(__file__).parent
        found = {
            "store": tried(os.listdir, self.store),
            "bank": tried(open, self.store + "/banks"),
            "host root": tried(lambda: sorted(os.listdir("/work"))),
            "import bank": tried(__import__, "static_track"),
            "import store": tried(__import__, "twinbench.storage.store"),
            "tcp": tried(socket.create_connection, ("1.1.1.1", 80), 2),
            "name": tried(socket.getaddrinfo, "example.com", 80),
            "interfaces": tried(lambda: sorted(os.listdir("/sys/class/net"))),
            "docker": [tried(os.stat, path) for path in ("/var/run/docker.sock", "/run/docker.sock")],
            "environment": dict(os.environ),
            "own folder": tried((here / "written").write_text, "x"),
            "own file": tried(Path(__file__).write_text, "x"),
            "runtime": tried((Path(sys.argv[0]).parent / "x").write_text, "x"),
            "root": tried(Path("/x").write_text, "x"),
            "shared memory": tried(Path("/dev/shm/x").write_text, "x"),
            "siblings": sorted(os.listdir(here)),
            "user": os.getuid(),
            "groups": os.getgroups(),
            "rights": [l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(("Cap", "NoNew"))],
            "setuid": tried(os.setuid, 0),
            "su": tried(subprocess.check_output, ["su", "-c", "id"]),
            "processes": sorted(p for p in os.listdir("/proc") if p.isdigit()).__len__() < 10,
            "many files": tried(many, "/tmp"),
            "fill": tried(fill, "/tmp/f1"),
            "forks": tried(forks),
        }
        return Decision("low", rationale=json.dumps(found))
"""


def test_nothing_of_this_machine_is_in_reach(
    strict: StrictIsolation, embedded_store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("NAMED", "seen")
    spec = f"{write(REACHES)}?store={embedded_store.root}"
    with undescribed(spec, strict, environment=("NAMED",)) as router:
        found = json.loads(router.route(a_call()).rationale or "")
    assert Path(embedded_store.root).is_dir()
    for what in ("store", "bank", "host root"):
        assert found[what].startswith("FileNotFoundError"), what
    assert found["import bank"].startswith("ModuleNotFoundError")
    assert found["import store"].startswith("ModuleNotFoundError")
    assert re.match("OSError: .*Network is unreachable", found["tcp"])
    assert found["name"].startswith("gaierror")
    assert found["interfaces"] == "done: ['lo']"
    assert all(told.startswith("FileNotFoundError") for told in found["docker"])
    assert found["environment"].get("NAMED") == "seen"
    assert "secret" not in found["environment"].values()
    assert str(Path.home()) not in found["environment"].values()
    for what in ("own folder", "own file", "runtime", "root"):
        assert re.match("(OSError|PermissionError): .*(Read-only|denied)", found[what]), (what, found[what])
    assert found["siblings"] == ["routers.py"]
    assert found["user"] != 0
    assert 0 not in found["groups"]
    rights = dict(line.split(":\t") for line in found["rights"])
    assert {rights[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {"0" * 16}
    assert rights["NoNewPrivs"] == "1"
    assert found["setuid"].startswith("PermissionError")
    assert not found["su"].startswith("done")
    assert found["processes"]
    assert "No space left on device" in found["many files"]
    assert "No space left on device" in found["fill"] or "No space" in found["many files"]
    assert "Resource temporarily unavailable" in found["forks"]
    assert not (Path(spec.partition(":")[0]).parent / "written").exists()


def wheel(folder: Path, name: str, code: str, points: str = "") -> Path:
    """A wheel with one module, made by hand."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/top_level.txt", f"{name}\n")
        archive.writestr(f"{info}/entry_points.txt", f"[twinbench.routers]\n{points}\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n")
    return path


def test_wheels_bring_routers_and_what_they_import(
    engine: Engine, strict: StrictIsolation, banked: Store, write: Write, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    word = f"WORD = {uuid.uuid4().hex!r}\n"
    wheel(wheels, "helper_of_router", word)
    wheel(wheels, "wheeled_router", f"import helper_of_router\n{GOOD}", "wheeled = wheeled_router:R")
    by_file = write(f"import helper_of_router\n{GOOD}")
    options: list[str | Path] = ["--isolation", "strict", "--plugin-wheels", wheels, "--bank", "bank", "--json"]
    specs = ["wheeled", "wheeled_router:R", by_file]
    isolations = [StrictIsolation(engine, wheels=wheels)]
    try:
        identity = isolations[0].conditions()
        scored = twinbench("static", "score", *specs, *options).succeeded().json["routers"]
        here = twinbench("static", "score", write(GOOD), "--bank", "bank", "--json").succeeded().json["routers"][0]
        assert [router["counts"]["errors"] for router in scored[:3]] == [0, 0, 0]
        assert [router["scores"] for router in scored[:3]] == [here["scores"]] * 3
        wheel(wheels, "helper_of_router", f"{word}OTHER = 1\n")
        isolations.append(StrictIsolation(engine, wheels=wheels))
        assert isolations[1].conditions() != identity
    finally:
        for isolation in isolations:
            engine.client.images.remove(isolation._image_with_wheels, force=True)


def test_a_damaged_wheel_is_named(strict: StrictIsolation, write: Write, banked: Store, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "good_one", "")
    damaged = wheels / "damaged-1.0-py3-none-any.whl"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("damaged.py", "whole = 1\n")
    content = damaged.read_bytes()
    words: list[str | Path] = [
        "static",
        "score",
        write(GOOD),
        "--isolation",
        "strict",
        "--plugin-wheels",
        wheels,
        "--bank",
        "bank",
    ]
    for broken, why in (
        (b"junk", "File is not a zip file"),
        (content.replace(b"whole", b"other"), "'damaged.py' is damaged"),
    ):
        damaged.write_bytes(broken)
        ran = twinbench(*words)
        assert (ran.code, ran.err) == (
            2,
            f"error: the wheel {damaged} is damaged, or no wheel ({why}): replace it\n",
        )
    damaged.unlink()
    os.mkfifo(damaged)
    ran = twinbench(*words)
    assert (ran.code, ran.err) == (2, f"error: the wheel {damaged} cannot be read (is not a file)\n")


REFUSED: list[tuple[list[str], int, str]] = [
    (["{good}", "--isolation", "strict", "--python", "python3"], 2, "with --isolation strict, --plugin-image"),
    (["http://127.0.0.1:9/route", "--isolation", "strict"], 2, "strict has no network to reach it"),
    (
        ["{good}", "--isolation", "strict", "--plugin-image", "127.0.0.1:9/nowhere:1"],
        1,
        "could not pull image 127.0.0.1:9/nowhere:1",
    ),
    (["{good}", "--isolation", "strict", "--plugin-wheels", "{empty}"], 2, "no .whl file"),
    (["{good}", "--plugin-image", "x"], 2, "--plugin-image and --plugin-wheels require --isolation strict"),
    (["no_such_module:R", "--isolation", "strict"], 2, "no module 'no_such_module'"),
    (["{good}s", "--isolation", "strict"], 2, "has no class 'Rs'; it has R"),
    (["{good}?k=1", "--isolation", "strict"], 2, "it takes no argument 'k'"),
]


@pytest.mark.parametrize(("words", "code", "message"), thinned(REFUSED, 2), ids=[each[2] for each in REFUSED])
def test_what_strict_isolation_cannot_do_is_refused(
    words: list[str], code: int, message: str, strict: StrictIsolation, banked: Store, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"good": write(GOOD), "empty": tmp_path / "empty"}
    ran = twinbench("static", "score", *(word.format(**places) for word in words), "--bank", "bank")
    assert ran.code == code, ran
    assert message in ran.err


def test_no_engine_is_said_before_anything_is_scored(
    banked: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(GOOD)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    ran = twinbench("static", "score", spec, "--isolation", "strict", "--bank", "bank")
    assert ran.code == 1
    assert ran.err.startswith("error: no Docker engine answers (")


@pytest.mark.acceptance
def test_an_image_without_python_is_said(engine: Engine, strict: StrictIsolation, write: Write) -> None:
    image = f"twinbench-test-{uuid.uuid4().hex[:8]}:python"
    mine = {NAMESPACE: container_namespace()}
    made = engine.client.containers.create("twinbench-base", ["rm", "/usr/bin/python3"], labels=mine)
    try:
        made.start()
        made.wait()
        made.commit(*image.split(":"))
    finally:
        made.remove(force=True)
    try:
        with pytest.raises(UsageError, match=r"needs bash, and python3 of 3\.10 or newer"):
            load_router(write(GOOD), limits(isolation=StrictIsolation(engine, image)))
    finally:
        engine.client.images.remove(image, force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's files are read as somebody else")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_root_alone_can_read_is_refused_with_what_to_do(what: str, strict: StrictIsolation, write: Write) -> None:
    spec = write(GOOD)
    file = Path(spec.removesuffix(":R"))
    path = {"folder": file.parent, "file": file}[what]
    path.chmod(0o700)
    with pytest.raises(UsageError, match=re.escape(f"chmod -R o+rX {file.parent}")) as raised:
        load_router(spec, limits(isolation=strict))
    assert str(raised.value).startswith(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_read_as_that_user(strict: StrictIsolation, write: Write) -> None:
    spec = write(GOOD.replace("digest.hex()[:8]", "str(__import__('os').getuid())"))
    file = Path(spec.removesuffix(":R"))
    for path in (file, file.parent):
        path.chmod(0o700)
        os.chown(path, 12345, 12345)
    with hosted(spec, isolation=strict) as router:
        assert router.route(a_call()).rationale == "12345"


@pytest.mark.acceptance
def test_a_careful_umask_is_no_obstacle(strict: StrictIsolation, write: Write) -> None:
    spec = write(GOOD)
    before = os.umask(0o077)
    try:
        with hosted(spec, isolation=strict) as router:
            assert not decided(router, a_call()).startswith("error")
    finally:
        os.umask(before)


@pytest.mark.acceptance
def test_a_container_that_is_removed_from_outside_is_an_error_of_the_row(
    engine: Engine, strict: StrictIsolation, write: Write
) -> None:
    with undescribed(write(GOOD), strict) as router:
        assert not asked(router).startswith("error")
        for container in ours(engine, "router"):
            container.remove(force=True)
        assert re.match("error: (its container was lost|its process)", asked(router))
        assert not asked(router).startswith("error")


def test_an_image_that_cannot_be_had_is_an_image_error(engine: Engine, write: Write) -> None:
    with pytest.raises(ImageError):
        load_router(write(GOOD), limits(isolation=StrictIsolation(engine, "127.0.0.1:9/nowhere:1")))
