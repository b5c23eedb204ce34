"""Routers that are trained: the folder that comes of it, what it refuses, and what goes wrong without leaving one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.evaluator import Evaluator
from tests.banks import Row, a_row, a_trajectory, import_rows
from tests.cli.commands import files, spawned, twinbench
from tests.cli.forked import ForkedCommand
from tests.plugins.hosting import limits, until
from twinbench.errors import TwinbenchError, UsageError
from twinbench.plugins.training import TrainingError
from twinbench.storage.store import STORE_VARIABLE, Store

LEARNING = Path(__file__).parent / "learning.py"
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu")


def about(number: int, workload: str, *, also: str = "") -> list[Row]:
    """A trajectory whose first message is of its own task, in words that no other task has."""
    rows = []
    for step in (1, 2):
        row = a_row(number % 2 if step == 1 else 3, workload=workload, instance=f"i{number}", step=step)
        row["messages"][1]["content"] = " ".join(f"{word}{workload}{number}" for word in WORDS) + also
        rows.append(row)
    return rows


@pytest.fixture
def banked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with the banks ``one`` and ``other``, split in halves; the other begins one task like the first."""
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    import_rows([row for number in range(8) for row in about(number, "swebench")], store, "one")
    copied = [
        {**row, "instance_id": "copy", "id": f"copy/{row['step_index']}"} for row in about(3, "swebench", also=" x")
    ]
    import_rows([*(row for number in range(8, 12) for row in about(number, "swebench")), *copied], store, "other")
    twinbench("bank", "split", "one", "--parts", "train=50,test=50").succeeded()
    return store


def trained(folder: Path, name: str = "Learns", **settings: Any) -> Path:
    """The folder of a trained router."""
    tb.train(f"{LEARNING}:{name}", "one", out=folder, split="train", plugins=limits(), **settings)
    return folder


def test_a_trained_router_is_a_folder_that_is_a_router_anywhere(banked: Store, tmp_path: Path) -> None:
    code = tmp_path / "mine" / "learning.py"
    code.parent.mkdir()
    shutil.copyfile(LEARNING, code)
    out = tmp_path / "models" / "first"
    spec = f"{code}:Learns?floor=mid"
    done = twinbench("router", "train", spec, "--bank", "one", "--split", "train", "--out", out, "--json").succeeded()
    told = done.json
    assert told["folder"] == str(out)
    assert told["settings"] == {"floor": "mid"}
    assert told["router"] == "learning.py:Learns?floor=mid"
    assert (told["data"]["rows"], told["data"]["trajectories"], told["data"]["part"]) == (8, 4, "train")
    kept = files(out)
    assert set(kept) == {"artefact.json", "seen.json", "code/learning.py"} | {
        f"learned/{name}" for name in ("deep/steps.json", "groups.json", "large.bin")
    }
    assert str(tmp_path).encode() not in b"".join(kept.values())
    seen = json.loads(kept["seen.json"])["groups"]
    assert sorted(each.partition("|")[2] for each in json.loads(kept["learned/groups.json"])) == seen
    again = tb.train(spec, "one", out=tmp_path / "again", split="train")
    assert files(again.folder) == kept
    assert tb.train(spec, "one", out=tmp_path / "other", split="train", seed=1).fingerprint != again.fingerprint

    before = tb.score([str(out)], "one", split="test").entries[0]
    code.unlink()
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(out, moved)
    after = spawned(
        "static",
        "score",
        moved,
        "--bank",
        "one",
        "--split",
        "test",
        "--no-cache",
        "--resamples",
        "0",
        "--json",
        cwd=moved,
    )
    entry = after.succeeded().json["routers"][0]
    assert (entry["router"], entry["first_error"]) == (str(moved), None)
    assert entry["scores"] == before.score.scores
    assert entry["scores"]["row_exact"] >= 50.0
    assert "in_sample" not in entry


