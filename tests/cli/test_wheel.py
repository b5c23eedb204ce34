"""What an installation gets: built as for the index, installed into a folder of its own, used from elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import twinbench as tb
from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import Ran
from tests.sharing import made_once
from twinbench.storage.store import STORE_VARIABLE, Store

CHECKOUT = Path(__file__).resolve().parents[2]


def built(kind: str, source: Path, target: Path) -> Path:
    """A distribution of the source tree, built as ``pip`` would."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (path,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by way of the source distribution, as the index would hold them."""

    def build(folder: Path) -> None:
        with tarfile.open(built("sdist", CHECKOUT, folder)) as archive:
            archive.extractall(folder, filter="data")
        (source,) = (path for path in folder.iterdir() if path.is_dir())
        built("wheel", source, folder)

    (file,) = made_once(tmp_path_factory, "wheel", build).glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel was installed into."""

    def install(target: Path) -> None:
        options = ("--quiet", "--no-deps", "--no-index", "--target", str(target))
        command = [sys.executable, "-m", "pip", "install", *options, str(wheel.filename)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    return made_once(tmp_path_factory, "installed", install)


def run(installed: Path, cwd: Path, *arguments: str, **environment: str) -> Ran:
    """Run the installed command in a folder that is no checkout."""
    base = {name: value for name, value in os.environ.items() if name != STORE_VARIABLE}
    done = subprocess.run(
        [sys.executable, installed / "bin" / "twinbench", *arguments],
        capture_output=True,
        cwd=cwd,
        env={**base, "PYTHONPATH": str(installed), **environment},
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def test_the_wheel_carries_manifests_bank_results_templates_and_sql(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())

    for path in (CHECKOUT / "pools").glob("*.toml"):
        assert wheel.read(f"twinbench/_data/pools/{path.name}") == path.read_bytes()
    for path in (CHECKOUT / "results" / "published").rglob("*.*"):
        name = path.relative_to(CHECKOUT / "results" / "published").as_posix()
        assert wheel.read(f"twinbench/_data/published/{name}") == path.read_bytes()
    for path in (CHECKOUT / "static_track").rglob("*.sql"):
        assert wheel.read(path.relative_to(CHECKOUT).as_posix()) == path.read_bytes()
    for folder in ("twinbench/html", "static_track", "dynamic_track"):
        for path in (*(CHECKOUT / folder).glob("*.html"), *(CHECKOUT / folder).glob("*.css")):
            assert wheel.read(path.relative_to(CHECKOUT).as_posix()) == path.read_bytes()
    for path in (CHECKOUT / "static_track" / "banks" / "data").rglob("*.json*"):
        assert wheel.read(path.relative_to(CHECKOUT).as_posix()) == path.read_bytes()
    assert {"twinbench/py.typed", "static_track/py.typed"} <= names


def test_the_wheel_carries_every_module_and_nothing_of_the_checkout_beside(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {
        path.relative_to(CHECKOUT).as_posix()
        for package in ("twinbench", "static_track", "dynamic_track")
        for path in (CHECKOUT / package).rglob("*.py")
    }

    assert {name for name in names if name.endswith(".py")} == modules
    tops = {name.partition("/")[0] for name in names}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"twinbench", "static_track", "dynamic_track", metadata}
    published = "twinbench/_data/published/"
    assert not [name for name in names if name.endswith((".duckdb", ".pyc"))]
    assert not [name for name in names if name.endswith(".parquet") and not name.startswith(published)]


@pytest.mark.acceptance
def test_the_demo_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    ran = run(installed, tmp_path, "demo", "--json", **{STORE_VARIABLE: str(store)}).succeeded()

    assert ran.json["bank"]["rows"] == tb.open_bank(store=store).info.rows
    assert (store / "banks" / DEFAULT_BANK / "bank.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.acceptance
def test_the_wheel_is_what_ran_there(installed: Path, tmp_path: Path) -> None:
    code = "import json, twinbench, static_track; print(json.dumps([twinbench.__file__, static_track.__file__]))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
    )

    assert all(Path(path).is_relative_to(installed) for path in json.loads(done.stdout))


def test_manifests_and_published_scores_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    pools = {pool["name"] for pool in run(installed, tmp_path, "pool", "list", "--json").succeeded().json["pools"]}

    assert pools == {path.stem for path in (CHECKOUT / "pools").glob("*.toml") if path.stem != "locked"}
    run(installed, tmp_path, "pool", "check").succeeded()
    assert "always-high" in run(installed, tmp_path, "static", "published").succeeded().text
    tables = run(installed, tmp_path, "outcomes", "list", "--json", TWINBENCH_STORE=str(tmp_path)).succeeded().json
    assert [(each["name"], each["outcomes"]) for each in tables["tables"]] == [("openhands-verified", 17_000)]


@pytest.mark.acceptance
@pytest.mark.skipif(sys.platform != "linux", reason="the folder for user data has another name elsewhere")
def test_without_a_checkout_the_store_is_in_the_users_data(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "bank", "list", XDG_DATA_HOME=str(tmp_path / "data")).succeeded()

    store = tmp_path / "data" / "twinbench" / "store"
    assert f"Banks in {store}" in listed.text
    assert (store / "banks" / DEFAULT_BANK / "bank.json").is_file()


def test_a_router_file_runs_under_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    def route(self, call):\n        return 'high'\n")
    store = Store(tmp_path / "store")
    import_rows(a_trajectory([0, 3, 1]), store, "mine")
    command = ("static", "score", "mine.py:Mine", "always-high", "--bank", "mine", "--json")

    ran = run(installed, tmp_path, *command, **{STORE_VARIABLE: str(store.root)}).succeeded()

    mine, high, *_ = ran.json["routers"]
    assert mine["scores"] == high["scores"]
