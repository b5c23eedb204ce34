"""Routers that are said to be others than they are: nothing is called but what the fingerprint is of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.banks import a_trajectory, import_rows
from tests.submissions.handing_in import contents, failed, forge, pack, reasons, verify, write_router
from twinbench.containers.engine import Engine
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint
from twinbench.plugins import loading
from twinbench.plugins.limits import PluginLimits
from twinbench.storage.store import Store
from twinbench.submissions.identities import parse_identity
from twinbench.submissions.manifest import SubmittedRouter
from twinbench.submissions.router_files import place_router

Router = dict[str, Any]
SHA = "0" * 64
CODE = b"class Mine:\n    def route(self, call):\n        return call.candidates[0]\n"
BUILT_IN = {"built-in": "always-high", "arguments": {}, "files": {}, "python": "3.11"}
TRAINED = {"artefact": SHA, "arguments": {}, "python": "3.11", "distributions": {}}
OWN = {
    "kind": "file",
    "target": "mine.py",
    "attribute": "Mine",
    "arguments": {},
    "argument_files": {},
    "python": "3.11",
    "files": {"mine.py": SHA},
    "distributions": {},
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router of two files and its predictions on a small bank."""
    rows = [row for number in range(4) for row in a_trajectory([number % 4, 0, 3], instance=f"i-{number}")]
    import_rows(rows, Store(None), "tiny", replace=True)
    folder = tmp_path_factory.mktemp("forged")
    folder.chmod(0o755)
    pack(write_router(folder / "router"), folder / "mine.zip", "--bank", "tiny").succeeded()
    return folder / "mine.zip"


def with_router(
    file: Path, output: Path, change: Callable[[Router], None], files: dict[str, bytes | None] | None = None
) -> Path:
    """Make a submission with another router, whose list of files and fingerprint fit."""

    def consistent(manifest: dict[str, Any]) -> None:
        router = manifest["router"]
        router["files"] = sorted(name for name in manifest["files"] if name.startswith("router/"))
        change(router)
        router["fingerprint"] = fingerprint(router["identity"])

    return forge(file, output, files=files, manifest=consistent)


