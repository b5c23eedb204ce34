"""Folders of trained routers that are not as training left them: nothing in them is run, read or trusted."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.hosting import asked, hosted, limits
from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_file
from twinbench.plugins.artefact import read_artefact
from twinbench.plugins.loading import load_router

CODE = {
    "mine.py": (
        "from helper import TIER\nclass R:\n  def __init__(self, words=''): pass\n"
        "  def load(self, folder): pass\n  def route(self, call): return TIER\n"
    ),
    "helper/__init__.py": "from helper.tier import TIER\n",
    "helper/tier.py": "TIER = 'mid'\n",
}
EVIL = "raise SystemExit('nobody vouches for this')\n"


def artefact(folder: Path, **changes: Any) -> Path:
    """The folder of a trained router as training writes it, with other fields in its manifest."""
    content = {f"code/{name}": text for name, text in CODE.items()}
    content |= {"learned/m.json": "1", "seen.json": '{"groups":[],"sketches":[],"templates":{}}\n'}
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in content.items()}
    manifest: dict[str, Any] = {
        "kind": "trained router",
        "twinbench": "0.1.0",
        "router": "mine.py:R",
        "origin": "file",
        "target": "mine.py",
        "attribute": "R",
        "settings": {},
        "seed": 0,
        "code": {
            "fingerprint": "0" * 64,
            "python": "3.11",
            "files": {name: digests[f"code/{name}"] for name in CODE},
            "distributions": {},
        },
        "data": {
            "fingerprint": "0" * 64,
            "bank": "one",
            "bank_sha256": "0" * 64,
            "part": None,
            "rows": 1,
            "trajectories": 1,
            "groups": 1,
        },
        "files": digests,
    }
    (folder / "artefact.json").write_text(json.dumps({**manifest, **changes}), "utf-8")
    return folder


def without(folder: Path, name: str) -> None:
    """Take a file out of the manifest of an artefact."""
    manifest = json.loads((folder / "artefact.json").read_text("utf-8"))
    del manifest["files"][name]
    (folder / "artefact.json").write_text(json.dumps(manifest), "utf-8")


def plant_bytecode(source: Path) -> Path:
    """Put bytecode of other code beside a module, of the kind that Python does not hold against the source."""
    bytecode = Path(importlib.util.cache_from_source(str(source)))
    bytecode.parent.mkdir(exist_ok=True)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + bytes(8)
    bytecode.write_bytes(header + marshal.dumps(compile(EVIL, str(source), "exec")))
    return bytecode


def test_only_listed_sources_are_run_and_running_leaves_nothing(tmp_path: Path) -> None:
    model = artefact(tmp_path / "model")
    before = sorted(model.rglob("*"))
    for _ in range(2):  # what the first run leaves is no damage to the second
        with hosted(str(model)) as router:
            assert asked(router) == "mid"
    assert sorted(model.rglob("*")) == before
    for name in CODE:
        plant_bytecode(model / "code" / name)
    with hosted(str(model)) as router:
        assert asked(router) == "mid"
    by_module = artefact(tmp_path / "by-module", origin="module", target="mine")
    for name in CODE:
        plant_bytecode(by_module / "code" / name)
    with hosted(str(by_module)) as router:
        assert asked(router) == "mid"


@pytest.mark.parametrize(
    ("origin", "target", "why"),
    [
        ("file", "{outside}", "is none of the files in code/ that are listed"),
        ("file", "../../outside.py", "is none of the files in code/ that are listed"),
        ("file", "../learned/m.json", "is none of the files in code/ that are listed"),
        ("file", "./mine.py", "is none of the files in code/ that are listed"),
        ("file", "a\0b", "is none of the files in code/ that are listed"),
        ("module", "a\0b", "is not the name of a module router"),
        ("module", "../outside", "is not the name of a module router"),
        ("module", "helper..tier", "is not the name of a module router"),
        ("built-in", "a\nb", "is not the name of a built-in router"),
    ],
)
def test_a_target_is_within_what_was_trained(tmp_path: Path, origin: str, target: str, why: str) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(EVIL, "utf-8")
    model = artefact(tmp_path / "model", origin=origin, target=target.format(outside=outside))
    with pytest.raises(UsageError, match=f"no trained router of this release .target: .* {why}"):
        load_router(str(model), limits())


def test_a_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    model = artefact(tmp_path / "model", attribute="R\x1b[31m")
    with pytest.raises(UsageError, match=r"attribute: 'R\\x1b\[31m' is not the name of a class or function"):
        load_router(str(model), limits())


def test_the_record_of_what_was_seen_is_listed_at_its_place(tmp_path: Path) -> None:
    model = artefact(tmp_path / "model")
    without(model, "seen.json")
    with pytest.raises(UsageError, match=r"files: seen\.json is not listed"):
        load_router(str(model), limits())
    moved = artefact(tmp_path / "moved")
    manifest = json.loads((moved / "artefact.json").read_text("utf-8"))
    manifest["files"]["learned/seen.json"] = manifest["files"].pop("seen.json")
    (moved / "artefact.json").write_text(json.dumps(manifest), "utf-8")
    (moved / "seen.json").rename(moved / "learned" / "seen.json")
    with pytest.raises(UsageError, match=r"files: seen\.json is not listed"):
        load_router(str(moved), limits())


def _write(name: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(EVIL, "utf-8")

    return change


def _link_folder(model: Path) -> None:
    (model / "learned").rename(model.parent / "elsewhere")
    (model / "learned").symlink_to(model.parent / "elsewhere")


def _link_file(model: Path) -> None:
    (model / "seen.json").rename(model.parent / "elsewhere")
    (model / "seen.json").symlink_to(model.parent / "elsewhere")


def _link_wheel(model: Path) -> None:
    (model / "wheels").mkdir()
    (model / "wheels" / "x-1.0-py3-none-any.whl").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_write("code/json.py"), "'code/json.py' was not there after training"),
        (_write("code/helper/more.pyc"), "'code/helper/more.pyc' was not there after training"),
        (_write("code/__pycache__/more.py"), "'code/__pycache__/more.py' was not there after training"),
        (_write("learned/__pycache__/m.pyc"), "'learned/__pycache__/m.pyc' was not there after training"),
        (_write("learned/m.pkl"), "'learned/m.pkl' was not there after training"),
        (_write("sitecustomize.py"), "'sitecustomize.py' was not there after training"),
        (_link_folder, "'learned' is a link"),
        (_link_file, r"'seen\.json' is a link"),
        (_link_wheel, "'wheels/x-1.0-py3-none-any.whl' is a link"),
    ],
)
def test_what_was_not_there_after_training_is_damage(tmp_path: Path, change: Callable[[Path], None], why: str) -> None:
    model = artefact(tmp_path / "model")
    change(model)
    with pytest.raises(UsageError, match=f"the trained router .* is damaged: {why}"):
        load_router(str(model), limits())


def test_a_file_that_an_argument_names_counts(tmp_path: Path) -> None:
    model, words = artefact(tmp_path / "model"), tmp_path / "words.txt"
    fingerprints = []
    for text in ("one", "two"):
        words.write_text(text, "utf-8")
        fingerprints.append(load_router(f"{model}?words={words}", limits()).fingerprint)
    assert fingerprints[0] != fingerprints[1]


def test_wheels_need_no_digest(tmp_path: Path) -> None:
    model = artefact(tmp_path / "model")
    _write("wheels/x-1.0-py3-none-any.whl")(model)
    assert load_router(str(model), limits()).artefact is not None


@pytest.mark.parametrize("name", ["learned/m.json", "seen.json", "artefact.json", "wheels/x-1.0-py3-none-any.whl"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    model = artefact(tmp_path / "model")
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).unlink(missing_ok=True)
    os.mkfifo(model / name)
    with pytest.raises(UsageError, match=r"cannot be read \(is not a file\)|is damaged: '.*' is no plain file"):
        read_artefact(model)


def test_the_digest_of_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is not a file") as refused:
        sha256_file(tmp_path / "pipe")
    assert refused.value.filename == str(tmp_path / "pipe")
