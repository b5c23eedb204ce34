"""``twinbench static report``: what is on the page, that it stays text, and that it is the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from static_track.analysis.report import Report, make_report
from static_track.banks.bank import Bank
from static_track.banks.embedded_names import DEFAULT_BANK
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory, import_rows, write_jsonl
from tests.cli.commands import twinbench
from tests.cli.test_hostile_text import HOSTILE, SHOWN, hostile_rows
from tests.reports.pages import Page, check
from twinbench.statistics import Resampling
from twinbench.storage.store import STORE_VARIABLE, Store

ROWS = [
    row
    for number in range(1, 9)
    for row in a_trajectory([number % 4, 0, (number * 7) % 4], workload="repair", instance=f"i-{number}")
] + [row for number in range(1, 5) for row in a_trajectory([0, number % 3], workload="tools", instance=f"t-{number}")]
ROUTERS = ("depth-rule?mid=2&high=3", "sticky", "always-mid")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("reported") / "store")
    import_rows(ROWS, store, "mine")
    return store


@pytest.fixture(scope="module")
def _bank(kept: Store) -> Iterator[Bank]:
    with Bank.open("mine", kept) as opened:
        yield opened


@pytest.fixture
def bank(_bank: Bank, kept: Store, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A bank of two workloads, which commands find too."""
    monkeypatch.setenv(STORE_VARIABLE, str(kept.root))
    return _bank


def reported(bank: Bank, routers: Sequence[str] = ROUTERS, limit: int = 5, points: int = 11) -> Report:
    return make_report(bank, Evaluator(bank), routers, resampling=Resampling(200), limit=limit, points=points)


@pytest.fixture(scope="module")
def whole(_bank: Bank) -> Report:
    """What is reported of all routers."""
    return reported(_bank)


@pytest.fixture(scope="module")
def page(whole: Report) -> Page:
    """The page of it."""
    return check(whole.html("twinbench static report …"))


def cells(page: Page, start: str) -> str:
    """The text of the page from a word on."""
    return page.text[page.text.index(start) :]


def test_the_page_has_every_section_and_says_what_it_is_of(page: Page, bank: Bank) -> None:
    assert [text for level, text in page.headings if level <= 2] == [
        "Routers on the bank mine",
        *("Scores", "Cost against pass", "Curves", "Confusion", "Workloads", "Worst steps"),
        *("How to read this", "How this page was made"),
    ]
    for fact in (bank.info.sha256, bank.info.source_sha256, Evaluator(bank).protocol, "32 rows of 12 trajectories"):
        assert fact in page.text
    assert "twinbench static report …" in page.text


def test_scores_stand_there_with_intervals_and_references_apart(page: Page, whole: Report) -> None:
    board = whole.board
    scores = cells(page, "p95, ms")
    order = [scores.index(name) for name in (*ROUTERS[:2], "References", "always-low", "cost-optimal")]
    assert order == sorted(order)
    for entry in board.entries:
        assert entry.intervals is not None
        ends = entry.intervals["combined"].ends
        assert ends is not None
        assert f"{entry.score.scores['combined']:.2f}" in scores
        assert f"[{ends[0]:.1f}, {ends[1]:.1f}]" in scores
    asked = board.entries[0]
    assert asked.workload_intervals is not None
    within = asked.workload_intervals()["repair"]["cost_save"].ends
    assert within is not None
    assert f"[{within[0]:.1f}, {within[1]:.1f}]".replace("-", "−") in cells(page, "repair: 24 rows")


def test_the_cost_of_a_path_is_what_the_scoring_billed(bank: Bank) -> None:
    judge = Evaluator(bank)
    for entry in judge.board(ROUTERS).entries[:3]:
        with judge.scorer() as scorer:
            scorer.load([judge.predictions(entry.router)])
            [(billed,)] = scorer.connection.execute("SELECT usd(sum(pred)) FROM trajectory_bill").fetchall()
        assert entry.score.cost_usd == pytest.approx(billed, rel=1e-12)
        assert billed > 0


def test_every_plot_says_what_it_shows_and_has_its_numbers_in_a_table(page: Page, whole: Report) -> None:
    drawings = page.all("svg")
    assert [drawing["class"] for drawing in drawings] == ["plot wide", "plot narrow"] * 2
    titles = [text for within, text in page.texts if within == "title"]
    assert titles[1] == titles[2] == "Cost of the chosen path against passed trajectories"
    [shown] = [text for within, text in page.texts if within == "desc" and "sticky" in text and "chosen" not in text][
        :1
    ]
    [entry] = [each for each in whole.board.entries if each.router == "sticky"]
    assert f"sticky: {entry.score.cost_usd:.4f} USD" in shown
    assert f"{entry.score.cost_usd:.4f}" in cells(page, "The same as a table")
    assert "1 depth-rule?mid=2&high=3" in [text for within, text in page.texts if within == "text"]


def test_a_router_without_scores_has_no_curve_and_the_page_says_so(page: Page, bank: Bank) -> None:
    assert (
        "Without a curve, since their decisions have no score or they could not be asked: sticky, always-mid."
        in page.text
    )
    none = check(reported(bank, ["sticky"]).html(""))
    assert "Curves" not in [text for _, text in none.headings]
    assert "Curves" not in [text for _, text in check(reported(bank, points=0).html("")).headings]