def test_a_router_is_not_scored_on_what_it_was_trained_on(banked: Store, tmp_path: Path) -> None:
    model = trained(tmp_path / "model")
    report = tmp_path / "r.html"
    for command in ("score", "predict", "explain", f"report -o {report}", "diff sticky"):
        refused = twinbench("static", *command.split(), model, "--bank", "one")
        assert refused.code == 2, (command, refused.err)
        assert "was trained on what it would be scored on (4 of its groups, such as swebench/i" in refused.err
    assert twinbench("static", "score", model, "--bank", "one", "--split", "test").code == 0
    alike = twinbench("static", "score", model, "--bank", "other")
    seen = json.loads((model / "seen.json").read_text("utf-8"))["groups"]
    if "swebench/i3" in seen:
        assert alike.code == 2
        assert "near-duplicates of 1 more, such as swebench/copy" in alike.err
    else:
        assert alike.code == 0

    marked = f"{model} (in-sample)"
    scored = (
        twinbench("static", "score", model, "--bank", "one", "--in-sample", "--resamples", "0", "--json")
        .succeeded()
        .json
    )
    assert [(each["router"], each.get("in_sample")) for each in scored["routers"]][:2] == [
        (marked, True),
        ("always-low", None),
    ]
    assert (
        marked
        in twinbench(
            "static", "score", model, "--bank", "one", "--in-sample", "--resamples", "0", "--format", "csv"
        ).text
    )
    assert twinbench("static", "explain", model, "--bank", "one", "--in-sample", "--json").json["router"] == marked
    page = tmp_path / "page.html"
    twinbench("static", "report", model, "--bank", "one", "--in-sample", "--resamples", "0", "-o", page).succeeded()
    assert "model (in-sample)" in page.read_text("utf-8")
    lines = tmp_path / "lines.jsonl"
    twinbench("static", "predict", model, "--bank", "one", "--in-sample", "-o", lines).succeeded()
    from_file = (
        twinbench("static", "score", "--predictions", lines, "--bank", "one", "--resamples", "0", "--json")
        .succeeded()
        .json
    )
    assert from_file["routers"][0]["router"] == f"predictions:{lines} (in-sample)"
    assert from_file["routers"][0]["in_sample"] is True


def test_near_duplicates_are_known_by_what_was_kept_of_them(banked: Store, tmp_path: Path) -> None:
    tb.train(f"{LEARNING}:Learns", "one", out=tmp_path / "all", plugins=limits())
    with pytest.raises(UsageError, match="near-duplicates of 1 more, such as swebench/copy"):
        tb.score([str(tmp_path / "all")], "other")
    fresh = [row for number in range(20, 24) for row in about(number, "swebench")]
    import_rows(fresh, banked, "fresh")
    assert tb.score([str(tmp_path / "all")], "fresh").entries[0].first_error is None


