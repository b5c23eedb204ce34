"""Live runs that are handed in: honest ones pass, however they were made, and each kind of tampering has its check."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.grading import verdict
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.auditing.test_audit import (
    as_planned,
    case_file,
    consistently,
    drop,
    edited,
    json_file,
    scaled,
    setting,
)
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    SUBMIT,
    Victims,
    by_step,
    live,
    pool_file,
    run_arguments,
    said,
    solving,
)
from tests.scripted.server import ScriptedServer
from tests.submissions.handing_in import contents, failed, forge, pack, reasons, verify, write_router
from tests.submissions.workshop import Workshop
from twinbench.calls.journal import read_journal
from twinbench.calls.packing import pack as pack_text
from twinbench.fingerprint import fingerprint
from twinbench.submissions.commitment import Commitment

MEDIUM = "rehearsal__tidecache-41"
BOTH = ("--only", MEDIUM)


@pytest.fixture(scope="module", autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        yield


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"), rehearsal)


@pytest.fixture(scope="module")
def ran(workshop: Workshop) -> Path:
    """A run of two cases, committed to before."""
    run = workshop.folder / "ran"
    arguments = run_arguments("http://127.0.0.1:9/v1", run, *BOTH, "--commit-only", router=workshop.router)
    told = twinbench(*arguments).succeeded().json
    assert Path(told.pop("file")).name == f"{told['digest']}.json"
    assert Commitment.model_validate(told).cases == (EASY, MEDIUM)
    workshop.post(run)
    return workshop.run("ran", *BOTH)


@pytest.fixture(scope="module")
def packed(workshop: Workshop, ran: Path) -> Path:
    return workshop.pack(ran)


@pytest.fixture
def spoilt(workshop: Workshop, ran: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the run, to spoil."""
    copy = workshop.folder / f"spoilt-{abs(hash(request.node.nodeid))}"
    shutil.copytree(ran, copy)
    yield copy
    shutil.rmtree(copy)


def test_a_run_that_was_committed_to_passes(workshop: Workshop, packed: Path, ran: Path) -> None:
    report = workshop.verify(packed)
    assert failed(report) == set()
    assert "all" not in reasons(report, "set")
    [result] = report.json["results"]
    [commitment] = (ran / "commitments").iterdir()
    assert (workshop.posted / commitment.name).is_file()
    assert (result["division"], result["commitments"]) == ("live", [commitment.stem])
    assert result["score"]["resolved"] == 2
    assert "by_case" not in result["score"]
    assert result["setting"]["cases"] == 2
    sittings = [entry.fields for entry in read_journal(ran / "journal") if entry.kind == "sitting"]
    assert [fields["commitment"] for fields in sittings] == [commitment.stem]
    assert {each["closed_by"].split(",")[0] for each in report.json["doubts"]} >= {"--grade", "--replay", "--rerun"}


def test_patches_are_graded_and_cases_replayed_and_run_again(workshop: Workshop, packed: Path, tmp_path: Path) -> None:
    with ScriptedServer(solving(workshop.tasks)) as server:
        report = workshop.verify(
            packed,
            *("--grade", "all", "--replay", "1", "--rerun", "2", "--run-usd", "20", "--rerun-dir", tmp_path / "again"),
            *("--api-base", server.api_base, "--api-key-env", KEY_VARIABLE),
        )
    assert failed(report) == set()
    assert report.json["levels"] == ["verify", "grade", "replay", "rerun"]
    assert "2 verdicts of 2" in reasons(report, "grade")
    assert "the router decides alike" in reasons(report, "replay")
    assert "2 cases are claimed to be resolved, 2 are when run again" in reasons(report, "rerun-resolved")
    assert "a claim of 15% more resolved cases is found with a chance of 0%" in reasons(report, "power")
    assert "a claim of 15% more" in report.err
    assert not any(doubt["closed_by"].startswith("--rerun, or") for doubt in report.json["doubts"])


# Honest runs of every making


@pytest.mark.acceptance
def test_a_run_that_was_widened_and_resumed_passes(workshop: Workshop) -> None:
    workshop.run("widened")
    workshop.run("widened", only=MEDIUM)
    run = workshop.run("widened", *BOTH)
    workshop.post(run)
    assert len(list((run / "commitments").iterdir())) == 3
    report = workshop.verify(workshop.pack(run))
    assert failed(report) == set()


