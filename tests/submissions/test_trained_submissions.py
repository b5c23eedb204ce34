"""Trained routers that are handed in: their whole folder, held against what training left and what they have seen."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.tasks.task import Task
from tests.banks import import_rows
from tests.cli.commands import twinbench
from tests.dynamic_track.auditing.test_audit import as_planned, json_file
from tests.dynamic_track.live import EASY, KEY, KEY_VARIABLE
from tests.dynamic_track.running.test_trained_routers import a_task
from tests.examples import thinned
from tests.submissions.handing_in import INFO, contents, failed, forge, pack, reasons, verify, zip_of
from tests.submissions.workshop import Workshop
from twinbench.containers.engine import Engine
from twinbench.fingerprint import fingerprint
from twinbench.storage.store import Store

LEARNER = '''
import pickle
from collections import Counter


class Learns:
    """Answers with the label that was most frequent."""

    def fit(self, trajectories):
        self.label = Counter(tier.label for each in trajectories for tier in each.targets).most_common(1)[0][0]

    def save(self, folder):
        (folder / "model.pkl").write_bytes(pickle.dumps(self.label))

    def load(self, folder):
        self.label = pickle.loads((folder / "model.pkl").read_bytes())

    def route(self, call):
        return self.label
'''
PART = "static/rehearsal--test/predictions.jsonl"
FOLDER = "router/model"
Files = dict[str, bytes | None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router trained on one part of the embedded bank."""
    folder = tmp_path_factory.mktemp("trained")
    folder.chmod(0o755)
    (folder / "learner.py").write_text(LEARNER, "utf-8")
    (folder / "submission.toml").write_text(INFO, "utf-8")
    twinbench("bank", "split", "rehearsal", "--parts", "train=60,test=40").succeeded()
    train = ("router", "train", f"{folder / 'learner.py'}:Learns", "--bank", "rehearsal", "--split", "train")
    twinbench(*train, "--out", folder / "model").succeeded()
    return folder / "model"


@pytest.fixture(scope="module")
def packed(model: Path) -> Path:
    """Its predictions on the other part."""
    file = model.parent / "mine.zip"
    pack(str(model), file, "--bank", "rehearsal:test", info=model.parent / "submission.toml").succeeded()
    return file


NOTHING = {"seen.json": json.dumps({"groups": [], "sketches": [], "templates": {}}).encode()}
"""The record of a router that has seen nothing."""


def listed(manifest: dict[str, Any]) -> None:
    manifest["router"]["files"] = [name for name in manifest["files"] if name.startswith("router/")]


