"""``static compare``, and a score in a plugin's own continuous integration: floors, exit codes and a summary."""

from __future__ import annotations

import random
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.banks import a_trajectory, import_rows, write_jsonl
from tests.cli.commands import in_a_terminal, twinbench
from twinbench.storage.store import STORE_VARIABLE, Store

SCORED = ("static", "score", "sticky", "--bank", "many")


@pytest.fixture(scope="module")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    drawn = random.Random(1)  # noqa: S311 - no secret
    rows = [
        row
        for number in range(40)
        for row in a_trajectory(
            [drawn.choice([0, 1, 2, 3]) for _ in range(3)], workload=f"w{number % 2}", instance=f"i-{number}"
        )
    ]
    store = Store(tmp_path_factory.mktemp("many") / "store")
    import_rows(rows, store, "many")
    return store


@pytest.fixture(autouse=True)
def many(_many: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a bank that is large enough for intervals."""
    monkeypatch.setenv(STORE_VARIABLE, str(_many.root))
    return _many


def test_a_score_has_an_interval_for_every_metric_and_a_rank() -> None:
    board = twinbench(*SCORED, "--json").succeeded().json
    assert board["resampling"] == {"resamples": 2000, "level": 0.95, "seed": 0}
    entry = board["routers"][0]
    assert list(entry)[-3:] == ["intervals", "no_interval", "rank"]
    assert list(entry["intervals"]) == list(entry["scores"])
    for metric, (low, high) in entry["intervals"].items():
        assert low <= entry["scores"][metric] <= high
    assert entry["rank"][0] <= entry["rank"][1]
    assert [each["rank"] for each in board["routers"] if each["router"] in ("labels", "cost-optimal")] == [None, None]


@pytest.mark.slow
def test_people_see_the_interval_of_combined_within_120_columns() -> None:
    lines = in_a_terminal(120, *SCORED).splitlines()
    low, high = twinbench(*SCORED, "--json").json["routers"][0]["intervals"]["combined"]
    assert any(f"[{low:.1f}, {high:.1f}]" in line for line in lines if "sticky" in line)
    assert max(len(line) for line in lines if line.startswith("│")) <= 120


def test_a_smaller_level_gives_smaller_intervals_and_no_resamples_none() -> None:
    def combined(*options: str) -> list[float] | None:
        intervals = twinbench(*SCORED, "--json", *options).succeeded().json["routers"][0]["intervals"]
        found: list[float] | None = intervals and intervals["combined"]
        return found

    wide, narrow = combined(), combined("--level", "0.5")
    assert wide is not None
    assert narrow is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert combined("--seed", "1") != wide
    assert combined("--resamples", "0") is None
    assert "[" not in twinbench(*SCORED, "--resamples", "0").succeeded().text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--resamples", "20"), "100"),
        (("--level", "95"), "0.95"),
        (("--fail-under", "combined"), "METRIC=X"),
        (("--fail-under", "speed=3"), "row_pass, row_exact"),
        (("--fail-under", "combined=nan"), "METRIC=X"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(wrong: tuple[str, ...], said: str) -> None:
    ran = twinbench(*SCORED, *wrong)
    assert ran.code == 2
    assert said in ran.err


# --- Floors and summaries -------------------------------------------------------------------------------------------


def test_a_router_above_its_floors_succeeds() -> None:
    assert twinbench(*SCORED, "--fail-under", "combined=1", "--fail-under", "row_pass=2").code == 0


def test_a_router_below_a_floor_fails_and_says_by_how_much() -> None:
    value = twinbench(*SCORED, "--json").json["routers"][0]["scores"]["combined"]
    ran = twinbench(*SCORED, "--json", "--fail-under", "combined=99", "--fail-under", "cost_save=-1000")
    assert ran.code == 1
    assert ran.json["routers"]  # the scores are printed all the same
    below = f"{99 - value:.2f} below the required 99"
    assert ran.err == f"error: sticky: combined {value:.2f} is {below}\n"


def test_references_have_no_floor_and_those_asked_for_have() -> None:
    assert twinbench("static", "score", "--bank", "many", "--fail-under", "combined=99").code == 0
    assert twinbench("static", "score", "always-low", "--bank", "many", "--fail-under", "combined=99").code == 1


def test_the_summary_is_appended_as_markdown(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n\n")
    hostile = tmp_path / "a|b*<img src=x>.jsonl"
    write_jsonl(hostile, [{"id": "w0/i-0/1", "tier_id": 3}])

    ran = twinbench(*SCORED, "--predictions", hostile, "--summary", summary, "--fail-under", "combined=99")

    assert ran.code == 1
    text = summary.read_text("utf-8")
    assert text.startswith("before\n\n### many: 120 rows, 40 trajectories")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type == "td_open"]
    assert len(rows) == 1 + 9
    assert len(cells) == 9 * 10
    assert not any(child.type == "html_inline" for token in tokens for child in token.children or [])
    assert "**missed**" in text
    assert "- sticky: combined " in text
    assert "[" in next(line for line in text.splitlines() if line.startswith("| sticky"))


def test_the_summary_shows_no_number_as_zero_that_is_not_zero(tmp_path: Path) -> None:
    before, summary = tmp_path / "before.jsonl", tmp_path / "summary.md"
    twinbench("static", "predict", "always-high", "--bank", "many", "-o", before).succeeded()
    scored = ("static", "score", "always-low", "--bank", "many")
    twinbench(*scored, "--before", before, "--summary", summary).succeeded()
    text = unescape(summary.read_text("utf-8"))
    assert "McNemar: p < 0.0001)" in text
    assert "0.0000" not in text


@pytest.mark.acceptance
def test_the_summary_explains_no_column_that_it_has_not(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    whole = ("static", "score", "always-low", "--bank", "rehearsal", "--resamples", "0")
    assert "Expected bill:" in " ".join(twinbench(*whole, "--summary", summary).succeeded().text.split())
    assert "Expected bill" not in summary.read_text("utf-8")


def test_the_summary_says_what_has_changed_since_a_version_before(tmp_path: Path) -> None:
    before, summary = tmp_path / "before.jsonl", tmp_path / "summary.md"
    twinbench("static", "predict", "always-low", "--bank", "many", "-o", before).succeeded()
    after = twinbench(*SCORED, "--before", before, "--summary", summary, "--json").succeeded().json["routers"][0]
    pair = twinbench("static", "compare", "sticky", "--bank", "many", "--predictions", before, "--json").json["pairs"][
        0
    ]
    text = summary.read_text("utf-8")
    assert text.startswith("### Before and after\n\n| Metric | Before | After | Difference | p |")
    line = next(each for each in text.splitlines() if each.startswith("| Combined |"))
    assert f" {after['scores']['combined']:.1f} | {pair['differences']['combined']['difference']:+.1f} " in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sticky", "--before", "x.jsonl"), "add --summary FILE"),
        (("sticky", "always-low", "--before", "x.jsonl", "--summary", "y.md"), "--before is about one router"),
        (("--before", "x.jsonl", "--summary", "y.md"), "--before is about one router"),
    ],
)
def test_a_version_before_is_of_one_router_and_for_a_summary(arguments: tuple[str, ...], said: str) -> None:
    ran = twinbench("static", "score", *arguments, "--bank", "many")
    assert ran.code == 2
    assert said in ran.err


def test_no_summary_is_written_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "github.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(there))
    twinbench(*SCORED).succeeded()
    assert not there.exists()


def test_a_summary_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    ran = twinbench(*SCORED, "--summary", tmp_path)
    assert ran.code == 1
    assert ran.err.startswith(f"error: cannot write {tmp_path}: ")


# --- Comparing ------------------------------------------------------------------------------------------------------


def test_a_comparison_says_how_far_each_pair_is_apart() -> None:
    found = twinbench("static", "compare", "sticky", "always-high", "always-low", "--bank", "many", "--json")
    comparison = found.succeeded().json
    assert list(comparison) == ["bank", "protocol", "order_seed", "resampling", "routers", "pairs"]
    assert comparison["resampling"]["resamples"] == 10_000
    scores = {each["router"]: each["scores"] for each in comparison["routers"]}
    assert [(pair["first"], pair["second"]) for pair in comparison["pairs"]] == [
        ("sticky", "always-high"),
        ("sticky", "always-low"),
        ("always-high", "always-low"),
    ]
    for pair in comparison["pairs"]:
        for metric, each in pair["differences"].items():
            assert each["difference"] == scores[pair["first"]][metric] - scores[pair["second"]][metric]
            assert set(each) == {"difference", "interval", "no_interval", "p", "p_holm", "needed_trajectories"}
        assert set(pair["mcnemar"]) == {"first_only", "second_only", "p", "p_holm", "needed_trajectories"}
    high_against_low = comparison["pairs"][2]["mcnemar"]
    assert high_against_low["second_only"] == 0
    assert high_against_low["first_only"] >= 20
    assert high_against_low["p_holm"] < 0.001
    ranks = {each["router"]: each["ranks"]["traj_pass"] for each in comparison["routers"]}
    assert ranks["always-high"][1] < ranks["always-low"][0]


def test_people_see_a_line_a_metric() -> None:
    text = twinbench("static", "compare", "sticky", "always-high", "--bank", "many").succeeded().text
    lines = [line for line in text.splitlines() if line.startswith("│ sticky")]
    assert [line.split("│")[3].strip().split(":")[0] for line in lines] == [
        *("Combined", "RowPass", "RowExact", "TrajPass", "CostSave", "passed alone")
    ]
    assert "<0.0001" in text
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("routers", [(), ("sticky",), ("sticky", "sticky")])
def test_less_than_two_routers_are_wrong_usage(routers: tuple[str, ...]) -> None:
    ran = twinbench("static", "compare", *routers, "--bank", "many")
    assert ran.code == 2
    assert "two different routers" in ran.err


def test_a_comparison_without_resamples_is_wrong_usage() -> None:
    assert twinbench("static", "compare", "sticky", "random", "--bank", "many", "--resamples", "0").code == 2
