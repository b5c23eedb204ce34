"""Entries listed, superseded, withdrawn, checked and ranked, from the command line and the library."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.banks.embedded_names import EMBEDDED
from tests.cli.commands import Ran, twinbench
from tests.leaderboard.made import (
    NOW,
    PROTOCOLS,
    commitment,
    live_result,
    static_result,
    submission,
)
from twinbench.api.leaderboard import known_banks
from twinbench.checks import CheckResult, Status
from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import sha256_file, sha256_text
from twinbench.leaderboard import entries
from twinbench.leaderboard.adding import Listed, add_submission, withdraw_entry
from twinbench.leaderboard.checking import check_entries
from twinbench.leaderboard.entries import EntryScores, Version, read_entries, write_version
from twinbench.leaderboard.protocols import KnownBank
from twinbench.leaderboard.ranking import Estimate, rank_estimates
from twinbench.leaderboard.site import make_site
from twinbench.leaderboard.tables import BoardTable, Row, make_tables
from twinbench.storage.folder_changes import lock_folder
from twinbench.submissions.archive import open_archive, write_archive
from twinbench.submissions.manifest import MANIFEST_FILE, Division, SubmissionManifest
from twinbench.submissions.report import Level, VerificationReport, VerifiedResult
from twinbench.submissions.signing import SIGNATURE_FILE


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def add(
    results: Path,
    name: str,
    *found: VerifiedResult,
    now: str = NOW,
    supersede: bool = False,
    after_withdrawal: bool = False,
    **more: Any,
) -> Listed:
    """List a submission of one division."""
    data, report = submission(name, *found, **more)
    [listed] = add_submission(results, data, report, now, supersede=supersede, after_withdrawal=after_withdrawal)
    return listed


def failed(results: Path) -> list[tuple[str, str]]:
    return [(each.name, each.subject) for each in of(results, Status.failed)]


def of(results: Path, status: Status) -> list[CheckResult]:
    return [each for each in check_entries(results, PROTOCOLS) if each.status is status]


def tables(results: Path) -> list[BoardTable]:
    return make_tables(read_entries(results), PROTOCOLS)


def rows(table: BoardTable) -> dict[str | None, Row]:
    return {row.name: row for row in table.rows}


# --- Adding ---------------------------------------------------------------------------------------------------------


def test_a_submission_is_listed_in_each_division_that_it_has_results_in(results: Path) -> None:
    rehearsed = live_result(division=Division.rehearsal)
    data, report = submission("mine", static_result(), rehearsed)

    listed = add_submission(results, data, report, NOW)

    assert [(each.division, each.action) for each in listed] == [("static", "added"), ("rehearsal", "added")]
    folder = results / "entries" / "rehearsal" / "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "scores.json", "verification.json"]
    assert (folder / "manifest.json").read_bytes() == data
    assert json.loads((folder / "scores.json").read_text())["results"] == [rehearsed.model_dump(mode="json")]
    assert failed(results) == []


def test_what_failed_a_check_is_not_listed(results: Path) -> None:
    with pytest.raises(TwinbenchError, match="mine is not listed: 1 check of its report failed\nprices, runs/mine: it"):
        add(results, "mine", failed="prices")
    assert not list(results.iterdir())


def test_a_report_on_something_else_is_refused(results: Path) -> None:
    data, _ = submission("mine", title="One")
    _, report = submission("mine", title="Another")
    with pytest.raises(UsageError, match="for a different submission"):
        add_submission(results, data, report, NOW)


def test_the_same_name_supersedes_and_the_old_one_stays_listed(results: Path) -> None:
    add(results, "mine", static_result(combined=50), content="1")
    add(results, "mine", static_result(combined=60), content="2", now="2026-12-01T08:00:00Z")
    listed = add(results, "mine", static_result(combined=70), content="3", now="2026-12-02T08:00:00Z")

    assert listed.action == "superseded"
    assert sorted(path.name for path in (listed.folder / "earlier").iterdir()) == ["1", "2"]
    [table] = tables(results)
    assert [(row.state, row.values["combined"], row.group) for row in table.rows] == [
        ("listed", 70, 1),
        ("superseded", 50, None),
        ("superseded", 60, None),
    ]
    assert failed(results) == []
    with pytest.raises(UsageError, match="was listed as static/mine before"):
        add(results, "mine", static_result(combined=50), content="1")


def test_the_same_file_is_verified_again_and_never_less_far(results: Path) -> None:
    add(results, "mine", static_result())
    listed = add(results, "mine", static_result(), levels=(Level.verify, Level.ask), now="2026-12-01T08:00:00Z")
    assert listed.action == "verified again"
    [entry] = read_entries(results)
    assert entry.earlier == []
    assert entry.current.report.levels == (Level.verify, Level.ask)
    assert entry.current.scores.added_at == NOW
    with pytest.raises(UsageError, match="goes further: ask"):
        add(results, "mine", static_result())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {"contact": "B. Other"}, "was submitted by A. Person"),
        ({"key": "SHA256:a"}, {"key": "SHA256:b"}, "is signed by SHA256:a, and the new file is signed by SHA256:b"),
        ({"key": "SHA256:a"}, {}, "the new file is not signed"),
    ],
)
def test_nobody_takes_the_name_of_another_unnoticed(
    results: Path, old: dict[str, Any], new: dict[str, Any], said: str
) -> None:
    add(results, "mine", content="1", **old)
    with pytest.raises(UsageError, match=said):
        add(results, "mine", content="2", **new)
    assert add(results, "mine", content="2", supersede=True, **new).action == "superseded"


def test_one_commitment_is_of_one_run(results: Path) -> None:
    digest = commitment(results)
    add(results, "mine", live_result(60, commitments=(digest,)), content="1")
    with pytest.raises(TwinbenchError, match=f"{digest[:12]}: two entries name it: mine, other"):
        add(results, "other", live_result(80, commitments=(digest,)), content="2")
    with pytest.raises(TwinbenchError, match="2 runs of mine name it"):
        add(results, "mine", live_result(80, commitments=(digest,)), content="a better run")
    # The same run again with more beside it is no second run.
    again = live_result(60, commitments=(digest,))
    data, report = submission("mine", again, content="1", description="More words.")
    report = report.model_copy(update={"file": report.file.model_copy(update={"sha256": "e" * 64})})
    [listed] = add_submission(results, data, report, NOW)
    assert listed.action == "superseded"
    assert failed(results) == []


# --- Written whole, one at a time, within the folder ---------------------------------------------------------------


def test_versions_that_are_added_at_once_are_all_kept(results: Path) -> None:
    count = 6
    add(results, "mine", content="0", now="2026-11-30T08:00:00Z")
    handed_in = [submission("mine", content=str(number)) for number in range(1, count)]

    def list_one(each: tuple[bytes, VerificationReport]) -> str:
        [listed] = add_submission(results, *each, "2026-12-01T08:00:00Z")
        return listed.action

    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(list_one, handed_in)) == ["superseded"] * (count - 1)

    [entry] = read_entries(results)
    assert len({version.report.file.sha256 for version in entry.versions}) == count
    assert failed(results) == []
    assert [path.name for path in results.iterdir()] == ["entries"]


def test_who_waits_too_long_for_the_folder_is_told(results: Path) -> None:
    with (
        lock_folder(results),
        pytest.raises(TwinbenchError, match="another process is working in"),
        lock_folder(results, shared=True, timeout_s=0),
    ):
        pass
    with lock_folder(results, shared=True), lock_folder(results, shared=True, timeout_s=0):
        pass


def kill_within(command: Callable[[], object], step: int) -> bool:
    """Run a command in a process that ends itself before so many renames, exchanges and removals; whether it did."""
    if (pid := os.fork()) == 0:
        left = step

        def before(real: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*arguments: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return real(*arguments, **more)

            return counted

        entries.exchange_names = before(entries.exchange_names)  # type: ignore[attr-defined]
        Path.rename = before(Path.rename)  # type: ignore[method-assign]
        shutil.rmtree = before(shutil.rmtree)  # type: ignore[assignment]
        try:
            command()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_command_that_is_killed_leaves_the_old_entry_or_the_new_one(
    results: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:  # as on systems that cannot exchange names
        monkeypatch.setattr(entries, "exchange_names", lambda *_: False)
    add(results, "mine", content="0")
    data, report = submission("mine", content="1")
    steps = 0
    while kill_within(lambda: add_submission(results, data, report, NOW), steps):
        steps += 1
        named = [each for each in failed(results) if each != ("files", "static/mine")]
        assert named == []
        if exchanges:
            assert failed(results) == []
            assert [entry.name for entry in read_entries(results)] == ["mine"]
        withdraw_nobody(results)  # the next command puts in order what the killed one left
        assert failed(results) == []
        [entry] = read_entries(results)
        assert len(entry.versions) in (1, 2)
        assert [path.name for path in results.iterdir()] == ["entries"]
        shutil.rmtree(results / "entries")
        add(results, "mine", content="0")
    assert steps >= 3
    [entry] = read_entries(results)
    assert len(entry.versions) == 2


def withdraw_nobody(results: Path) -> None:
    with pytest.raises(UsageError, match="no entry static/nobody"):
        withdraw_entry(results, Division.static, "nobody", "why", NOW)


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_cannot_be_written_in_one_division_is_written_in_none(
    results: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(entries, "exchange_names", lambda *_: False)
    first = (static_result(), live_result(division=Division.rehearsal))
    data, report = submission("mine", *first, content="1")
    add_submission(results, data, report, NOW)
    (results / "entries" / "open").write_text("no folder")
    more = submission("mine", *first, live_result(division=Division.open, subject="runs/more"), content="2")
    with pytest.raises(TwinbenchError, match=r"cannot write .*open"):
        add_submission(results, *more, NOW)
    assert [(entry.division, len(entry.versions)) for entry in read_entries(results)] == [
        ("static", 1),
        ("rehearsal", 1),
    ]
    assert sorted(path.name for path in results.iterdir()) == ["entries"]


@pytest.mark.parametrize(
    "name", ["static/../../../elsewhere/entries/static/mine", "static/mine/", "static/", "static/.", "static/Mine", "/"]
)
def test_a_name_leads_to_no_other_folder(results: Path, name: str) -> None:
    elsewhere = results.parent / "elsewhere"
    elsewhere.mkdir()
    for folder in (results, elsewhere):
        add(folder, "mine")
    ran = leaderboard("withdraw", name, "--reason", "x", results=results)
    assert ran.code == 2, ran.err
    assert not list(results.parent.rglob("withdrawn.json"))
    with pytest.raises(UsageError, match="is no name of an entry"):
        entries.entry_folder(results, Division.static, "../mine")


@pytest.mark.parametrize("place", ["entries", "entries/static", "entries/static/mine", "commitments", "entries/live"])
def test_nothing_is_written_or_shown_through_a_link(results: Path, tmp_path: Path, place: str) -> None:
    add(results, "mine")
    elsewhere = tmp_path / "elsewhere"
    if (results / place).exists():
        (results / place).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (results / place).symlink_to(elsewhere)
    (results / "published").symlink_to(tmp_path)  # which the leaderboard has nothing to do with
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(TwinbenchError, match=rf"{place} is a link"):
        add(results, "mine", content="2")
    with pytest.raises(TwinbenchError, match=rf"{place} is a link"):
        withdraw_entry(results, Division.static, "mine", "why", NOW)
    assert sorted(elsewhere.rglob("*")) == before
    assert failed(results)
    assert leaderboard("build", "--out", tmp_path / "site", results=results).code == 1


# --- Withdrawing ----------------------------------------------------------------------------------------------------


def test_a_withdrawn_entry_stays_listed_apart_and_returns_with_another_file_only(results: Path) -> None:
    add(results, "mine", content="1")
    add(results, "other")

    withdraw_entry(results, Division.static, "mine", "a bug in the router", NOW)

    [table] = tables(results)
    assert [(row.name, row.group) for row in table.ranked] == [("other", 1)]
    assert rows(table)["mine"].state == "withdrawn"
    assert failed(results) == []
    with pytest.raises(UsageError, match="was withdrawn at"):
        withdraw_entry(results, Division.static, "mine", "again", NOW)
    with pytest.raises(UsageError, match="is withdrawn: a bug in the router"):
        add(results, "mine", content="1")
    with pytest.raises(UsageError, match="no entry static/nobody"):
        withdraw_entry(results, Division.static, "nobody", "why", NOW)

    later = "2026-12-01T08:00:00Z"
    for supersede in (False, True):
        with pytest.raises(UsageError, match=r"\(a bug in the router\): where .* add --after-withdrawal"):
            add(results, "mine", content="2", now=later, supersede=supersede)
    add(results, "mine", content="2", now=later, after_withdrawal=True)
    [table] = tables(results)
    assert {row.state for row in table.rows if row.name == "mine"} == {"listed", "withdrawn"}
    said = f"Version 1 was withdrawn at {NOW}: a bug in the router"
    assert said in make_site(results, PROTOCOLS).files["static/mine.html"]
    add(results, "mine", content="3", now=later)
    assert said in make_site(results, PROTOCOLS).files["static/mine.html"]


# --- Ranking --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_told_apart_is_one_group(results: Path) -> None:
    for name, combined in (("r1", 60), ("r2", 59), ("r3", 50), ("r4", 20)):
        add(results, name, static_result(combined=combined))

    [table] = tables(results)

    assert [(row.name, row.group, row.ranks) for row in table.ranked] == [
        ("r1", 1, (1, 2)),
        ("r2", 1, (1, 2)),
        ("r3", 2, (3, 3)),
        ("r4", 3, (4, 4)),
    ]


def test_of_bills_the_lower_one_is_better(results: Path) -> None:
    add(results, "cheap", live_result(90))
    add(results, "dear", live_result(50))
    [table] = tables(results)
    assert [(row.name, row.group) for row in table.ranked] == [("cheap", 1), ("dear", 2)]
    [give_up] = table.references
    assert (give_up.title, give_up.values["bill_usd"], give_up.values["resolved"]) == ("give up", 60.0, 0.0)


def test_groups_hold_what_they_promise() -> None:
    """Within a group nothing is shown to be better, and each of a later group has one before it that is."""
    draw = random.Random(2)  # noqa: S311 - the same draws each time
    for _ in range(20):
        values = [(draw.uniform(0, 100), draw.uniform(1, 20)) for _ in range(12)]
        estimates = [Estimate(value, value - spread, value + spread) for value, spread in values]
        found = rank_estimates(estimates, 0.95)
        number = range(len(estimates))
        assert set(found.groups) == set(range(1, max(found.groups) + 1))
        for one in number:
            best, worst = found.ranks[one]
            assert 1 <= best <= worst <= len(estimates)
            assert (found.groups[one] == 1) == (best == 1)
            before = [other for other in number if found.groups[other] == found.groups[one] - 1]
            assert not before or max(values[other][0] for other in before) > values[one][0]
    # Two alone: 9 and 6 are told apart by intervals that do not overlap, 9 and 5 of a wide one are not.
    assert rank_estimates([Estimate(9, 8, 10), Estimate(6, 5, 7)], 0.95).groups == [1, 2]
    assert rank_estimates([Estimate(9, 8, 10), Estimate(5, 1, 9)], 0.95).groups == [1, 1]
    assert rank_estimates([Estimate(2, 2, 2), Estimate(2, 2, 2), Estimate(1, 1, 1)], 0.95).groups == [1, 1, 2]
    assert rank_estimates([], 0.95).groups == []


def test_no_noise_is_ranked_at_the_level() -> None:
    """Routers that are equally good: in at most 5 % of boards any of them is told from another."""
    draw = random.Random(1)  # noqa: S311 - the same draws each time
    wrong = 0
    for _ in range(400):
        values = [draw.gauss(50, 1) for _ in range(12)]
        found = rank_estimates([Estimate(each, each - 1.96, each + 1.96) for each in values], 0.95)
        wrong += max(found.groups) > 1
    assert wrong <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_what_may_not_be_ranked_says_why(results: Path) -> None:
    add(results, "seen", static_result(combined=99, in_sample=True))
    add(results, "unsure", static_result(combined=70, spread=None))
    add(results, "fine", static_result(combined=50))
    add(results, "toy", static_result(bank="toy", caveat="Its scores rank nothing.", ranks_nothing=True))
    official, toy = tables(results)
    assert [row.name for row in official.ranked] == ["fine"]
    assert {row.name: str(row.reason)[:9] for row in official.unranked} == {"seen": "in-sample", "unsure": "it has no"}
    assert toy.ranked == []
    assert toy.caveat == "Its scores rank nothing."
    assert [row.reason for row in toy.unranked] == ["results under these conditions rank nothing"]


def test_a_caveat_that_says_whom_a_bank_ranks_takes_nobody_out_of_the_ranking(results: Path) -> None:
    caveat = "Simulated models: what it ranks is routers for these."
    for name, combined in (("better", 60), ("worse", 20)):
        add(results, name, static_result(combined=combined, bank="rehearsal", caveat=caveat))

    [table] = tables(results)

    assert table.caveat == caveat
    assert [(row.name, row.group, row.ranks) for row in table.ranked] == [("better", 1, (1, 1)), ("worse", 2, (2, 2))]
    site = make_site(results, PROTOCOLS)
    page = site.files["static.html"]
    assert page.index(caveat) < page.index("Group 1: nothing is shown to be better") < page.index("Group 2")
    assert "not ranked" not in page
    index = site.files["index.html"]
    assert "No entry is ranked yet" not in index
    assert index.index("Bank rehearsal") < index.index("better.html") < index.index(caveat)


def test_an_earlier_protocol_has_tables_of_its_own(results: Path) -> None:
    add(results, "old", static_result(combined=90, protocol="0" * 64))
    add(results, "new", static_result(combined=50))
    current, earlier = tables(results)
    assert (current.current, [row.name for row in current.rows]) == (True, ["new"])
    assert (earlier.current, [row.name for row in earlier.rows]) == (False, ["old"])
    assert [each.subject for each in check_entries(results, PROTOCOLS) if each.name == "protocol"] == ["static/old"]


# --- Checking -------------------------------------------------------------------------------------------------------


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("manifest.json", lambda c: c | {"title": "Better"}, "not the one that verification.json is about"),
        ("scores.json", lambda c: c | {"results": []}, "are not those of verification.json"),
        ("scores.json", lambda c: c | {"name": "else"}, "'else', and its folder is that of 'mine'"),
        ("scores.json", lambda c: c | {"more": 1}, "more"),
        ("scores.json", lambda c: c | {"format": "2"}, "format"),
        ("verification.json", lambda c: c | {"checks": []}, "holds no verification"),
        ("verification.json", lambda c: c | {"levels": ["ask"]}, "holds no verification"),
        (
            "verification.json",
            lambda c: c | {"checks": [c["checks"][0] | {"status": "fail"}]},
            "check 0 of runs/mine failed",
        ),
    ],
)
def test_an_edited_entry_is_found(results: Path, file: str, change: Any, said: str) -> None:
    folder = add(results, "mine").folder
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(change(content)))
    found = of(results, Status.failed)
    assert found
    assert said in " ".join(each.reason for each in found)


def test_results_stand_in_their_division(results: Path) -> None:
    folder = add(results, "mine", live_result(division=Division.rehearsal)).folder
    target = results / "entries" / "live"
    target.mkdir()
    folder.rename(target / "mine")
    assert failed(results) == [("entry", "live/mine")]
    edit(target / "mine" / "scores.json", division="live")
    assert ("division", "live/mine") in failed(results)


def test_links_strays_and_megabytes_are_found(results: Path, tmp_path: Path) -> None:
    folder = add(results, "mine").folder
    add(results, "other")
    (folder / "weights.bin").write_bytes(b"0" * 2_000_000)
    (results / "entries" / "stable").mkdir()
    (results / "entries" / "static" / "link").symlink_to(folder)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    scores = results / "entries" / "static" / "other" / "scores.json"
    scores.unlink()
    scores.symlink_to(secret)
    found = [(each.subject, each.reason) for each in of(results, Status.failed)]
    assert ("static/mine", "weights.bin does not belong in an entry") in found
    assert ("static/other", "scores.json is not a regular file") in found
    assert {subject for subject, _ in found} == {"static/mine", "static/other", "entries/stable", "entries/static/link"}


def test_commitments_are_each_of_one_run_and_none_is_forgotten(results: Path) -> None:
    first, second = commitment(results, 1), commitment(results, 2)
    add(results, "mine", live_result(commitments=(first,)), content="1")
    add(results, "unposted", live_result(commitments=("f" * 64,)), content="2")
    warned = {each.subject: each.reason for each in of(results, Status.warned)}
    assert warned["f" * 12] == "live/unposted names it, but it is not under results/commitments"
    assert warned[second[:12]].startswith("of my_router.py:Mine on 2 cases, made 2026")
    assert first[:12] not in warned

    folder = results / "entries" / "live" / "unposted"
    for file in ("scores.json", "verification.json"):
        (folder / file).write_text((folder / file).read_text().replace("f" * 64, first))
    assert ("commitment", first[:12]) in failed(results)
    (results / "commitments" / f"{first}.json").rename(results / "commitments" / "renamed.json")
    assert ("commitment", "renamed.json") in failed(results)


def test_one_file_has_one_name(results: Path) -> None:
    add(results, "mine")
    data, report = submission("yours")
    report = report.model_copy(update={"file": submission("mine")[1].file})
    with pytest.raises(TwinbenchError, match=r"one name: the same file, .* would be listed as mine, yours"):
        add_submission(results, data, report, NOW)
    write_unchecked(results, data, report)
    assert failed(results) == [("one name", "mine, yours")]


def write_unchecked(results: Path, data: bytes, report: VerificationReport) -> Path:
    """An entry as somebody writes it who is held to nothing."""
    name, division = str(report.name), report.results[0].division
    scores = EntryScores(name=name, division=division, added_at=NOW, results=report.results)
    folder = entries.entry_folder(results, division, name)
    write_version(folder, Version(SubmissionManifest.parse(data, ""), data, scores, report))
    return folder


def change_result(report: VerificationReport, **changes: Any) -> VerificationReport:
    [result] = report.results
    return report.model_copy(update={"results": (result.model_copy(update=changes),)})


SCORE = static_result().score
LIVE_SCORE = live_result().score
EDITED: dict[str, tuple[Callable[[VerificationReport], VerificationReport], str]] = {
    "no checks": (lambda report: report.model_copy(update={"checks": ()}), "holds no verification"),
    "no levels": (lambda report: report.model_copy(update={"levels": ()}), "holds no verification"),
    "simulated among live": (
        lambda report: report.model_copy(update={"results": (live_result().model_copy(update={"simulated": True}),)}),
        "comes from simulated models",
    ),
    "static among live": (lambda report: change_result(report, division=Division.live), "has kind static"),
    "live among static": (lambda report: change_result(report, kind="live"), "has kind live"),
    "more digits than a float has": (
        lambda report: change_result(report, score=SCORE | {"scores": {"combined": 10**400}}),
        r"score.scores.combined is a number beyond",
    ),
    "huge within the setting": (
        lambda report: change_result(report, setting=report.results[0].setting | {"more": [{"a": -(10**300)}]}),
        r"setting.more\[0\].a is a number beyond",
    ),
    "more than 100 percent": (
        lambda report: change_result(report, score=SCORE | {"scores": {"combined": 100.1}}),
        "score.scores.combined is 100.1, and has to be from -10,000 to 100",
    ),
    "fewer than 0 percent": (
        lambda report: change_result(report, score=SCORE | {"scores": {"traj_pass": -1}}),
        "score.scores.traj_pass is -1, and has to be from 0 to 100",
    ),
    "interval beyond": (
        lambda report: change_result(report, score=SCORE | {"intervals": {"row_pass": [50, 101]}}),
        "score.intervals.row_pass is from 50 to 101",
    ),
    "interval reversed": (
        lambda report: change_result(report, score=SCORE | {"intervals": {"combined": [90, 10]}}),
        "from low to high",
    ),
    "interval of words": (
        lambda report: change_result(report, score=SCORE | {"intervals": {"combined": ["a", 10]}}),
        "is not two numbers",
    ),
    "negative money": (
        lambda report: change_result(report, score=SCORE | {"cost_usd": -1}),
        "score.cost_usd is -1, and has to be from 0 to 1,000,000,000",
    ),
    "a reference": (
        lambda report: change_result(report, references=({"router": "x", "cost_usd": 2e9},)),
        r"references\[0\].cost_usd is 2e\+09",
    ),
    "a bill": (
        lambda report: report.model_copy(
            update={"results": (live_result().model_copy(update={"score": LIVE_SCORE | {"bill_usd": 1e15}}),)}
        ),
        "score.bill_usd is 1e\\+15",
    ),
}


@pytest.mark.parametrize("edited", EDITED)
def test_what_check_would_refuse_is_not_added(results: Path, tmp_path: Path, edited: str) -> None:
    change, said = EDITED[edited]
    data, report = submission("mine")
    report = change(report)
    with pytest.raises(TwinbenchError, match=said):
        add_submission(results, data, report, NOW)
    assert list(results.iterdir()) == []

    write_unchecked(results, data, report)
    assert re.search(said, " ".join(each.reason for each in of(results, Status.failed)))


def test_what_lies_astray_in_an_entry_is_not_kept_with_the_next_version(results: Path) -> None:
    folder = add(results, "mine", content="1").folder
    (folder / "notes.txt").write_text("")
    with pytest.raises(TwinbenchError, match=r"files, static/mine: notes[.]txt does not belong in an entry"):
        add(results, "mine", content="2")
    assert len(read_entries(results)[0].versions) == 1


def test_a_version_is_not_added_before_the_one_that_it_supersedes(results: Path) -> None:
    add(results, "mine", content="1", now="2026-12-01T08:00:00Z")
    with pytest.raises(TwinbenchError, match="not in the order in which they were added"):
        add(results, "mine", content="2", now="2026-11-30T08:00:00Z")


@pytest.mark.parametrize("edited", ["simulated among live", "more digits than a float has", "no checks"])
def test_what_fails_a_check_is_on_no_page_but_named_with_the_reason(results: Path, tmp_path: Path, edited: str) -> None:
    add(results, "fine")
    change, said = EDITED[edited]
    data, report = submission("edited")
    write_unchecked(results, data, change(report))

    ran = leaderboard("build", "--out", tmp_path / "site", "--json", results=results)

    assert ran.code == 1
    [left_out] = ran.json["not_shown"]
    assert left_out["entry"].endswith("/edited")
    assert re.search(said, left_out["reason"])
    assert f"not shown: {left_out['entry']}: {left_out['reason']}" in ran.err
    assert ran.json["entries"] == 1
    pages = {str(path.relative_to(tmp_path / "site")): path.read_text() for path in (tmp_path / "site").rglob("*.*")}
    assert {name for name, text in pages.items() if "edited" in text} == {"index.html", "leaderboard.json"}
    assert "Not shown" in pages["index.html"]
    assert json.loads(pages["leaderboard.json"])["not_shown"] == [left_out]


def test_scores_that_were_edited_by_hand_rank_nobody(results: Path) -> None:
    add(results, "honest", static_result(combined=60))
    folder = add(results, "edited", static_result(combined=20)).folder
    content = json.loads((folder / "scores.json").read_text())
    content["results"][0]["score"]["scores"]["combined"] = 99.0
    (folder / "scores.json").write_text(json.dumps(content))

    site = make_site(results, PROTOCOLS)

    assert [(each.entry, each.reason) for each in site.not_shown] == [
        ("static/edited", "the results in scores.json are not those of verification.json")
    ]
    [table] = json.loads(site.files["leaderboard.json"])["divisions"][0]["tables"]
    assert [(row["name"], row["ranks"]) for row in table["rows"]] == [("honest", [1, 1])]


def test_strays_and_what_cannot_be_read_are_named_beside_the_pages(results: Path) -> None:
    add(results, "fine")
    (add(results, "broken").folder / "scores.json").unlink()
    (results / "entries" / "static" / "note\n\x1b.txt").write_text("")
    first, second = (submission(name, live_result(commitments=("a" * 64,)), content=name) for name in ("one", "two"))
    write_unchecked(results, *first)
    write_unchecked(results, *second)
    site = make_site(results, PROTOCOLS)
    named = {each.entry: each.reason for each in site.not_shown}
    assert sorted(named) == ["entries/static/note \\x1b.txt", "live/one", "live/two", "static/broken"]
    assert "two entries name it: one, two" in named["live/one"]
    assert site.entries == 1


def test_what_a_known_bank_says_of_itself_is_not_taken_from_entries(results: Path) -> None:
    known = replace(
        PROTOCOLS,
        banks={
            sha256_text("toy"): KnownBank("toy", "Its scores rank nothing.", ranks_nothing=True),
            sha256_text("real"): KnownBank("real"),
            sha256_text("other"): KnownBank("official"),
        },
    )
    add(results, "first", static_result(bank="toy"))
    add(results, "second", static_result(bank="real", ranks_nothing=True, caveat="Not to be ranked."))
    add(results, "third", static_result(bank="official"))

    found = {table.title: table for table in make_tables(read_entries(results), known)}

    assert set(found) == {"Bank toy", "Bank real", "Bank official (of other content)"}
    toy, real = found["Bank toy"], found["Bank real"]
    assert (toy.caveat, toy.ranked) == ("Its scores rank nothing.", [])
    assert [row.reason for row in toy.unranked] == ["results under these conditions rank nothing"]
    assert (real.caveat, [row.name for row in real.ranked]) == (None, ["second"])
    assert [row.name for row in found["Bank official (of other content)"].ranked] == ["third"]


def test_embedded_and_published_banks_are_known() -> None:
    own = Path(__file__).resolve().parents[2] / "results"
    banks = known_banks()
    assert {each.name for each in banks.values()} == {"official", *EMBEDDED}
    found = [result for entry in read_entries(own) for result in entry.current.scores.results]
    used = [result.setting["bank"] for result in found if result.kind == "static"]
    assert used
    for bank in used:
        assert isinstance(bank, dict)
        known = banks[str(bank["sha256"])]
        assert (known.name, known.caveat, known.ranks_nothing) == (
            bank["name"],
            bank.get("caveat"),
            bank.get("ranks_nothing", False),
        )


def test_results_of_different_banks_do_not_share_conditions(results: Path, tmp_path: Path) -> None:
    add(results, "fine")
    data, report = submission("mixed", static_result(bank="else"))
    report = change_result(report, comparable=static_result().comparable)
    said = "results that claim the same conditions name different ones"
    with pytest.raises(TwinbenchError, match=said):
        add_submission(results, data, report, NOW)
    write_unchecked(results, data, report)
    assert [(name, subject) for name, subject in failed(results)] == [("conditions", static_result().comparable[:12])]
    assert {each.entry for each in make_site(results, PROTOCOLS).not_shown} == {"static/fine", "static/mixed"}


# --- Commands and library -------------------------------------------------------------------------------------------


def on_disk(folder: Path, data: bytes, report: VerificationReport) -> tuple[Path, Path]:
    """A submission's file, and the JSON of the report on it."""
    archive, told = folder / report.file.name, folder / "report.json"
    write_archive(archive, {MANIFEST_FILE: data})
    file = report.file.model_copy(update={"sha256": sha256_file(archive)})
    told.write_text(json.dumps(report.model_copy(update={"file": file}).to_json()))
    return archive, told