@pytest.mark.acceptance
def test_a_run_that_was_killed_and_went_on_passes(workshop: Workshop, killing: Victims) -> None:
    run = workshop.folder / "killed"
    with ScriptedServer(solving(workshop.tasks)) as server:
        arguments = run_arguments(server.api_base, run, router=workshop.router)
        killing.killed(arguments, ("after", "reserve", 2))
        live(server.api_base, run, router=workshop.router).succeeded()
    workshop.post(run)
    assert len(list((run / "commitments").iterdir())) == 1
    assert failed(workshop.verify(workshop.pack(run))) == set()


def test_merged_shards_pass(workshop: Workshop) -> None:
    shards = [workshop.run(f"shard-{number}", *BOTH, "--shard", f"{number}/2") for number in (1, 2)]
    merged = workshop.folder / "merged"
    twinbench("dynamic", "merge", *shards, "--run", merged).succeeded()
    workshop.post(merged)
    assert failed(workshop.verify(workshop.pack(merged))) == set()


def test_a_rehearsal_passes_in_its_own_division(workshop: Workshop, tmp_path: Path) -> None:
    twinbench("rehearse", workshop.router, "--only", EASY, "--runs", tmp_path / "runs", "--json").succeeded()
    [plan] = (tmp_path / "runs").rglob("plan.json")
    file = workshop.pack(plan.parent)
    report = workshop.verify(file)
    assert failed(report) == {"set"}  # one of 21 tasks
    assert report.json["results"][0]["division"] == "rehearsal"

    def as_live(manifest: dict[str, Any]) -> None:
        manifest["live"][0]["division"] = "live"

    assert failed(workshop.verify(forge(file, tmp_path / "live.zip", manifest=as_live))) == {"set", "division"}
    copied = {name.replace("run-1", "run-2"): content for name, content in contents(file).items() if "run-1" in name}

    def twice(manifest: dict[str, Any]) -> None:
        manifest["live"].append({**manifest["live"][0], "run": "runs/run-2"})

    def by_two_names(manifest: dict[str, Any]) -> None:
        manifest["live"].append(manifest["live"][0])

    for made in (
        forge(file, tmp_path / "twice.zip", files=dict(copied), manifest=twice),
        forge(file, tmp_path / "named.zip", manifest=by_two_names),
    ):
        ran = workshop.verify(made)
        assert failed(ran) == {"set", "reused-trace"}
        assert "runs/run-1 of this submission is the same run" in reasons(ran, "reused-trace")
    again = ("rehearse", workshop.router, "--only", EASY, "--runs", tmp_path / "again", "--json")
    twinbench(*again).succeeded()
    [other] = (tmp_path / "again").rglob("plan.json")
    pack(workshop.router, tmp_path / "both.zip", "--run", plan.parent, "--run", other.parent).succeeded()
    assert "reused-trace" in failed(workshop.verify(tmp_path / "both.zip")), "the same plan, made another time"
    refused = pack(workshop.router, tmp_path / "x.zip", "--run", plan.parent, "--run", plan.parent)
    assert (refused.code, "is named twice" in refused.err) == (2, True)
    json_file(plan, lambda content: content["identity"].pop("provider"))
    as_planned(plan.parent)
    pack(workshop.router, tmp_path / "hidden.zip", "--run", plan.parent).succeeded()
    assert "simulation" in failed(workshop.verify(tmp_path / "hidden.zip"))


# Tampering with a run, all files and the chain made anew


def test_another_cost_is_found(workshop: Workshop, spoilt: Path) -> None:
    edited(spoilt, "settle", setting(cost_usd="0.00000001"))
    assert {"cost", "case-file"} <= failed(workshop.verify(workshop.pack(spoilt)))


def test_scaled_usage_is_found(workshop: Workshop, spoilt: Path) -> None:
    consistently(spoilt, scaled(0.4, "input", "cache_read", "cache_write", "output"))
    assert "tokens" in failed(workshop.verify(workshop.pack(spoilt)))


@pytest.mark.acceptance
def test_usage_that_is_scaled_within_bounds_is_found_by_a_rerun(
    workshop: Workshop, spoilt: Path, tmp_path: Path
) -> None:
    consistently(spoilt, scaled(0.76, "input", "cache_read", "cache_write", "output"))
    file = workshop.pack(spoilt)
    assert failed(workshop.verify(file)) == set()
    with ScriptedServer(solving(workshop.tasks)) as server:
        report = workshop.verify(
            file,
            *("--rerun", "all", "--run-usd", "20", "--rerun-dir", tmp_path / "again", "--api-base", server.api_base),
            *("--api-key-env", KEY_VARIABLE),
        )
    assert failed(report) == {"rerun-tokens"}


