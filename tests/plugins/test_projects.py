"""From ``router new`` to an installed router, its own environment, and the check of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.banks import a_trajectory, import_rows
from tests.cli.commands import spawned, twinbench
from tests.examples import thinned
from tests.plugins.conftest import PutBank, WriteRouter
from tests.plugins.hosting import asked, hosted
from tests.twinbench.calls import a_call
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits, missing_limits
from twinbench.plugins.loading import load_router
from twinbench.storage.store import STORE_VARIABLE, Store

HERE = Path(__file__).parent


@pytest.fixture
def banked(store: Store, put_bank: PutBank, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a small bank, which commands use untold."""
    put_bank([row for number in range(3) for row in a_trajectory([0, 1, 2], instance=f"i{number}")], store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    return store


def installed(folder: Path, name: str, code: str, points: Mapping[str, str], version: str = "1.0") -> Path:
    """A distribution in a folder, as an installer leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code, "utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    lines = [f"{point} = {target}" for point, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[twinbench.routers]", *lines, ""]))
    (info / "RECORD").write_text(f"{name}.py,,\n")
    return folder


def run_own_test(project: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a project that ``router new`` made."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", project],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_project_passes_its_own_test_and_is_known_once_installed(banked: Store, tmp_path: Path) -> None:
    new = twinbench("router", "new", "my-router", "--in", tmp_path, "--json").succeeded().json
    project = tmp_path / "my-router"
    assert sorted(new["files"]) == sorted(
        str(project / name) for name in ("pyproject.toml", "README.md", "my_router/__init__.py", "tests/test_router.py")
    )
    own = run_own_test(project)
    assert own.returncode == 0, own.stdout
    assert "2 passed" in own.stdout
    # What hatchling builds is what an installer unpacks, except that a test needs no network this way.
    site = tmp_path / "site"
    wheel = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "wheels"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wheel.returncode == 0, wheel.stderr
    (built,) = (tmp_path / "wheels").glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", built, site], check=True)
    environment = {"PYTHONPATH": str(site)}
    listed = spawned("router", "list", "--json", environment=environment).succeeded().json["routers"]
    assert [router for router in listed if router["router"] == "my-router"] == [
        {
            "router": "my-router",
            "from": "my-router 0.1.0",
            "needs": None,
            "arguments": None,
            "what": "my_router:MyRouter",
        }
    ]
    specs = ["my-router?long_tokens=20", f"{project / 'my_router' / '__init__.py'}:MyRouter?long_tokens=20"]
    scored = spawned("static", "score", *specs, "--bank", "bank", "--json", environment=environment).succeeded().json
    by_name, by_file = scored["routers"][:2]
    assert by_name["scores"] == by_file["scores"]
    assert by_name["counts"]["errors"] == 0
    checked = spawned("router", "check", specs[0], "--bank", "bank", environment=environment)
    assert checked.code == 0, checked.text


def test_a_new_project_that_learns_passes_its_own_test_and_is_trained(banked: Store, tmp_path: Path) -> None:
    twinbench("router", "new", "my-learner", "--learned", "--in", tmp_path, "--json").succeeded()
    project = tmp_path / "my-learner"
    own = run_own_test(project)
    assert own.returncode == 0, own.stdout
    twinbench("bank", "split", "bank", "--parts", "train=67,test=33").succeeded()
    spec, model = f"{project / 'my_learner' / '__init__.py'}:MyLearner", tmp_path / "model"
    twinbench("router", "train", spec, "--bank", "bank", "--split", "train", "--out", model).succeeded()
    scored = twinbench("static", "score", model, "--bank", "bank", "--split", "test", "--json").succeeded().json
    assert scored["routers"][0]["counts"]["errors"] == 0
    checked = twinbench("router", "check", model, "--bank", "bank", "--json").succeeded().json["checks"]
    alone = next(check["reason"] for check in checked if check["name"] == "without reading")
    assert alone == "not scored, since it was trained on the bank (2 of its groups, such as swebench/i0)"


NAMES = ["My", "1st", "a b", "class", "a--b", "sticky", "json", "twinbench", "tests", "../up", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_project_can_have_is_refused(name: str, tmp_path: Path) -> None:
    ran = twinbench("router", "new", "--in", tmp_path / "in", "--", name)
    assert ran.code == 2
    assert ran.err.startswith("error: router name")
    assert not (tmp_path / "in").exists()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    ran = twinbench("router", "new", "mine", "--in", tmp_path)
    assert ran.code == 2
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_same_decisions_from_file_module_and_entry_point(
    banked: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (HERE / "stateful.py").read_text()
    site = installed(tmp_path / "site", "stateful_router", code, {"stateful": "stateful_router:Stateful"})
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    specs = [f"{HERE / 'stateful.py'}:Stateful", "stateful_router:Stateful", "stateful"]
    scored = spawned("static", "score", *specs, "--bank", "bank", "--json").succeeded().json["routers"]
    assert scored[0]["scores"] == scored[1]["scores"] == scored[2]["scores"]
    lines = [spawned("static", "predict", spec, "--bank", "bank").succeeded().text for spec in specs]
    assert lines[0] == lines[1] == lines[2]
    assert len({load_router(spec).fingerprint for spec in specs}) == 2  # an entry point is another name of a module


DRAWS = """
import json
import random
from twinbench import Call, Decision, Tier

class MyLearner:
    def __init__(self):
        self.tiers = {}

    def fit(self, trajectories):
        for trajectory in trajectories:
            for call in trajectory.calls:
                self.tiers[str(call.step_index)] = random.choice([tier.label for tier in Tier])

    def save(self, folder):
        (folder / "tiers.json").write_text(json.dumps(self.tiers), "utf-8")

    def load(self, folder):
        self.tiers = json.loads((folder / "tiers.json").read_text("utf-8"))

    def route(self, call: Call) -> Decision:
        return Decision(self.tiers.get(str(call.step_index), "high"))
"""


@pytest.mark.acceptance
@pytest.mark.slow
def test_the_same_seed_gives_the_same_decisions_from_file_installed_name_and_artefact(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    import_rows([row for number in range(4) for row in a_trajectory([0, 1, 2, 3] * 2, instance=f"i{number}")], store)
    twinbench("bank", "split", "bank", "--parts", "train=50,test=50").succeeded()
    twinbench("router", "new", "my-learner", "--learned", "--in", tmp_path).succeeded()
    file = tmp_path / "my-learner" / "my_learner" / "__init__.py"
    file.write_text(DRAWS, "utf-8")
    # An environment that has what this one has, and the project as an installer leaves it there.
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (site_packages(python) / "of_the_tests.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", "utf-8"
    )
    uv: list[str | Path] = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-build-isolation",
        "--no-deps",
        "--python",
        python,
    ]
    subprocess.run([sys.executable, "-m", *uv, tmp_path / "my-learner"], check=True)

    def run(*arguments: object) -> str:
        command = [str(python), "-m", "twinbench", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def decided(here: Callable[..., str], spec: str, seed: int, model: Path) -> str:
        here("router", "train", spec, "--bank", "bank", "--split", "train", "--seed", str(seed), "--out", model)
        return here("static", "predict", model, "--bank", "bank", "--split", "test")

    def run_here(*arguments: str | Path) -> str:
        return twinbench(*arguments).succeeded().text

    by_file = decided(run_here, f"{file}:MyLearner", 3, tmp_path / "model-0")
    by_name = decided(run, "my-learner", 3, tmp_path / "model-1")
    other_seed = decided(run_here, f"{file}:MyLearner", 4, tmp_path / "model-2")
    assert by_file == by_name
    assert by_file.count("\n") == 16
    assert other_seed != by_file
    moved = tmp_path / "elsewhere"
    (tmp_path / "model-1").rename(moved)
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "uninstall", "--quiet", "--python", python, "my-learner"], check=True
    )
    file.unlink()
    assert run("static", "predict", moved, "--bank", "bank", "--split", "test", "--no-cache") == by_name
    monkeypatch.chdir(tmp_path)  # where the project's folder has the name of what is not installed any more
    gone = twinbench("router", "train", "my-learner", "--bank", "bank", "--out", "model")
    assert gone.code == 2
    assert "the folder my-learner has no artefact.json, so no router was trained into it" in gone.err


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment without twinbench."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python: Path = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    missing = subprocess.run([python, "-c", "import twinbench"], cwd=folder, capture_output=True, check=False)
    assert missing.returncode == 1
    return python


def site_packages(python: Path) -> Path:
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())


IN_ITS_ENVIRONMENT = """
import sys
import helper_of_the_environment
from twinbench import Call, Decision

class R:
    def route(self, call: Call) -> Decision:
        return Decision("mid", rationale=f"{helper_of_the_environment.WORD} {sys.prefix}")
"""


def test_a_router_runs_in_its_own_environment(
    bare_python: Path, write_router: WriteRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_packages(bare_python)
    if not (site / "helper_of_the_environment.py").exists():
        installed(site, "helper_of_the_environment", "WORD = 'found'\n", {})
    spec = write_router(IN_ITS_ENVIRONMENT)
    with hosted(spec, python=str(bare_python)) as router:
        assert router.route(a_call()).rationale == f"found {bare_python.parent.parent}"
    # By a path that starts where twinbench was called, not where the router's process is.
    monkeypatch.chdir(bare_python.parent)
    with hosted(spec, python="./python") as router:
        assert asked(router) == "mid"
    with pytest.raises(Exception, match="No module named 'helper_of_the_environment'"), hosted(spec):
        pass


def test_what_is_installed_there_is_part_of_what_is_kept(bare_python: Path, write_router: WriteRouter) -> None:
    site = site_packages(bare_python)
    spec = write_router("import versioned_thing\nclass R:\n    def route(self, call):\n        return 'low'\n")
    limits = PluginLimits(python=str(bare_python))

    def fingerprint() -> str | None:
        return load_router(spec, limits).fingerprint

    absent = fingerprint()
    installed(site, "versioned_thing", "X = 1\n", {})
    first = fingerprint()
    (site / "versioned_thing.py").write_text("X = 2\n")  # a distribution counts by its version
    same = fingerprint()
    (site / "versioned_thing-1.0.dist-info").rename(site / "versioned_thing-1.1.dist-info")
    metadata = site / "versioned_thing-1.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert first == same
    assert len({absent, first, fingerprint()}) == 3


def test_an_entry_point_is_looked_up_there(bare_python: Path) -> None:
    code = "class R:\n    def route(self, call):\n        return 'high'\n"
    installed(site_packages(bare_python), "router_of_it", code, {"only-there": "router_of_it:R"})
    with hosted("only-there", python=str(bare_python)) as router:
        assert asked(router) == "high"
    with pytest.raises(UsageError, match="no router has that name"):
        load_router("only-there")


@pytest.mark.parametrize("python", ["./no/such/python", "no-such-python-anywhere", "/etc/passwd", "/bin/true"])
def test_an_interpreter_that_is_none_is_wrong_usage(python: str, banked: Store, write_router: WriteRouter) -> None:
    spec = write_router("class R:\n    def route(self, call):\n        return 'low'\n")
    ran = twinbench("static", "score", spec, "--bank", "bank", "--python", python)
    assert ran.code == 2
    assert ran.err.startswith(f"error: --python {python}: ")


def test_where_the_platform_lacks_a_limit_the_run_says_which(
    banked: Store, monkeypatch: pytest.MonkeyPatch, write_router: WriteRouter
) -> None:
    assert missing_limits() == [] or sys.platform != "linux"
    monkeypatch.setattr(sys, "platform", "darwin")
    missing = "processes that leave the router's process group are found by their environment only"
    assert missing_limits() == [missing]
    own = write_router("class R:\n    def route(self, call):\n        return 'low'\n")
    for router, said in ((own, f"note: on this platform {missing}\n"), ("sticky", "")):
        for command in (("score", router), ("predict", router, "-o", os.devnull)):
            ran = twinbench("static", *command, "--bank", "bank").succeeded()
            assert [line for line in ran.err.splitlines(keepends=True) if line.startswith("note")] == [said] * bool(
                said
            )


CHECKS: dict[str, tuple[str, str, str]] = {
    "draws": ("import random\n{R}return random.choice(['low', 'mid', 'high'])", "determinism", "fail"),
    "hash of a text": (
        "{R}return ['low', 'mid', 'high', 'mid_high'][hash(str(call.messages)) % 4]",
        "determinism",
        "fail",
    ),
    "one state": (
        "SEEN = []\n{R}SEEN.append(call.session)\n        return 'low' if SEEN[-2:-1] == SEEN[-1:] else 'high'",
        "sessions",
        "fail",
    ),
    "order": (
        "OF = {{}}\n{R}return 'low' if OF.setdefault(call.session, len(OF)) % 2 else 'high'",
        "order of sessions",
        "fail",
    ),
    "by key": ("{R}return ('low', 'mid')[int(call.session, 16) % 2]", "session keys", "warn"),
    "mutation": ("{R}call.messages[-1]['seen'] = True\n        return 'low'", "no mutation", "fail"),
    "data file": ("{R}open({data!r}).close()\n        return 'low'", "label-blind", "fail"),
    "database": ("{R}open({bank!r}, 'rb').read(10)\n        return 'low'", "label-blind", "fail"),
    "read in C": (
        (
            "import ctypes\nC = ctypes.CDLL(None)\n{R}file = C.open({bank!r}.encode(), 0)\n"
            "        C.read(file, ctypes.create_string_buffer(4096), 4096)\n        C.close(file)\n        return 'low'"
        ),
        "label-blind",
        "warn",
    ),
    "any file": ("{R}open('/etc/hostname').read()\n        return 'low'", "label-blind", "warn"),
    "socket": (
        "import socket\n{R}socket.create_server(('127.0.0.1', 0)).close()\n        return 'low'",
        "label-blind",
        "warn",
    ),
    "late import": ("{R}import colorsys\n        return 'low'", "label-blind", "pass"),
    "odd": ("{R}return 'low' if call.messages[0]['content'].strip() else 'mid'", "odd content", "fail"),
    "slow": ("import time\n{R}time.sleep(0.15)\n        return 'low'", "latency", "warn"),
    "unknown": ("{R}return 'gpt-17'", "answers", "fail"),
    "complains": (
        "{R}return 'low'\n    def observe(self, outcome):\n        raise ValueError('no')",
        "answers",
        "fail",
    ),
    "fine": ("{R}return 'low'", "answers", "pass"),
    "database in C": (
        "import duckdb\n{R}duckdb.connect({bank!r}, read_only=True).sql('select 1').fetchall()\n        return 'low'",
        "label-blind",
        "warn",
    ),
}


@pytest.mark.parametrize("what", thinned(CHECKS, 2))
def test_a_check_finds(what: str, store: Store, write_router: WriteRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        a_trajectory([0, 1])
        if what == "slow"
        else [
            # so many that two runs of what is drawn do not agree by chance
            *a_trajectory([0, 1, 2] * 5),
            *a_trajectory([0, 1], instance="j"),
        ]
    )
    import_rows(rows, store)
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    data = store.root / "labels.jsonl"
    data.touch()
    (bank,) = store.root.glob("banks/bank/*.duckdb")
    code, check, status = CHECKS[what]
    route = "class R:\n    def route(self, call):\n        "
    spec = write_router(code.format(R=route, data=str(data), bank=str(bank)) + "\n")
    monkeypatch.setattr("static_track.check.SLOW_P95_MS", 100.0)
    ran = twinbench("router", "check", spec, "--bank", "bank", "--json")
    report = ran.json
    checks: dict[str, Any] = {each["name"]: each for each in report["checks"]}
    assert checks[check]["status"] == status, checks
    assert bool(checks[check]["advice"]) == (status != "pass")
    assert {each["subject"] for each in report["checks"]} == {spec}
    failed = [name for name, each in checks.items() if each["status"] == "fail"]
    assert ran.code == (1 if failed else 0)
    assert report["ok"] is not bool(failed)
    assert (ran.err == f"error: failed checks: {', '.join(failed)}\n") == bool(failed)
    assert (report["router"], report["bank"], report["rows"]) == (spec, "bank", len(rows))
    if what == "fine":
        assert list(checks) == [
            *("loads", "answers", "determinism", "order of sessions", "sessions", "session keys", "no mutation"),
            *("label-blind", "odd content", "first decision", "latency", "without reading"),
        ]
        assert {each["status"] for each in checks.values()} == {"pass"}


def test_a_check_stops_asking_a_router_that_hangs(store: Store, write_router: WriteRouter) -> None:
    import_rows(a_trajectory([0] * 20), store)
    spec = write_router("class R:\n    def route(self, call):\n        while True: pass\n")
    options = ["--bank", "bank", "--store", str(store.root), "--decision-timeout", "0.1", "--json"]
    ran = twinbench("router", "check", spec, *options)
    assert ran.code == 1
    reason = ran.json["checks"][1]["reason"]
    assert reason.startswith("10 of 20 calls failed, the first on swebench/i-1/1: the decision took longer than 0.1 s")
    assert reason.endswith("after 10 failures in a row")


def test_a_check_of_a_router_that_does_not_load(banked: Store, write_router: WriteRouter) -> None:
    ran = twinbench("router", "check", write_router("1 / 0\n"), "--bank", "bank", "--json")
    assert ran.code == 1
    (check,) = ran.json["checks"]
    assert (check["name"], check["status"]) == ("loads", "fail")
    assert "ZeroDivisionError" in check["reason"]
    assert twinbench("router", "check", "no-such-router", "--bank", "bank").code == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("return 'low'", "pass"),
        ("return 'low' if any(str(m.get('content')).endswith(' ') for m in call.messages) else 'high'", "warn"),
    ],
)
def test_harmless_rewrites_that_flip_decisions_are_counted(
    code: str, status: str, banked: Store, write_router: WriteRouter
) -> None:
    spec = write_router(f"class R:\n    def route(self, call):\n        {code}\n")
    ran = twinbench("router", "check", spec, "--bank", "bank", "--perturb", "--json").succeeded()
    [check] = [each for each in ran.json["checks"] if each["name"] == "perturbation"]
    assert check["status"] == status
    if status == "warn":
        assert check["reason"].startswith("9 of 45 rewrites flip the decision (a space at the end 100.0%")


def test_routers_that_are_installed_are_listed_beside_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"zeta": "listed_router:R", "sticky": "listed_router:R"}
    site = installed(tmp_path, "listed_router", "class R: ...\n", points)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    listed = {(row["router"], row["from"]): row for row in twinbench("router", "list", "--json").json["routers"]}
    assert listed["depth-rule", "twinbench"]["arguments"].startswith("mid=")
    assert listed["zeta", "listed_router 1.0"]["what"] == "listed_router:R"
    assert listed["sticky", "listed_router 1.0"]["what"].endswith("(hidden by the built-in router of that name)")


@pytest.fixture(autouse=True)
def _forget_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distributions of this process are looked up once; tests bring more."""
    from twinbench.plugins import provenance

    provenance._top_level.cache_clear()
    yield
    provenance._top_level.cache_clear()
