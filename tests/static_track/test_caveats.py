"""A bank's caveats stand wherever a number of it is shown: tables, JSON, pages, frames, figures, kept results."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import twinbench as tb
from static_track.banks.embedded_names import DEFAULT_BANK
from static_track.banks.opening import open_bank
from static_track.results import ResultCache
from tests.banks import Row, a_trajectory, import_rows
from tests.cli.commands import commands, twinbench
from twinbench.errors import ContentError
from twinbench.storage.store import STORE_VARIABLE, Store

STATED = "Labels are <simulated>, by nobody."
TASK_LABELS = "the labels are those of tasks, not of steps"


def task_labelled(trajectories: int = 10, **fields: Any) -> list[Row]:
    return [
        row | fields for number in range(trajectories) for row in a_trajectory([number % 4] * 2, instance=f"i-{number}")
    ]


@pytest.fixture(scope="module")
def told_store(tmp_path_factory: pytest.TempPathFactory, embedded_store: Store) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("told") / "store")
    shutil.copytree(embedded_store.root / "banks", store.root / "banks")  # which commands that list banks need
    import_rows(task_labelled(caveat=STATED), store, "told")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(store.root))
        yield store


BANK = ("--bank", "told")
TABLES: dict[str, tuple[str, ...]] = {
    "bank list": (),
    "bank show": ("told",),
    "bank split": ("told", "--no-near-duplicates"),
    "static score": ("sticky", *BANK, "--resamples", "100"),
    "static compare": ("sticky", "always-low", *BANK, "--resamples", "100"),
    "static curve": ("depth-rule", *BANK, "--points", "2"),
    "static diff": ("sticky", "always-high", *BANK),
    "static explain": ("always-low", *BANK),
    "static crossval": ("always-low", *BANK, "--folds", "2", "--resamples", "0"),
    "router tune": ("depth-rule", *BANK, "--set", "mid=2,3", "--folds", "2"),
    "router check": ("always-low", *BANK, "--rows", "2"),
}
FORMS = ("--json", "table", "csv", "jsonl", "parquet")
"""One of them runs in the suite for each command, and all in acceptance."""
OTHERS = {"static predict", "static report", "router train", "submit pack"}
"""Print no table; below, or where trained routers and submissions are tested."""


def both(text: str) -> bool:
    """Whether both caveats stand in a text, however it escapes and wraps them."""
    plain = " ".join(re.sub(r"<[^>]*>", " ", text.replace("&lt;", "<").replace("&gt;", ">")).split())
    return "Labels are" in plain and "by nobody." in plain and TASK_LABELS in plain


def test_every_command_that_takes_a_bank_is_walked_here() -> None:
    assert {command for command, options in commands() if "--bank" in options} <= TABLES.keys() | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "form"),
    [
        pytest.param(command, form, marks=() if place == number % len(FORMS) else pytest.mark.acceptance)
        for number, command in enumerate(TABLES)
        for place, form in enumerate(FORMS)
    ],
)
def test_they_stand_in_every_table_in_every_format(command: str, form: str, told_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out"
    wanted = (form,) if form == "--json" else ("--format", form)
    ran = twinbench(*command.split(), *TABLES[command], *wanted, "-o", target).succeeded()
    if form == "parquet":
        with duckdb.connect() as connection:
            [(text,)] = connection.execute(
                "SELECT string_agg(caveat, ' ') FROM read_parquet(?)", [str(target)]
            ).fetchall()
    else:
        text = target.read_text("utf-8")
    assert both(text)
    if form in ("csv", "jsonl", "parquet"):  # for who reads a pipe by columns
        assert both(ran.err)


@pytest.mark.slow
def test_they_stand_in_what_is_no_table(told_store: Store, tmp_path: Path) -> None:
    page, summary, target = (tmp_path / name for name in ("page.html", "summary.md", "out.jsonl"))
    twinbench("static", "report", "depth-rule", *BANK, "--resamples", "100", "-o", page).succeeded()
    twinbench("static", "score", "sticky", *BANK, "--resamples", "0", "--summary", summary).succeeded()
    predict, export = ("static", "predict", "sticky", *BANK, "-o", target), ("bank", "export", "told", "-o", target)
    found = [
        page.read_text("utf-8"),
        summary.read_text("utf-8").replace("\\", ""),
        twinbench(*predict, "--json").succeeded().json["caveat"],
        twinbench(*predict).succeeded().err,
        twinbench(*export, "--json").succeeded().json["caveat"],
        twinbench(*export).succeeded().err,
        twinbench("bank", "check", "told", "--json").json["caveat"],
        twinbench("bank", "import", target, "--name", "again").succeeded().text,
        twinbench("bank", "import", target, "--name", "again", "--replace", "--json").succeeded().json["caveat"],
    ]
    assert [both(text) for text in found] == [True] * len(found)


@pytest.mark.slow
def test_they_stand_in_what_the_library_gives(told_store: Store) -> None:
    pytest.importorskip("matplotlib")
    shown: dict[str, Callable[[], Any]] = {
        "score": lambda: tb.score("sticky", "told", resampling=None),
        "compare": lambda: tb.compare(["sticky", "always-low"], "told", resampling=tb.Resampling(100)),
        "explain": lambda: tb.explain("always-low", "told"),
        "difference": lambda: tb.difference("sticky", "always-high", "told"),
        "curve": lambda: tb.curve("depth-rule", "told", points=2),
    }
    for name, made in shown.items():
        result = made()
        assert both(result.caveat), name
        assert both(result._repr_html_()), name
        assert both(result.df("pyarrow")["caveat"][0].as_py()), name
        if hasattr(result, "plot"):
            assert both(" ".join(text.get_text() for text in result.plot().findobj(_is_text))), name


def _is_text(artist: Any) -> bool:
    return hasattr(artist, "get_text")


@pytest.mark.slow
def test_they_stand_in_every_kept_result(told_store: Store) -> None:
    tb.score("depth-rule", "told", resampling=None)
    with ResultCache(told_store).connect() as results:
        for view in ("scores", "workloads", "trajectories", "predictions"):
            found = results.execute(f"SELECT DISTINCT caveat FROM {view} WHERE bank = 'told'").fetchall()  # noqa: S608
            assert [both(text) for (text,) in found] == [True], view


# --- What has one ---------------------------------------------------------------------------------------------------


def caveat_of(rows: list[Row], store: Store) -> str | None:
    return import_rows(rows, store, "bank", replace=True).caveat


def test_labels_that_never_change_within_a_trajectory_are_those_of_tasks(store: Store) -> None:
    assert TASK_LABELS in (caveat_of(task_labelled(), store) or "")
    assert caveat_of(task_labelled(9), store) is None  # too few to tell
    assert caveat_of([*task_labelled(), *a_trajectory([0, 1], instance="x")], store) is None
    singles = [row for number in range(12) for row in a_trajectory([number % 4], instance=f"i-{number}")]
    assert caveat_of(singles, store) is None
    alike = [row for number in range(12) for row in a_trajectory([1, 1], instance=f"i-{number}")]
    assert caveat_of(alike, store) is None


def test_what_rows_say_is_said_once_and_not_endlessly(store: Store) -> None:
    rows = [row | {"caveat": f"No. {number}."} for number, row in enumerate(a_trajectory([0, 1, 2, 3, 0]))]
    assert caveat_of(rows, store) == "No. 0. No. 1. No. 2. Its rows have 2 more caveats."
    assert caveat_of([row | {"caveat": "Same."} for row in rows], store) == "Same."


def test_only_rows_that_say_that_they_rank_nothing_take_the_ranks_away(store: Store) -> None:
    for name, fields in (("ranking", {"caveat": "It ranks nothing, somebody says."}), ("toy", {"ranks_nothing": True})):
        import_rows(task_labelled(**fields), store, name)
    shown = [
        twinbench(*command, "--bank", name, "--store", store.root, "--json").succeeded().json
        for name in ("ranking", "toy")
        for command in (
            ("static", "score", "sticky", "--resamples", "100"),
            ("static", "compare", "sticky", "always-low", "--resamples", "100"),
            ("static", "crossval", "always-low", "--folds", "2", "--resamples", "100"),
        )
    ]
    score, compared, crossed, *unranked = shown
    assert score["routers"][0]["rank"] is not None
    assert crossed["routers"][0]["rank"] is not None
    assert compared["routers"][0]["ranks"]["combined"] is not None
    for each in unranked:
        assert each["bank"]["ranks_nothing"] is True
        assert "rank nothing" in each["bank"]["caveat"]
        for router in each["routers"]:
            assert router.get("rank") is None
            assert set(router.get("ranks", {}).values()) <= {None}
    text = twinbench("static", "score", "sticky", "--resamples", "100", "--bank", "toy", "--store", store.root).text
    assert "No ranks: results on this bank rank nothing" in " ".join(text.split())
    assert "Rank by Combined" not in text


@pytest.mark.parametrize("told", ["yes", 1, None])
def test_whether_a_bank_ranks_nothing_is_said_by_true_or_false_alone(told: Any, store: Store) -> None:
    with pytest.raises(ContentError, match="line 1, field ranks_nothing"):
        import_rows([row | {"ranks_nothing": told} for row in a_trajectory([0])], store)


@pytest.mark.parametrize("caveat", ["", "  ", 5, None, "x" * 501])
def test_a_caveat_that_says_nothing_or_too_much_is_refused(caveat: Any, store: Store) -> None:
    with pytest.raises(ContentError, match="line 1, field caveat"):
        import_rows([row | {"caveat": caveat} for row in a_trajectory([0])], store)


@pytest.mark.slow
def test_the_embedded_bank_s_goes_with_its_rows_whatever_they_are_called(
    store: Store, embedded_store: Store, tmp_path: Path
) -> None:
    some = tmp_path / "s.jsonl"
    exported = twinbench("bank", "export", DEFAULT_BANK, "--store", embedded_store.root).succeeded()
    some.write_bytes(b"".join(exported.out.splitlines(keepends=True)[:50]))
    ran = twinbench("bank", "import", some, "--name", "mine", "--store", store.root, "--json").succeeded()
    embedded = twinbench("bank", "show", DEFAULT_BANK, "--store", embedded_store.root, "--json").succeeded().json
    assert ran.json["caveat"] == embedded["caveat"]


@pytest.mark.slow
def test_a_router_sees_neither_group_nor_caveat(store: Store) -> None:
    import_rows([row | {"group": "secret", "caveat": "secret"} for row in a_trajectory([0, 1])], store)
    seen: list[str] = []

    class Reading:
        def route(self, call: Any) -> str:
            seen.append(repr(call))
            return "low"

    tb.score(Reading(), "bank", resampling=None, store=store.root)
    assert seen
    assert not any("secret" in each for each in seen)


def test_a_bank_of_an_earlier_release_gets_its_caveats_when_it_is_opened(store: Store) -> None:

    info = import_rows(task_labelled(caveat=STATED), store)
    pointer = store.bank_dir("bank") / "bank.json"
    content = json.loads(pointer.read_text("utf-8"))
    for added in ("groups", "task_labels", "caveats"):
        del content[added]
    pointer.write_text(json.dumps(content | {"schema": 3}), "utf-8")
    with open_bank("bank", store) as bank:
        assert bank.info == info