def test_worst_steps_are_as_many_as_asked_for_with_the_end_of_their_prompt(bank: Bank) -> None:
    few = check(reported(bank, ["sticky"], limit=1).html(""))
    badges = [text for within, text in few.texts if within == "span" and text in ("failed", "overspent")]
    assert badges.count("failed") == 1
    assert "Fix it." in few.text


@pytest.mark.acceptance
def test_the_same_bank_gives_the_same_bytes(bank: Bank, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        twinbench("static", "report", *ROUTERS, "--bank", "mine", "-o", tmp_path / name).succeeded()
    one, two = ((tmp_path / name).read_text("utf-8") for name in ("one.html", "two.html"))
    assert one.replace("one.html", "") == two.replace("two.html", "")
    assert not re.search(r"\d\d:\d\d:\d\d", one)
    assert str(tmp_path) not in one


def test_the_embedded_bank_s_caveat_is_on_the_page(
    embedded_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(embedded_store.root))
    target = tmp_path / "embedded.html"
    twinbench("static", "report", "sticky", "--resamples", "100", "-o", target).succeeded()
    page = check(target.read_text("utf-8"))
    assert twinbench("bank", "show", DEFAULT_BANK, "--json").succeeded().json["caveat"] in page.text


def test_what_others_wrote_shows_as_text(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_rows(hostile_rows(), store, "hostile")
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    router = tmp_path / "a'\"><b>$x_1$ url(#z).py"
    router.write_text(f"class Hostile:\n    def route(self, call):\n        raise ValueError({HOSTILE!r})\n")
    predictions = write_jsonl(tmp_path / "<i>[red]p.jsonl", [{"id": row["id"], "tier_id": 0} for row in hostile_rows()])
    target = tmp_path / "page.html"
    routers = (f"{router}:Hostile", "sticky")
    ran = twinbench("static", "report", *routers, "--bank", "hostile", "--predictions", predictions, "-o", target)
    assert ran.code == 1, "a router failed on every row"
    page = check(target.read_text("utf-8"))
    texts = " ".join(page.text.split())
    for shown in (SHOWN, "[/red]/[link=http://x]", f"…/{router.name}:Hostile", f"predictions:…/{predictions.name}"):
        assert shown in texts
    assert page.all("b") == page.all("i") == []


@pytest.mark.acceptance
def test_a_page_is_told_of_in_words_and_in_json(bank: Bank, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    told = twinbench("static", "report", "sticky", "--bank", "mine", "-o", target).succeeded()
    as_json = twinbench("static", "report", "sticky", "--bank", "mine", "-o", target, "--json").succeeded().json
    assert as_json == {"file": str(target), "bytes": target.stat().st_size}
    assert told.text == f"{target}: {target.stat().st_size:,} bytes, opens offline\n"
    printed = twinbench("static", "report", "sticky", "--bank", "mine", "-o", "-").succeeded()
    assert printed.out.replace(b"-o -", b"") == target.read_bytes().replace(b"-o page.html", b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the routers"),
        (("no-such-router",), "no-such-router"),
        (("labels",), "sees the labels"),
        (("sticky", "--bank", "nowhere"), "nowhere"),
        (("sticky", "--split", "none"), "none"),
        (("sticky", "--level", "2"), "--level"),
        (("sticky", "--predictions", "missing.jsonl"), "missing.jsonl"),
    ],
)
def test_what_is_wrong_leaves_no_file(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = twinbench(
        "static", "report", *(words if "--bank" in words else (*words, "--bank", "mine")), "-o", "page.html"
    )
    assert ran.code == 2
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_done(bank: Bank, tmp_path: Path) -> None:
    for target, said in ((tmp_path / "none" / "page.html", "is not a folder"), (tmp_path, "it is a folder")):
        ran = twinbench("static", "report", "sticky", "--bank", "mine", "-o", target)
        assert ran.code == 2
        assert said in ran.err
    both = twinbench("static", "report", "sticky", "--bank", "mine", "-o", "-", "--json")
    assert both.code == 2
    assert both.out == b""
    assert twinbench("static", "report", "sticky", "--bank", "mine").code == 2
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_that_draws_it_says_what_to_install(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    ran = twinbench("static", "report", "sticky", "--bank", "mine", "-o", tmp_path / "page.html")
    assert ran.code == 1
    assert "pip install 'twinbench[report]'" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_scores_are_said_to_be_arithmetic_and_held_against_the_best_constant(page: Page, whole: Report) -> None:
    board = whole.board
    best = board.best_constant
    assert best is not None
    assert page.text.count("A score is computed from the bank's labels:") == 1
    words = " ".join(page.text.split())
    assert f"points of Combined above {best.router}, the best of those" in words
    for entry in board.entries:
        above = board.above_best_constant(entry)
        assert above is not None
        assert f" {'best' if entry is best else f'{above:+.2f}'.replace('-', '−')} " in words


def test_no_path_of_this_machine_is_on_the_page(bank: Bank, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "mine.py").write_text(f"class Mine:\n    def route(self, call):\n        open('{folder}/w.bin')\n")
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_bytes(twinbench("static", "predict", "sticky", "--bank", "mine").out)
    routers = [f"{folder}/mine.py:Mine" for folder in folders]
    target = tmp_path / "page.html"
    ran = twinbench("static", "report", *routers, "--bank", "mine", "--predictions", predictions, "-o", target)
    assert ran.code == 1, "its routers fail on every row"
    text = target.read_text("utf-8")
    page = check(text)
    assert str(tmp_path) not in text
    for shown in ("…/mine.py:Mine#2", "'…/w.bin'", "predictions:…/predictions.jsonl"):
        assert shown in page.text