def leaderboard(command: str, *arguments: str | Path, results: Path) -> Ran:
    return twinbench("leaderboard", command, *arguments, "--results", results)


def test_the_commands_from_a_file_to_pages(results: Path, tmp_path: Path) -> None:
    file, report = on_disk(tmp_path, *submission("mine"))

    added = leaderboard("add", file, "--report", report, "--json", results=results).succeeded().json
    checked = leaderboard("check", "--summary", tmp_path / "summary.md", "--json", results=results).succeeded().json
    built = leaderboard("build", "--out", tmp_path / "site", "--json", results=results).succeeded().json
    withdrawn = leaderboard("withdraw", "static/mine", "--reason", "a bug", results=results).succeeded()

    folder = str(results / "entries" / "static" / "mine")
    assert added == {"entries": [{"division": "static", "name": "mine", "action": "added", "folder": folder}]}
    assert checked["ok"] is True
    assert "0 failed" in (tmp_path / "summary.md").read_text()
    assert built == {"out": str(tmp_path / "site"), "entries": 1, "tables": 1, "pages": 8, "not_shown": []}
    assert (tmp_path / "site" / "static" / "mine.html").is_file()
    assert withdrawn.text == f"static/mine: withdrawn, {folder}\n"


def test_a_check_that_fails_is_told_and_exits_with_1(results: Path, tmp_path: Path) -> None:
    folder = add(results, "mine").folder
    (folder / "extra|<img>.txt").write_text("")
    summary = tmp_path / "summary.md"
    ran = leaderboard("check", "--summary", summary, results=results)
    assert ran.code == 1
    assert "does not belong in an entry" in ran.text.replace("\n", " ")
    assert r"extra\|&lt;img&gt;.txt does not belong in an entry" in summary.read_text()