def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The specs of routers that are loaded from here on; nothing is."""
    specs: list[str] = []

    def note(spec: str, limits: PluginLimits | None = None) -> loading.LoadedRouter:
        specs.append(spec)
        raise UsageError("noted")

    monkeypatch.setattr("static_track.submission.load_router", note)
    return specs


@pytest.mark.parametrize("spec", ["mine.py:Mine", "{outside}:Mine", "../outside.py:Mine", "{folder}", "knn-trained"])
def test_what_is_no_built_in_router_cannot_be_said_to_be_one(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    (tmp_path / "outside.py").write_bytes(CODE)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/artefact.json").write_text("{}", "utf-8")
    name = spec.format(outside=tmp_path / "outside.py", folder=tmp_path / "trained")

    def built_in(router: Router) -> None:
        router |= {"spec": name, "identity": {**BUILT_IN, "built-in": name}}

    specs = called(monkeypatch)
    nothing: dict[str, bytes | None] = {"router/limits.py": None, "router/mine.py": None}
    for files in ({}, nothing):
        ran = verify(with_router(packed, tmp_path / "forged.zip", built_in, dict(files)), ask="all")
        assert failed(ran) == {"router-files"}
        assert "must be the name of a built-in router" in reasons(ran, "router-files")
    assert specs == []


def test_a_built_in_router_has_no_files(packed: Path, tmp_path: Path) -> None:
    def built_in(router: Router) -> None:
        router |= {"spec": "always-high", "identity": BUILT_IN}

    ran = verify(with_router(packed, tmp_path / "forged.zip", built_in))
    assert "router-files" in failed(ran)
    assert "router/mine.py: a built-in router has no files" in reasons(ran, "router-files")


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"kind": [], "files": 5},
        {**OWN, "kind": "entry-point"},
        {**OWN, "target": 5},
        {**OWN, "target": "../mine.py"},
        {**OWN, "kind": "module", "target": "mine;import os"},
        {**OWN, "attribute": "Mine\nimport os"},
        {**OWN, "files": {"mine.py": 5}},
        {**OWN, "arguments": {"at": 2}},
        {**OWN, "built-in": "always-high"},
        {**BUILT_IN, "built-in": []},
        {**BUILT_IN, "built-in": "mine.py:Mine"},
        {**TRAINED, "artefact": None},
        {"built-in": "always-high"},
    ],
)
def test_an_identity_of_another_shape_is_no_identity(identity: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the router's identity"):
        parse_identity(identity)


@pytest.mark.parametrize("identity", [BUILT_IN, TRAINED, OWN, {**OWN, "kind": "trb", "target": "mine"}])
def test_the_identities_of_loaded_routers_are_read(identity: dict[str, Any]) -> None:
    assert parse_identity({**identity, "decision_s": 30.0}).python == "3.11"


@pytest.mark.parametrize(
    ("spec", "identity"),
    [("trained", {"kind": [], "files": 5}), ("trained", {}), ("trained", {**OWN, "kind": "artefact"})],
)
def test_an_unknown_kind_of_router_is_looked_for_nowhere(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, identity: dict[str, Any]
) -> None:
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/artefact.json").write_text("{}", "utf-8")
    monkeypatch.chdir(tmp_path)
    specs = called(monkeypatch)

    def unknown(router: Router) -> None:
        router |= {"spec": spec, "identity": identity}

    ran = verify(with_router(packed, tmp_path / "forged.zip", unknown), ask="all")
    assert failed(ran) == {"router-files"}
    assert specs == []


@pytest.mark.parametrize(
    ("spec", "identity"),
    [
        ("outside.py:Mine", {**OWN, "target": "outside.py"}),
        ("trained", TRAINED),
        ("../trained", TRAINED),
        (".", TRAINED),
        ("trained", {**OWN, "kind": "artefact"}),
    ],
)
def test_a_router_is_placed_below_the_extracted_folder_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, identity: dict[str, Any]
) -> None:
    (tmp_path / "outside.py").write_bytes(CODE)
    for folder in (tmp_path, tmp_path / "trained", tmp_path / "router"):
        folder.mkdir(exist_ok=True)
        if folder.name != "router":
            (folder / "artefact.json").write_text("{}", "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        place_router(SubmittedRouter(spec=spec, identity=identity), tmp_path / "router")
    (tmp_path / "router/outside.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(UsageError):
        place_router(SubmittedRouter(spec=spec, identity=identity), tmp_path / "router")


def test_what_is_placed_is_loaded_from_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(CODE)
    module = {**OWN, "kind": "module", "target": "pack.mine", "attribute": "Mine.make"}
    door = place_router(SubmittedRouter(spec="mine-router?at=2", identity=module), tmp_path)
    assert door == f"{tmp_path}/asked_from_here.py:Mine.make?at=2"
    assert (tmp_path / "asked_from_here.py").read_text() == "from pack.mine import Mine\n"
    assert place_router(SubmittedRouter(spec="mine.py:Mine", identity=OWN), tmp_path) == f"{tmp_path}/mine.py:Mine"
    assert place_router(SubmittedRouter(spec="always-high", identity=BUILT_IN), tmp_path) == "always-high"


@pytest.mark.parametrize("hashed", [(), ("limits.py",), ("mine.py",)])
def test_the_fingerprint_is_of_every_file_that_is_not_said_to_be_included(
    packed: Path, tmp_path: Path, hashed: tuple[str, ...]
) -> None:
    def fewer(router: Router) -> None:
        files = router["identity"]["files"]
        router["identity"]["files"] = {name: files[name] for name in hashed}

    ran = verify(with_router(packed, tmp_path / "forged.zip", fewer))
    assert failed(ran) == {"router-files"}
    assert ("is not of the file that the router is in" in reasons(ran, "router-files")) is ("mine.py" not in hashed)
    assert "nor does the manifest say that it was included" in reasons(ran, "router-files")


def test_included_files_are_named_since_the_fingerprint_is_not_of_them(packed: Path, tmp_path: Path) -> None:
    router = write_router(tmp_path / "router")
    (tmp_path / "router/table.json").write_text("{}", "utf-8")
    more = ("--include", "*.json", "--include", "limits.py")
    pack(router, tmp_path / "mine.zip", "--bank", "tiny", *more).succeeded()
    manifest = json.loads(contents(tmp_path / "mine.zip")["submission.json"])
    assert manifest["router"]["included"] == ["router/table.json"]
    ran = verify(tmp_path / "mine.zip")
    assert failed(ran) == set()
    assert "its fingerprint is not of (--include): router/table.json" in reasons(ran, "router-files")
    for wrong in (["router/mine.py"], ["router/table.json", "router/none.json"]):
        forged = with_router(tmp_path / "mine.zip", tmp_path / "f.zip", lambda router: router.update(included=wrong))  # noqa: B023
        assert failed(verify(forged)) == {"router-files"}


def test_an_included_file_that_the_router_imports_is_found(packed: Path, tmp_path: Path, engine: Engine) -> None:
    def included(router: Router) -> None:
        del router["identity"]["files"]["limits.py"]
        router["included"] = ["router/limits.py"]

    forged = with_router(packed, tmp_path / "forged.zip", included)
    assert failed(verify(forged)) == set()
    ran = verify(forged, ask="all")
    assert failed(ran) == {"decisions"}
    assert "it imports limits.py" in reasons(ran, "decisions")


@pytest.mark.parametrize("name", ["artefact.json", "model/artefact.json", "m.py:x/ARTEFACT.json"])
def test_a_trained_router_does_not_go_by_the_fingerprint_of_a_file(packed: Path, tmp_path: Path, name: str) -> None:
    def included(router: Router) -> None:
        router["included"] = [f"router/{name}"]

    ran = verify(with_router(packed, tmp_path / "forged.zip", included, {f"router/{name}": b"{}"}))
    assert "router-files" in failed(ran)
    assert "belongs to a trained router" in reasons(ran, "router-files")
    router = write_router(tmp_path / "router")
    (tmp_path / "router/artefact.json").write_text("{}", "utf-8")
    refused = pack(router, tmp_path / "x.zip", "--bank", "tiny", "--include", "*.json")
    assert (refused.code, "submit the folder as the router" in refused.err) == (2, True)


def test_an_error_that_nobody_foresaw_is_a_failed_check(
    packed: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    def break_down(spec: str, limits: PluginLimits | None = None) -> loading.LoadedRouter:
        raise ZeroDivisionError("never thought of")

    monkeypatch.setattr("static_track.submission.load_router", break_down)
    ran = verify(packed, ask="all")
    assert failed(ran) == {"decisions"}
    assert "ZeroDivisionError('never thought of')" in reasons(ran, "decisions")
    assert ran.json["results"]


def test_predictions_are_in_the_static_division(packed: Path, tmp_path: Path) -> None:
    for division in ("live", "open", "rehearsal"):
        forged = forge(packed, tmp_path / "f.zip", manifest=lambda told: told["static"][0].update(division=division))  # noqa: B023
        assert failed(verify(forged)) == {"division"}


def test_a_router_that_is_a_link_is_named_by_its_file(packed: Path, tmp_path: Path) -> None:
    write_router(tmp_path / "router")
    (tmp_path / "router/link.py").symlink_to("mine.py")
    refused = pack(f"{tmp_path / 'router/link.py'}:Mine", tmp_path / "x.zip", "--bank", "tiny")
    assert (refused.code, "is a link to" in refused.err) == (2, True)