def test_a_case_that_was_dropped_everywhere_is_found(workshop: Workshop, spoilt: Path) -> None:
    drop(spoilt, MEDIUM)
    json_file(spoilt / "plan.json", lambda plan: plan["cases"].remove(MEDIUM))
    as_planned(spoilt)
    file = workshop.pack(spoilt)
    report = workshop.verify(file)
    assert failed(report) == {"commitment", "set"}
    assert "1 case that were committed to and are not in the run" in reasons(report, "commitment")
    assert failed(verify(file)) == {"commitment", "set"}


def test_a_run_without_its_commitment_is_found_or_warned_of(workshop: Workshop, spoilt: Path) -> None:
    shutil.rmtree(spoilt / "commitments")
    report = workshop.verify(workshop.pack(spoilt))
    assert failed(report) == {"commitment", "set"}
    assert "which is not in the run's directory" in reasons(report, "commitment")
    edited(spoilt, "sitting", lambda fields: fields.pop("commitment"))
    report = workshop.verify(workshop.pack(spoilt))
    assert failed(report) == {"set"}
    assert "may be the best of many" in reasons(report, "commitment")


def test_a_commitment_that_was_made_later_is_found(workshop: Workshop, spoilt: Path) -> None:
    [path] = (spoilt / "commitments").iterdir()
    content = json.loads(path.read_text("utf-8"))
    content["made_at"] = "2099-01-01T00:00:00Z"
    del content["digest"]
    digest = fingerprint(content)
    path.unlink()
    (path.parent / f"{digest}.json").write_text(json.dumps({**content, "digest": digest}), "utf-8")
    edited(spoilt, "sitting", setting(commitment=digest))
    report = workshop.verify(workshop.pack(spoilt))
    assert failed(report) == {"commitment", "set"}
    assert "began before its commitment was made" in reasons(report, "commitment")
    assert "never posted" in reasons(report, "posted")


@pytest.mark.acceptance
def test_another_patch_is_found(workshop: Workshop, spoilt: Path) -> None:
    (spoilt / "cases" / EASY / "1" / "patch.diff").write_text("diff --git a/x b/x\n", "utf-8")
    assert "patch" in failed(workshop.verify(workshop.pack(spoilt)))


def test_another_verdict_in_some_files_is_found(workshop: Workshop, spoilt: Path) -> None:
    case_file(spoilt, EASY, resolved=False)
    assert failed(workshop.verify(workshop.pack(spoilt))) == {"case-file"}


@pytest.mark.acceptance
def test_responses_of_another_run_are_found(workshop: Workshop, ran: Path, packed: Path, spoilt: Path) -> None:
    assert "reused-trace" in failed(workshop.verify(packed, "--against", spoilt))
    assert "reused-trace" in failed(workshop.verify(packed, "--against", packed))
    twice = pack(workshop.router, workshop.folder / "twice.zip", "--run", ran, "--run", spoilt)
    assert (twice.code, "is named twice" in twice.err) == (2, True)


def test_other_prices_are_found(workshop: Workshop, ran: Path, packed: Path, spoilt: Path, tmp_path: Path) -> None:
    cheap = pool_file(tmp_path / "cheap.toml", lambda text: re.sub(r"output = [0-9.]+ }", "output = 0.01 }", text))
    run = workshop.folder / "cheap"
    with ScriptedServer(solving(workshop.tasks)) as server:
        live(server.api_base, run, "--pool", str(cheap), router=workshop.router).succeeded()
    workshop.post(run)
    file = workshop.pack(run)
    report = workshop.verify(file)
    assert failed(report) == set()
    assert report.json["results"][0]["division"] == "open"

    locked = json.loads(contents(packed)["submission.json"])["live"][0]

    def as_locked(manifest: dict[str, Any]) -> None:
        manifest["live"][0] |= {name: locked[name] for name in ("pool", "pool_fingerprint", "pool_file", "division")}

    assert {"pool", "plan"} <= failed(workshop.verify(forge(file, tmp_path / "forged.zip", manifest=as_locked)))
    pools = {name: content.replace(b"0.01", b"0.02") for name, content in contents(file).items() if "pools/" in name}
    assert failed(workshop.verify(forge(file, tmp_path / "other.zip", files=dict(pools)))) == {"pool"}


@pytest.mark.acceptance
def test_another_router_is_found(workshop: Workshop, packed: Path, tmp_path: Path) -> None:
    other = write_router(tmp_path / "other").replace(":Mine", ":Mine?at=3")
    ran = pack(other, tmp_path / "x.zip", "--run", workshop.folder / "ran")
    assert ran.code == 2
    assert "made with another router" in ran.err
    pack(other, tmp_path / "static.zip", "--bank", "rehearsal").succeeded()
    theirs = json.loads(contents(tmp_path / "static.zip")["submission.json"])["router"]

    def swapped(manifest: dict[str, Any]) -> None:
        manifest["router"] = theirs

    assert failed(workshop.verify(forge(packed, tmp_path / "forged.zip", manifest=swapped))) == {"router"}