def test_instances_of_heldout100_are_left_out_of_training(store: Store, tmp_path: Path) -> None:
    held = "django__django-11848"
    rows = [*a_trajectory([0, 1], instance=held), *(row for number in range(3) for row in about(number, "swebench"))]
    if import_rows(rows, store, "bank").heldout_trajectories != 1:
        pytest.skip("the list of heldout100 has another instance")
    artefact = tb.train(f"{LEARNING}:Learns", "bank", out=tmp_path / "model", store=store.root, plugins=limits())
    assert artefact.manifest.data.trajectories == 3


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("Raises", {}, r"fit raised LookupError: nothing to be learnt here \(learning.py, line \d+\)"),
        ("Hangs", {"fit": tb.FitLimits(fit_s=0.5)}, "fit took longer than 0.5 s"),
        ("Eats", {"fit": tb.FitLimits(memory_mib=400)}, "took more than 400 MiB of memory"),
        ("Dies", {}, "its process exited with code 3"),
        ("SavesNothing", {}, "save wrote no file into the folder that it was given"),
        (
            "SavesALink",
            {},
            "save wrote 'learned/steps.json', which is a link or a pipe, say; only plain files are kept",
        ),
        ("SavesAlsoALink", {}, "save wrote 'learned/steps.json', which is a link or a pipe, say"),
        ("SavesTooDeep", {}, r"what save wrote cannot be read \(File name too long: …d+"),
        ("SavesUnderNoText", {}, r"save wrote 'learned/\\udcff', whose name is no text in UTF-8"),
        (
            "WritesWhenLoaded",
            {},
            "does not stay as it was while it is used .'learned/cache' was not there after training",
        ),
        ("SavesRubbish", {}, "what it saved is of no use: .* load raised JSONDecodeError"),
        ("DecidesNothing", {}, "what it saved decides nothing: 'best' is neither a candidate"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_no_folder(
    banked: Store, tmp_path: Path, name: str, settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(TrainingError, match=f"{why}.*; nothing was written"):
        trained(tmp_path / "models" / "model", name, **settings)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_a_killed_training_left_is_removed_and_that_of_a_living_one_is_not(banked: Store, tmp_path: Path) -> None:
    models = tmp_path / "models"
    model, other = models / "model[1]", models / "model1"
    words = ("router", "train", f"{LEARNING}:Hangs", "--bank", "one", "--split", "train", "--out", str(model))
    with ForkedCommand(words) as command:
        assert until(lambda: len([*models.glob(".model*.partial")]) == 1)
        (left,) = models.glob(".model*.partial")
        trained(model)
        assert left.exists()
        command.kill()
        command.wait(60)
    shutil.rmtree(model)
    trained(other)
    assert left.exists()  # it is of another folder
    trained(model)
    assert sorted(models.iterdir()) == sorted([model, other])


def test_an_argument_that_is_too_long_for_a_path_is_a_text(banked: Store, tmp_path: Path) -> None:
    text = "x" * 300
    model = tb.train(f"{LEARNING}:Learns?floor={text}", "one", out=tmp_path / "model", plugins=limits())
    assert model.manifest.settings == {"floor": text}
    with pytest.raises(UsageError, match=r"use package\.module:Class"):
        tb.score([f"{text}/model"], "one")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("sticky", r"it has no method fit\(trajectories\)"),
        (f"{LEARNING}:FitsOnly", r"it has fit\(trajectories\), but not both save\(folder\) and load\(folder\)"),
        (f"{LEARNING}:Learns?floor={LEARNING}", "its argument floor names a file"),
        ("http://127.0.0.1:9/", "it can be trained there alone"),
        ("trb:some:Thing", r"have no method fit\(trajectories\)"),
    ],
)
def test_what_cannot_be_trained_is_refused(banked: Store, tmp_path: Path, spec: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        tb.train(spec, "one", out=tmp_path / "model", plugins=limits())
    assert not (tmp_path / "model").exists()


def test_a_folder_that_was_changed_is_refused_and_its_pickle_is_read_in_its_own_process(
    banked: Store, tmp_path: Path
) -> None:
    model = trained(tmp_path / "model", "Pickles")
    with pytest.raises(UsageError, match="exists: choose another --out"):
        trained(model)
    with tb.open_bank("one") as bank:
        said = Evaluator(bank, split="test", plugins=limits()).predictions(str(model)).rationales
    (text,) = set(said or ())
    assert text is not None
    assert text.startswith("unpickled in ")
    assert text != f"unpickled in {os.getpid()}"
    assert not hasattr(sys, "unpickled_in")
    (model / "learned" / "model.pickle").write_bytes(b"other")
    with pytest.raises(UsageError, match=r"is damaged: learned/model\.pickle is not what it was; train it again"):
        tb.score([str(model)], "one", split="test")
    manifest = json.loads((model / "artefact.json").read_text("utf-8"))
    for change, why in (
        ({"files": {"../out": "0" * 64}}, "is not a valid path in an artefact"),
        ({"files": {"learned/../../x": "0" * 64}}, "is not a valid path in an artefact"),
        ({"origin": "elsewhere"}, "origin: "),
    ):
        (model / "artefact.json").write_text(json.dumps({**manifest, **change}), "utf-8")
        with pytest.raises(TwinbenchError, match=why):
            tb.score([str(model)], "one", split="test")
    with pytest.raises(UsageError, match=r"the folder .* has no artefact\.json"):
        tb.score([str(tmp_path)], "one")
