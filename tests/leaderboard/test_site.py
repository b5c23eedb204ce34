"""The site: every page whole and alone, nothing of a submitter acts, and a thousand entries are soon built."""

from __future__ import annotations

import json
import posixpath
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_hostile_text import HOSTILE
from tests.leaderboard.made import NOW, PROTOCOLS, live_result, many, static_result, submission
from tests.reports.pages import Page, read
from twinbench.leaderboard.adding import add_submission, withdraw_entry
from twinbench.leaderboard.entries import EntryScores, Version, entry_folder, write_version
from twinbench.leaderboard.site import MOST_ROWS, Site, make_site
from twinbench.storage.published import published_results
from twinbench.submissions.manifest import Division, SubmissionManifest
from twinbench.submissions.report import Level

MOST_PAGE_BYTES = 300_000
MOST_SECONDS = 20
LONG = "a" * 280


def fill(results: Path) -> None:
    """Entries of every kind, in all divisions but one."""
    results.mkdir()

    def add(name: str, *found: Any, now: str = NOW, **more: Any) -> None:
        add_submission(results, *submission(name, *found, **more), now)

    for number in range(12):
        add(f"router-{number}", static_result(combined=40 + 4 * number), key="SHA256:k" if number % 2 else None)
    add("router-3", static_result(combined=88), content="2", key="SHA256:k", now="2026-12-01T08:00:00Z")
    add("seen", static_result(combined=99, in_sample=True))
    add("old", static_result(combined=66, protocol="0" * 64))
    add("toy", static_result(bank="toy", caveat="Its scores rank nothing.", ranks_nothing=True))
    add("gone", static_result(combined=58))
    withdraw_entry(results, Division.static, "gone", "It read the <labels>.", NOW)
    links = ("https://example.org/router",)
    add("live-1", live_result(75), live_result(77, division=Division.rehearsal), levels=tuple(Level), links=links)
    add("live-2", live_result(52), checks=300)
    text = "".join(each if each.isprintable() else "?" for each in HOSTILE)
    add("hostile", static_result(), title=(text + LONG)[:290], description=text, contact=LONG)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    results = tmp_path_factory.mktemp("board") / "results"
    fill(results)
    return make_site(results, PROTOCOLS)


def check(site: Site, name: str) -> Page:
    """A page that is what every page of the site has to be."""
    html = site.files[name]
    page = read(html)
    folder = posixpath.dirname(name)
    for address in page.addresses:
        if address.startswith("#") or address == "data:,":
            continue
        if address.startswith("https://example.org/"):
            continue  # a link of a submitter, which a person may follow
        assert posixpath.normpath(posixpath.join(folder, address)) in site.files, address
    outside = [each for each in page.all("a") if "://" in each["href"]]
    assert all(each["rel"] == "nofollow noopener noreferrer" for each in outside)
    assert page.all("script") == page.all("img") == page.all("iframe") == []
    assert not [each for _, attributes in page.elements for each in attributes if each.startswith("on")]
    [policy] = [each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(ids)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in each for each in page.all("th"))
    assert all(char.isprintable() or char == "\n" for char in html)
    assert [each for each in page.all("a") if each.get("aria-current") == "page"], "where one is"
    assert len(html.encode()) < MOST_PAGE_BYTES
    return page


def test_every_page_is_whole_and_alone(site: Site) -> None:
    pages = [name for name in site.files if name.endswith(".html")]
    assert len(pages) == 6 + 5 + 20
    for name in pages:
        check(site, name)


def test_a_division_shows_groups_references_and_the_past(site: Site) -> None:
    text = check(site, "static.html").text
    assert "Group 1: nothing is shown to be better" in text
    assert "always-low" in text
    assert "Of an earlier protocol: not comparable with later results." in text
    assert "Its scores rank nothing." in text
    [table] = [name for name in site.files if name.startswith("static-") and "gone" in site.files[name]]
    page = check(site, table)
    assert "Superseded and withdrawn" in page.text
    assert "in-sample: its router was trained on rows that it is scored on" in page.text
    assert len(page.all("svg")) == 2
    assert "There is no entry in this division yet." in check(site, "open.html").text
    live = check(site, "live.html").text
    assert "give up" in live
    assert "Apart" in live


def test_withdrawn_entries_stand_at_the_end_of_their_division_with_date_and_reason(site: Site) -> None:
    page = check(site, "static.html")
    assert [text for _, text in page.headings][-2:] == ["Withdrawn", "How this page was made"]
    assert f"gone, {NOW}: It read the <labels>." in " ".join(page.text.split())
    assert "static/gone.html" in page.addresses
    assert "Withdrawn" not in [text for _, text in check(site, "live.html").headings]
    [table] = [name for name in site.files if name.startswith("static-") and "gone" in site.files[name]]
    assert "not ranked: withdrawn: It read the <labels>." in check(site, table).text