def made_anew(
    file: Path,
    output: Path,
    changed: Mapping[str, bytes],
    manifest: Callable[[dict[str, Any]], None] | None = None,
    *,
    artefact: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Path:
    """A forger's artefact: other files in its folder, and every digest of them as it has to be."""
    there = contents(file)
    content_of_artefact = json.loads(there[f"{FOLDER}/artefact.json"])
    for name, content in changed.items():
        content_of_artefact["files"][name] = hashlib.sha256(content).hexdigest()
    artefact(content_of_artefact)
    told = json.dumps(content_of_artefact).encode()

    def consistent(submission: dict[str, Any]) -> None:
        identity = submission["router"]["identity"]
        identity["artefact"] = hashlib.sha256(told).hexdigest()
        submission["router"]["fingerprint"] = fingerprint(identity)
        if manifest is not None:
            manifest(submission)

    files = {f"{FOLDER}/{name}": content for name, content in {**changed, "artefact.json": told}.items()}
    return forge(file, output, files=files, manifest=consistent)


def test_the_whole_folder_is_handed_in_and_verified_where_the_split_is_not_known(
    model: Path, packed: Path, tmp_path: Path, embedded_store: Store
) -> None:
    files = contents(packed)
    inner = {
        path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert {f"{FOLDER}/{name}" for name in inner} == {name for name in files if name.startswith("router/")}
    manifest = json.loads(files["submission.json"])
    assert manifest["router"]["spec"] == "model"
    assert manifest["static"][0]["split"] == {
        "name": "default",
        "shares": {"train": 0.6, "test": 0.4},
        "seed": 0,
        "near_duplicates": True,
    }
    shutil.copytree(embedded_store.root, tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").rglob("*default*")), "no split is known there"
    ran = verify(packed, "--store", tmp_path / "elsewhere")
    assert failed(ran) == set()
    assert "what training on the part train of rehearsal records" in reasons(ran, "training")
    assert "trained on none of these groups" in reasons(ran, "in-sample")
    assert ran.json["results"][0]["in_sample"] is False
    pack(
        str(model), tmp_path / "again.zip", "--bank", "rehearsal:test", info=model.parent / "submission.toml"
    ).succeeded()
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


@pytest.mark.acceptance
def test_it_is_asked_again_from_its_folder(packed: Path, engine: Engine) -> None:
    ran = verify(packed, ask="all")
    assert failed(ran) == set()
    assert re.search(r"decides alike on (\d+) rows of \1 rows", reasons(ran, "decisions"))


def test_what_it_has_seen_is_refused_or_declared(model: Path, tmp_path: Path) -> None:
    info = model.parent / "submission.toml"
    refused = pack(str(model), tmp_path / "x.zip", "--bank", "rehearsal", info=info)
    assert (refused.code, "was trained on what it would be scored on" in refused.err) == (2, True)
    declared = tmp_path / "declared.zip"
    pack(str(model), declared, "--bank", "rehearsal:train", "--in-sample", info=info).succeeded()
    ran = verify(declared)
    assert failed(ran) == set()
    assert ran.json["results"][0]["in_sample"] is True
    predictions = "static/rehearsal--train/predictions.jsonl"
    unmarked = contents(declared)[predictions].replace(b', "in_sample": true', b"")

    def clean(manifest: dict[str, Any]) -> None:
        manifest["static"][0]["in_sample"] = False

    for files in ({}, {predictions: unmarked}):
        ran = verify(forge(declared, tmp_path / "clean.zip", files=files, manifest=clean))
        assert failed(ran) == {"in-sample"}
        assert "of its groups" in reasons(ran, "in-sample")
        assert ran.json["results"][0]["in_sample"] is True

    def closed(manifest: dict[str, Any]) -> None:
        clean(manifest)
        manifest["router"] = {"spec": "model", "closed": True}

    ours = dict.fromkeys(name for name in contents(declared) if name.startswith("router/"))
    ran = verify(forge(declared, tmp_path / "closed.zip", files=dict(ours), manifest=closed))
    assert failed(ran) == {"in-sample"}
    assert "marked as those of a router that was trained on these rows" in reasons(ran, "in-sample")

    seen = json.loads((model / "seen.json").read_text("utf-8"))
    renamed = {"seen.json": json.dumps({**seen, "groups": ["somebody/else"]}).encode()}
    ran = verify(made_anew(declared, tmp_path / "renamed.zip", renamed, clean))
    assert failed(ran) == {"in-sample", "training"}
    assert "near-duplicates of 13 more" in reasons(ran, "in-sample")


@pytest.mark.parametrize(
    ("files", "told"),
    thinned(
        [
            ({f"{FOLDER}/learned/model.pkl": b"other"}, "another file than the one that was trained"),
            ({f"{FOLDER}/code/learner.py": None}, "is missing"),
            ({f"{FOLDER}/artefact.json": b"{}"}, "another file than the one that the router's fingerprint is of"),
            ({f"{FOLDER}/more.json": b"{}"}, "not part of the trained router"),
            ({"router/learner.py": b"import os\nos.abort()\n"}, "not part of the trained router"),
        ],
        2,
    ),
)
def test_other_files_than_training_left_are_found(packed: Path, tmp_path: Path, files: Files, told: str) -> None:
    ran = verify(forge(packed, tmp_path / "forged.zip", files=files, manifest=listed))
    assert "router-files" in failed(ran) <= {"router-files", "in-sample"}
    assert told in reasons(ran, "router-files")
    assert "not called" in reasons(ran, "decisions")


@pytest.mark.acceptance
def test_wheels_go_in_and_have_to_be_sound(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "wheels").mkdir()
    inside = [("help/", b""), ("help/__init__.py", b"X = 1\n")]  # some wheels, such as numpy's, have folders in them
    wheel = zip_of(folder / "wheels" / "help-1.0-py3-none-any.whl", inside)
    (folder / "wheels" / "notes.txt").write_text("not packed", "utf-8")
    file = tmp_path / "wheels.zip"
    pack(str(folder), file, "--bank", "rehearsal:test", info=model.parent / "submission.toml").succeeded()
    assert f"{FOLDER}/wheels/{wheel.name}" in contents(file)
    assert f"{FOLDER}/wheels/notes.txt" not in contents(file)
    ran = verify(file)
    assert failed(ran) == set()
    [check] = [each for each in ran.json["checks"] if each["subject"] == f"{FOLDER}/wheels"]
    assert (check["name"], check["status"]) == ("router-files", "warn")
    assert "not part of its fingerprint" in check["reason"]
    a_folder = {f"{FOLDER}/wheels/{wheel.name}": None, f"{FOLDER}/wheels/{wheel.name}/x.py": b""}
    ran = verify(forge(file, tmp_path / "folder.zip", files=a_folder, manifest=listed), ask="20")
    assert failed(ran) == {"router-files"}
    assert f"{wheel.name}: not a wheel" in reasons(ran, "router-files")
    bomb = {f"{FOLDER}/wheels/{wheel.name}": b"PK"}
    ran = verify(forge(file, tmp_path / "bomb.zip", files=dict(bomb)))
    assert failed(ran) == {"router-files"}
    assert f"{wheel.name}: not a zip file" in reasons(ran, "router-files")
    outside = zip_of(tmp_path / "outside.zip", [("../help/", b""), ("x.py", b"")]).read_bytes()
    ran = verify(forge(file, tmp_path / "outside2.zip", files={f"{FOLDER}/wheels/{wheel.name}": outside}))
    assert failed(ran) == {"router-files"}
    assert "such as runs/mine/plan.json (found '../help')" in reasons(ran, "router-files")


def test_a_wheel_that_is_a_link_is_not_followed(model: Path, tmp_path: Path) -> None:
    outside = zip_of(tmp_path / "secret.whl", [("x.py", b"")])
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "wheels").mkdir()
    (folder / "wheels/help-1.0-py3-none-any.whl").symlink_to(outside)
    info = model.parent / "submission.toml"
    ran = pack(str(folder), tmp_path / "x.zip", "--bank", "rehearsal:test", info=info)
    assert (ran.code, "'wheels/help-1.0-py3-none-any.whl' is a link" in ran.err) == (2, True), ran.err


def always_low(manifest: dict[str, Any]) -> None:
    manifest["router"]["spec"] = "always-low"


def outside(manifest: dict[str, Any]) -> None:
    manifest["router"]["spec"] = "../model"


@pytest.mark.parametrize("change", [always_low, outside])
def test_a_folder_that_goes_by_another_name_is_found(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    assert failed(verify(forge(packed, tmp_path / "forged.zip", manifest=change))) == {"router-files"}


def test_training_data_that_is_made_up_is_found(packed: Path, tmp_path: Path) -> None:
    ran = verify(made_anew(packed, tmp_path / "none.zip", NOTHING))
    assert failed(ran) == {"training"}
    assert "is its own word (training)" in reasons(ran, "in-sample")


def without_its_record(artefact: dict[str, Any]) -> None:
    del artefact["files"]["seen.json"]


def with_its_record_elsewhere(artefact: dict[str, Any]) -> None:
    artefact["files"]["learned/seen.json"] = artefact["files"].pop("seen.json")


@pytest.mark.parametrize("change", [without_its_record, with_its_record_elsewhere])
def test_a_trained_router_without_a_record_of_what_it_has_seen_is_refused(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    record = contents(packed)[f"{FOLDER}/seen.json"]
    moved = tmp_path / "moved.zip"
    forge(packed, moved, files={f"{FOLDER}/seen.json": None, f"{FOLDER}/learned/seen.json": record})
    ran = verify(made_anew(moved, tmp_path / "forged.zip", {}, listed, artefact=change))
    assert failed(ran) == {"router-files", "in-sample"}
    assert "seen.json is not listed, which says what the router was trained on" in reasons(ran, "router-files")
    assert "nobody can tell what the router was trained on" in reasons(ran, "in-sample")


def on(**data: Any) -> Callable[[dict[str, Any]], None]:
    """Change what a folder says that it was trained on."""
    return lambda artefact: artefact["data"].update(data)


NO_GROUPS = {"rows": 0, "trajectories": 0, "groups": 0}


@pytest.mark.parametrize(
    ("data", "checks", "told"),
    thinned(
        [
            ({"bank": "mine", "bank_sha256": "0" * 64}, {"training"}, "names 0"),
            ({"part": "nowhere"}, {"training"}, "names 0"),
            ({"bank_sha256": "0" * 64, **NO_GROUPS}, {"training"}, "not the one of this release"),
            ({"part": "heldout", **NO_GROUPS}, {"training"}, "on which training trains nothing"),
            ({"bank": "mine", "bank_sha256": "0" * 64, **NO_GROUPS}, set(), "which is not here"),
            ({"part": "nowhere", **NO_GROUPS}, set(), "not a part of that bank here"),
        ],
        3,
    ),
)
def test_a_record_that_cannot_be_verified_excludes_nothing(
    packed: Path, tmp_path: Path, data: dict[str, Any], checks: set[str], told: str
) -> None:
    ran = verify(made_anew(packed, tmp_path / "forged.zip", NOTHING, artefact=on(**data)))
    assert failed(ran) == checks
    assert told in reasons(ran, "training")
    [check] = [each for each in ran.json["checks"] if each["name"] == "in-sample"]
    assert (check["status"], "is its own word (training)" in check["reason"]) == ("warn", True)


@pytest.mark.parametrize("target", ["/etc/hostname", "../learned/model.pkl", "none.py"])
def test_a_trained_router_is_one_of_its_own_files(packed: Path, tmp_path: Path, engine: Engine, target: str) -> None:
    def elsewhere(artefact: dict[str, Any]) -> None:
        artefact["target"] = target

    ran = verify(made_anew(packed, tmp_path / "forged.zip", {}, artefact=elsewhere), ask="20")
    assert failed(ran) == {"router-files", "in-sample"}
    assert "no trained router of this release (target: " in reasons(ran, "router-files")


@pytest.mark.parametrize(
    "content",
    thinned([b"[" * 100_000, b"[1", b"{}", b'{"groups": [1e999], "sketches": [], "templates": {}}'], 4),
    ids=["deep", "cut", "empty", "infinite"],
)
def test_training_data_that_cannot_be_read_is_found(packed: Path, tmp_path: Path, content: bytes) -> None:
    ran = verify(made_anew(packed, tmp_path / "damaged.zip", {"seen.json": content}))
    assert failed(ran) == {"in-sample"}
    assert f"{FOLDER}/seen.json: not what this release keeps" in reasons(ran, "in-sample")


def test_what_was_learned_is_unpickled_in_strict_isolation_alone(packed: Path, tmp_path: Path, engine: Engine) -> None:
    trap = tmp_path / "trap"
    hostile = {"learned/model.pkl": b"cos\nmkdir\n(S'" + os.fsencode(trap) + b"'\ntR."}
    forged = made_anew(packed, tmp_path / "forged.zip", hostile)
    assert failed(verify(forged)) == set()
    assert failed(verify(forged, ask="all")) == {"decisions"}
    assert not trap.exists()


def test_a_folder_with_the_name_of_another_router_gets_one_of_its_own(model: Path, tmp_path: Path) -> None:
    info = model.parent / "submission.toml"
    shutil.copytree(model, tmp_path / "knn")
    file = tmp_path / "knn.zip"
    pack(str(tmp_path / "knn"), file, "--bank", "rehearsal:test", info=info).succeeded()
    assert json.loads(contents(file)["submission.json"])["router"]["spec"] == "knn-trained"
    assert failed(verify(file)) == set()
    shutil.copytree(model, tmp_path / "a:b")
    ran = pack(str(tmp_path / "a:b"), tmp_path / "x.zip", "--bank", "rehearsal:test", info=info)
    assert ran.code == 2
    more = ("--bank", "rehearsal:test", "--include", "*")
    ran = pack(str(model), tmp_path / "x.zip", *more, info=model.parent / "submission.toml")
    assert (ran.code, "has all that it needs" in ran.err) == (2, True)


@pytest.mark.acceptance
def test_a_run_on_tasks_that_it_was_trained_on_is_recognised(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    workshop = Workshop(tmp_path, rehearsal)
    (tmp_path / "router" / "mine.py").write_text(LEARNER, "utf-8")
    import_rows(a_task(EASY, "alpha beta gamma delta epsilon"), Store(None), "of-the-task")
    model = tmp_path / "model"
    train = ("router", "train", workshop.router.replace(":Mine", ":Learns"), "--bank", "of-the-task", "--out", model)
    twinbench(*train).succeeded()
    run = workshop.run("seen", "--in-sample", router=str(model))
    workshop.post(run)
    file, info = tmp_path / "seen.zip", tmp_path / "router" / "submission.toml"
    pack(str(model), file, "--run", run, info=info).succeeded()
    ran = workshop.verify(file)
    assert failed(ran) == set()
    assert ran.json["results"][0]["in_sample"] is True

    def clean(manifest: dict[str, Any]) -> None:
        manifest["live"][0]["in_sample"] = False

    ran = workshop.verify(forge(file, tmp_path / "clean.zip", manifest=clean))
    assert failed(ran) == {"in-sample"}
    assert "the run is marked" in reasons(ran, "in-sample")
    json_file(run / "plan.json", lambda plan: plan["identity"]["router"].update(spec=str(model)))
    as_planned(run)
    pack(str(model), tmp_path / "unmarked.zip", "--run", run, info=info).succeeded()
    ran = workshop.verify(tmp_path / "unmarked.zip")
    assert "in-sample" in failed(ran)
    assert f"1 of its tasks, such as {EASY}" in reasons(ran, "in-sample")
