"""The patches of a run as SWE-bench reads them, and exports that tell nothing of the machine."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from dynamic_track.grading.submissions import read_predictions
from tests.cli.commands import twinbench
from tests.reports.journals import Call, Case, write_live_run

PATCH = "--- a/é\n+++ b/é\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of a router whose file lies somewhere on this machine, as its errors say."""
    somewhere = f"route raised FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/models/w.bin'"
    cases = [
        Case("a__a-1", patch=PATCH),
        Case("b__b-2", patch="", resolved=False),
        Case("c__c-3", cause="transport", detail="nobody answered", resolved=None),
        Case("d__d-4", [Call(router_error=somewhere)], cause="router", detail=somewhere, patch="", resolved=None),
        Case("e__e-5", ended=False),
    ]
    router = f"{tmp_path}/routers/mine.py:Mine?weights={tmp_path}/models/w.bin"
    return write_live_run(tmp_path / "runs" / "mine" / "seed-0", cases, router=router, simulated=True)


def test_predictions_are_read_by_swebench_and_by_grade(run: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("swebench.harness.utils")
    target = tmp_path / "predictions.jsonl"
    exported = twinbench("dynamic", "export", run, "--what", "predictions", "-o", target).succeeded()
    assert "note: left out, because infrastructure or the cap ended them: 1 trial\n" in exported.err
    assert "note: left out, because they have not finished: 1 trial\n" in exported.err
    assert f"3 predictions: {target}\n" in exported.err

    found = utils.get_predictions_from_file(str(target), "", "")

    assert {each["instance_id"]: each["model_patch"] for each in found} == {"a__a-1": PATCH, "b__b-2": "", "d__d-4": ""}
    assert {each["model_name_or_path"] for each in found} == {"twinbench/…/mine.py:Mine?weights=…/w.bin"}
    assert read_predictions(target) == {"a__a-1": PATCH, "b__b-2": "", "d__d-4": ""}
    assert twinbench("dynamic", "export", run, "--what", "predictions", "-o", "-").out == target.read_bytes()
    assert twinbench("dynamic", "export", run, "--what", "predictions", "--trial", "2", "-o", "-").out == b""
    refused = twinbench("dynamic", "export", run, "--trial", "2", "-o", "-")
    assert (refused.code, "--trial works with --what predictions" in refused.err) == (2, True)


def test_grade_reads_predictions_from_standard_input() -> None:
    lines = json.dumps({"instance_id": "none__such-1", "model_patch": ""}).encode()
    unknown = twinbench("dynamic", "grade", "--predictions", "-", stdin=lines)
    assert (unknown.code, "none__such-1" in unknown.err) == (2, True)
    malformed = twinbench("dynamic", "grade", "--predictions", "-", stdin=b'{"instance_id": "a"}\n')
    assert malformed.err.startswith("error: standard input, line 1, field model_patch: is missing")


def test_no_export_tells_a_path_of_this_machine(run: Path, tmp_path: Path) -> None:
    written = [
        twinbench("dynamic", "export", run, "--what", what, "-o", "-").succeeded().out
        for what in ("calls", "trials", "attempts", "predictions")
    ]
    written.append(twinbench("dynamic", "export", run, "--format", "otel", "-o", "-").succeeded().out)
    pytest.importorskip("inspect_ai", reason="the extra inspect is not installed")
    log = tmp_path / "log.eval"
    twinbench("dynamic", "export", run, "--format", "inspect", "-o", log).succeeded()
    with ZipFile(log) as archive:
        written += [archive.read(name) for name in archive.namelist()]

    assert [each for each in written if str(tmp_path).encode() in each] == []
    assert json.loads(written[0].splitlines()[0])["run"] == "mine/seed-0"
    assert b"'\\u2026/w.bin'" in written[1], "what the router said is there, but for the folders"
    assert b"mine/seed-0" in written[4]