def test_headings_of_earlier_versions_name_them_and_stand_last(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    times = ["2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z"]
    for number, now in enumerate(times, 1):
        found = (static_result(combined=40 + number), static_result(bank="second"))
        add_submission(results, *submission("mine", *found, content=str(number)), now, after_withdrawal=True)
        if number == 2:
            withdraw_entry(results, Division.static, "mine", "a bug", now)
    runs = (live_result(70, subject="runs/a"), live_result(80, subject="runs/b"))
    add_submission(results, *submission("twice", *runs), NOW)

    site = make_site(results, PROTOCOLS)

    headings = [text for level, text in check(site, "static/mine.html").headings if level == 3]
    banks, earlier = ["Bank official", "Bank second"], f"version 1 of {times[0]}, superseded"
    assert sorted(headings[:2]) == banks
    assert sorted(headings[2:4]) == [f"{bank}, version 2 of {times[1]}, withdrawn" for bank in banks]
    assert sorted(headings[4:6]) == [f"{bank}, {earlier}" for bank in banks]
    found_twice = [text for level, text in check(site, "live/twice.html").headings if level == 3]
    assert [text.rpartition(", ")[2] for text in found_twice[:2]] == ["runs/b", "runs/a"]
    assert len(set(found_twice)) == len(found_twice)
    assert "Withdrawn" not in [text for _, text in check(site, "static.html").headings]


def test_the_commands_of_an_entry_are_explained_by_what_they_have(site: Site, tmp_path: Path) -> None:
    said = "N stands for the number that the checks above name."
    known = check(site, "live/live-1.html").text
    assert said not in known
    assert "USD stands for the most that may be spent" in known
    assert "The nonce draws the same samples again." in known
    assert "samples again" not in check(site, "static/router-3.html").text
    results = tmp_path / "results"
    results.mkdir()
    data, report = submission("old", levels=(Level.verify, Level.ask))
    add_submission(results, data, report.model_copy(update={"samples": {}}), NOW)
    unknown = check(make_site(results, PROTOCOLS), "static/old.html").text
    assert "--ask N" in unknown
    assert said in unknown


def test_the_page_of_an_entry_says_what_was_verified_and_how_to_do_it_again(site: Site) -> None:
    page = check(site, "live/live-1.html")
    for part in (
        "cases, run again with real models",
        "Nonce of samples",
        "commitment",
        "none was posted before it",
        "Answers of models that were never called.",
        "twinbench submit verify live-1.zip --nonce 7b1c --grade 9 --replay 9 --rerun 9 --run-usd USD --api-base URL",
        "twinbench dynamic score live-1/runs/mine",
    ):
        assert part in page.text, part
    assert "person@example.org" not in "".join(site.files.values())
    static = check(site, "static/router-3.html").text
    assert "twinbench submit verify router-3.zip --nonce 7b1c --ask none" in static
    assert "twinbench static score --bank official --predictions router-3/static/official/predictions.jsonl" in static
    assert "superseded" in static
    assert "Withdrawn at" in check(site, "static/gone.html").text
    assert "301 checks" in check(site, "live/live-2.html").text


def test_the_first_page_names_what_is_not_shown(site: Site, tmp_path: Path) -> None:
    assert "Not shown" not in check(site, "index.html").text
    fill(results := tmp_path / "results")
    (results / "entries" / "static" / "router-1" / "<b>.txt").write_text("")
    (results / "entries" / "static" / ("a" * 200 + "\x1b\n")).write_text("")
    made = make_site(results, PROTOCOLS)
    page = check(made, "index.html")
    assert "static/router-1: <b>.txt does not belong in an entry" in " ".join(page.text.split())
    assert "belongs to no entry" in page.text
    assert "static/router-1.html" not in made.files
    assert made.entries == site.entries - 1


def test_published_results_stand_apart(site: Site) -> None:
    published = published_results()
    page = check(site, "published.html")
    names = [each["router"] for each in published["static_970_rows"]]
    names += [each["policy"] for each in published["dynamic_heldout100"]]
    for name in names:
        assert name in page.text
    assert "Published, not verified here" in page.text
    measured = [text for name, text in site.files.items() if name.endswith(".html") and name != "published.html"]
    assert not [name for name in names for text in measured if name in text and name != "always-high"]


def test_the_json_has_what_the_pages_have(site: Site) -> None:
    found = json.loads(site.files["leaderboard.json"])
    assert [each["division"] for each in found["divisions"]] == list(Division)
    assert found["published"] == published_results()
    official, *others = found["divisions"][0]["tables"]
    assert official["ranked_by"] == "combined"
    by_state = {
        state: [row["name"] for row in official["rows"] if row["state"] == state]
        for state in ("superseded", "withdrawn")
    }
    assert by_state == {"superseded": ["router-3"], "withdrawn": ["gone"]}
    assert official["rows"][0]["group"] == 1
    assert official["rows"][0]["intervals"]["combined"] == [85.0, 91.0]
    assert {each["current"] for each in others} == {True, False}
    entry = json.loads(site.files["static/router-3.json"])
    assert [each["scores"]["added_at"][:10] for each in entry["versions"]] == ["2026-11-30", "2026-12-01"]
    assert entry["versions"][0]["verification"]["ok"] is True


@pytest.mark.acceptance
@pytest.mark.alone
def test_a_thousand_entries_are_soon_built(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for data, report in many(1000):
        division = report.results[0].division
        manifest = SubmissionManifest.parse(data, "manifest")
        scores = EntryScores(name=manifest.name, division=division, added_at=NOW, results=report.results)
        write_version(entry_folder(results, division, manifest.name), Version(manifest, data, scores, report))

    start = time.process_time()
    site = make_site(results, PROTOCOLS)
    site.write(tmp_path / "site")
    seconds = time.process_time() - start

    sizes = {path.name: path.stat().st_size for path in (tmp_path / "site").rglob("*.html")}
    told = f"{len(sizes):,} pages in {seconds:.1f} s of CPU, the largest {max(sizes.values()):,} bytes"
    print(f"evidence: leaderboard of 1,000 entries: {told}")
    assert site.entries == 1000
    assert seconds <= MOST_SECONDS
    assert max(sizes.values()) < MOST_PAGE_BYTES
    pages = [name for name in site.files if name.startswith("static-")]
    assert any(name.endswith(f"-{600 // MOST_ROWS}.html") for name in pages)
    for name in ("index.html", "static.html", *pages[:8], "live/router-0007.html"):
        check(site, name)