def test_what_cannot_be_done_is_refused(results: Path, tmp_path: Path) -> None:
    file, report = on_disk(tmp_path, *submission("mine"))
    file.write_bytes(file.read_bytes() + b"0")
    other = tmp_path / "other.zip"
    other.write_text("no archive")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    for arguments, code, said in (
        (("add", file, "--report", report), 1, "zip file"),
        (("add", other, "--report", report), 1, "zip file"),
        (("add", tmp_path / "none.zip", "--report", report), 2, "no file"),
        (("add", other, "--report", other), 1, "other.zip"),
        (("withdraw", "stable/mine", "--reason", "x"), 2, "no division 'stable'"),
        (("withdraw", "static/mine", "--reason", "x"), 2, "no entry static/mine"),
        (("withdraw", "static/mine", "--reason", " "), 2, "say why"),
        (("withdraw", "static/mine", "--reason", "x\x1b[31m"), 2, "--reason, field reason: must be printable"),
        (("build", "--out", tmp_path / "full"), 2, "holds something else"),
    ):
        ran = leaderboard(*map(str, arguments), results=results)
        assert (ran.code, said in ran.err) == (code, True), ran.err
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"
    assert leaderboard("check", results=tmp_path / "nowhere").code == 2


def test_what_needs_only_the_file_is_refused_before_it_is_verified(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_file(folder: str, signature: bytes | None = None, **more: Any) -> tuple[Path, VerificationReport]:
        data, report = submission(**more)
        (tmp_path / folder).mkdir()
        file, told = on_disk(tmp_path / folder, data, report)
        if signature is not None:
            write_archive(file, {MANIFEST_FILE: data, SIGNATURE_FILE: signature})
        return file, VerificationReport.model_validate_json(told.read_text().replace('"ok": true, ', "", 1))

    def listed(folder: str, **more: Any) -> Path:
        file, report = list_file(folder, **more)
        with open_archive(file) as archive:
            add_submission(results, archive.read(MANIFEST_FILE, 10**6), report, NOW)
        return file

    superseded = listed("first", name="changed")
    listed("second", name="changed", content="2")
    withdrawn = listed("withdrawn", name="gone")
    withdraw_entry(results, Division.static, "gone", "a bug", NOW)
    returned, _ = list_file("returned", name="gone", content="2")
    further = listed("further", name="far", levels=(Level.verify, Level.grade))
    listed("signed", name="signed", key="SHA256:a")
    unsigned, _ = list_file("unsigned", name="signed", content="2")
    stranger, _ = list_file("stranger", name="far", content="2", contact="B. Other")
    forged, _ = list_file("forged", name="signed", content="3", signature=b"no signature")
    started: list[object] = []

    def verify(file: object, *_: object, **__: object) -> VerificationReport:
        started.append(file)
        raise TwinbenchError("the verification started")

    monkeypatch.setattr("twinbench.api.leaderboard.verify_submission", verify)
    for file, said in (
        (superseded, "was listed as static/changed before"),
        (withdrawn, "is withdrawn: a bug"),
        (returned, "add --after-withdrawal"),
        (further, "goes further: grade"),
        (unsigned, "is signed by SHA256:a, and the new file is not signed"),
        (stranger, "was submitted by A. Person"),
        (forged, "the signature is not of this manifest"),
    ):
        with pytest.raises(TwinbenchError, match=said):
            tb.add_to_leaderboard(file, results=results)
    assert started == []
    with pytest.raises(TwinbenchError, match="the verification started"):
        tb.add_to_leaderboard(stranger, results=results, supersede=True)
    with pytest.raises(TwinbenchError, match="the verification started"):
        tb.add_to_leaderboard(returned, results=results, after_withdrawal=True)
    assert started == [stranger, returned]


def test_a_commitment_of_another_entry_is_refused_before_the_file_is_verified(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = commitment(results)
    add(results, "mine", live_result(60, commitments=(digest,)), content="1")
    file, _ = on_disk(tmp_path, *submission("other", live_result(80, commitments=(digest,)), content="2"))
    monkeypatch.setattr("twinbench.api.leaderboard.verify_submission", None)
    with pytest.raises(TwinbenchError, match=f"{digest[:12]}: two entries name it: mine, other"):
        tb.add_to_leaderboard(file, results=results)
    (results / "entries" / "open").symlink_to(tmp_path)
    with pytest.raises(TwinbenchError, match="open is a link"):
        tb.add_to_leaderboard(file, results=results)


def test_the_library_does_the_same(results: Path, tmp_path: Path) -> None:
    file, report = on_disk(tmp_path, *submission("mine"))
    [listed] = tb.add_to_leaderboard(file, report, results=results)
    site = tb.build_leaderboard(tmp_path / "site", results=results)
    again = tb.build_leaderboard(tmp_path / "site", results=results)
    assert site.files == again.files
    assert all(each.status is Status.passed for each in tb.check_leaderboard(results=results))
    assert tb.withdraw_from_leaderboard("static", "mine", "a bug", results=results) == listed.folder


def test_the_entries_of_this_repository_hold_together(tmp_path: Path) -> None:
    own = Path(__file__).resolve().parents[2] / "results"
    assert [each for each in tb.check_leaderboard(results=own) if each.status is Status.failed] == []
    assert tb.build_leaderboard(tmp_path / "site", results=own).entries >= 8