def claims(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["resolved"] += 1


def bill(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["bill_usd"] /= 2


def head(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["head"]["sha256"] = "0" * 64


def plan(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["plan"] = "0" * 64


def spec(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["spec"] = "somebody.py:Famous"


def commitments(manifest: dict[str, Any]) -> None:
    manifest["live"][0]["commitments"] = []


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (claims, {"result"}),
        (bill, {"result"}),
        (head, {"result"}),
        (spec, {"result"}),
        (plan, {"pool"}),
        (commitments, {"commitment", "set"}),
    ],
)
def test_a_claim_that_is_not_so_is_found(
    workshop: Workshop, packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], checks: set[str]
) -> None:
    assert failed(workshop.verify(forge(packed, tmp_path / "forged.zip", manifest=change))) == checks


def test_a_verdict_that_was_never_given_is_found_by_grading(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forger's own grader runs the tests on the gold patch, so verdict, tests, output and files all agree."""
    honest = verdict.run_tests

    def run_tests(engine: Any, task: Task, patch: str | None, *more: Any) -> Any:
        return honest(engine, task, None if patch is None else task.gold_patch, *more)

    run = workshop.folder / "unsolved"
    with monkeypatch.context() as forging:
        forging.setattr(verdict, "run_tests", run_tests)
        with ScriptedServer(by_step([said("echo done > NOTES.md"), said(SUBMIT)])) as server:
            live(server.api_base, run, router=workshop.router).succeeded()
    workshop.post(run)
    file = workshop.pack(run)
    report = workshop.verify(file)
    assert failed(report) == set()
    assert report.json["results"][0]["score"]["resolved"] == 1
    report = workshop.verify(file, "--grade", "1")
    assert failed(report) == {"grade"}
    assert "recorded is resolved, graded again unresolved" in reasons(report, "grade")
    assert failed(workshop.verify(file, "--replay", "1")) == {"replay"}


@pytest.mark.acceptance
def test_decisions_of_another_router_are_found_by_a_replay(workshop: Workshop, tmp_path: Path) -> None:
    """The router decides by a file that is not handed in."""
    flag = tmp_path / "flag"
    flag.touch()
    code = (
        "from pathlib import Path\n\n\nclass Mine:\n    def route(self, call):\n"
        f"        return call.candidates[-1 if Path({str(flag)!r}).exists() else 0]\n"
    )
    tmp_path.chmod(0o755)
    router = write_router(tmp_path / "cheat", code)
    run = workshop.folder / "cheated"
    with ScriptedServer(solving(workshop.tasks)) as server:
        live(server.api_base, run, router=router).succeeded()
    workshop.post(run)
    pack(router, tmp_path / "cheat.zip", "--run", run).succeeded()
    assert failed(workshop.verify(tmp_path / "cheat.zip")) == set()
    report = workshop.verify(tmp_path / "cheat.zip", "--replay", "all")
    assert failed(report) == {"replay"}


def test_hostile_runs_end_in_words(workshop: Workshop, packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    journal = "runs/run-1/journal/journal.jsonl"
    bomb = json.dumps({"kind": "x", "fields": {"x": pack_text(bytes(100 * 2**20))}}).encode() + b"\n"
    ran = workshop.verify(forge(packed, tmp_path / "bomb.zip", files={journal: files[journal] + bomb}))
    assert failed(ran) == {"bounds"}
    for content in (b"", b"[1]", b"\xff", b'{"identity": NaN}', b"[" * 10_000):
        ran = workshop.verify(forge(packed, tmp_path / "plan.zip", files={"runs/run-1/plan.json": content}))
        assert failed(ran)
        assert ran.code == 1
    for content in (b"", b"{}\n", b"\x00" * 1000, files[journal][: len(files[journal]) // 2]):
        ran = workshop.verify(forge(packed, tmp_path / "journal.zip", files={journal: content}))
        assert failed(ran)
    away = (
        files["runs/run-1/plan.json"].replace(b'"rehearsal"', b'"/etc/passwd"').replace(b"live-2026-04", b"/etc/shadow")
    )
    ran = workshop.verify(forge(packed, tmp_path / "away.zip", files={"runs/run-1/plan.json": away}))
    assert failed(ran)
    assert "root:" not in ran.text
