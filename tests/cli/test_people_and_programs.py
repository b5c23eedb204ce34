"""Tables for papers and narrow terminals, and columns of numbers for programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest
from markdown_it import MarkdownIt

import twinbench as tb
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import in_a_terminal, twinbench
from tests.cli.test_hostile_text import HOSTILE
from twinbench.display.markup import TextTable, escape_latex, latex_table, markdown_table
from twinbench.storage.store import Store

CELL = f"{HOSTILE} | a_b ~ ^ \\ {{50 %}} # $x$ & *bold* `code`"


def types_of(path: Path) -> dict[str, str]:
    """The columns of a Parquet file with their types."""
    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    return {name: kind for name, kind, *_ in described}


def test_a_column_of_numbers_is_one_where_no_row_has_a_number(kept_store: Store, tmp_path: Path) -> None:
    scores, parted = tmp_path / "scores.parquet", tmp_path / "parted.parquet"
    command = ("static", "score", "sticky", "--bank", "mine", "--resamples", "0")
    twinbench(*command, "--format", "parquet", "-o", scores).succeeded()
    twinbench("static", "diff", "sticky", "sticky", "--bank", "mine", "--format", "parquet", "-o", parted).succeeded()

    found = types_of(scores)
    assert {found[name] for name in ("rank_best", "rank_worst", "errors")} == {"BIGINT"}
    assert {found[name] for name in ("combined_low", "combined", "cost_usd", "above_best_constant")} == {"DOUBLE"}
    assert (types_of(parted)["step_index"], types_of(parted)["gained_usd"]) == ("BIGINT", "DOUBLE")
    empty = tb.score("sticky", "mine", resampling=None, store=kept_store.root).df("pandas")
    assert str(empty["rank_best"].dtype) == str(empty["router_usd"].dtype) == "float64"
    assert (
        str(
            tb.score("sticky", "mine", resampling=None, store=kept_store.root)
            .df("pyarrow")
            .schema.field("rank_best")
            .type
        )
        == "double"
    )


def test_programs_get_names_and_counts_of_a_comparison(kept_store: Store) -> None:
    compared = twinbench("static", "compare", "sticky", "always-high", "--bank", "mine", "--format", "csv").succeeded()

    rows = list(csv.DictReader(io.StringIO(compared.text, newline="")))

    assert [row["metric"] for row in rows] == ["combined", "row_pass", "row_exact", "traj_pass", "cost_save", "mcnemar"]
    assert rows[-1]["first_only"] == "0"
    assert int(rows[-1]["second_only"]) > 0


def test_predictions_come_from_standard_input_once(kept_store: Store) -> None:
    lines = twinbench("static", "predict", "sticky", "--bank", "mine").succeeded().out
    command = ("static", "score", "--bank", "mine", "--resamples", "0", "--json", "--predictions", "-")

    read = twinbench(*command, stdin=lines).succeeded().json
    twice = twinbench(*command, "--predictions", "-", stdin=lines)

    assert read["routers"][0]["router"] == "predictions:-"
    asked = twinbench("static", "score", "sticky", "--bank", "mine", "--resamples", "0", "--json").json
    assert read["routers"][0]["scores"] == asked["routers"][0]["scores"]
    assert (twice.code, twice.err) == (2, "error: standard input can be read only once: give --predictions - once\n")


def test_the_best_constant_and_what_everybody_is_above_it(kept_store: Store) -> None:
    board = twinbench("static", "score", "sticky", "--bank", "mine", "--resamples", "0", "--json").json

    scores = {each["router"]: each["scores"]["combined"] for each in board["routers"]}
    best = max(("always-low", "always-mid", "always-mid_high", "always-high"), key=lambda name: scores[name])
    assert board["best_constant"] == best
    for each in board["routers"]:
        assert each["above_best_constant"] == scores[each["router"]] - scores[best]
    shown = twinbench("static", "score", "sticky", "--bank", "mine", "--resamples", "0").text
    assert "A score is computed from the bank's labels:" in shown
    assert f"points of Combined above {best}" in shown


def test_markdown_and_latex_show_whatever_text_there_is() -> None:
    table = TextTable(f"T {CELL}", ["Router", "vs best\nconstant"], [False, True], [[CELL, "1"]], [False], [CELL])

    markdown = markdown_table(table)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    assert [token.type for token in tokens].count("td_open") == 2
    assert not {"html_block", "html_inline"} & {
        each.type for token in tokens for each in (token, *(token.children or ()))
    }
    texts = ["".join(each.content for each in token.children or () if each.type.startswith("text")) for token in tokens]
    assert any("*bold* `code`" in text and "| a_b ~ ^" in text for text in texts)

    latex = latex_table(table)
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
    assert escape_latex(r"a_b & 50 % #1 {x} \y ~ ^ $z$") == (
        r"a\_b \& 50 \% \#1 \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} \$z\$"
    )
    assert escape_latex("–…é") == r"--\ldots{}é"


def test_every_table_format_of_a_command_has_the_same_cells(kept_store: Store) -> None:
    command = ("static", "score", "sticky", "--bank", "mine", "--resamples", "0", "--format")

    drawn, markdown, latex = (twinbench(*command, form).succeeded().text for form in ("table", "markdown", "latex"))

    (line,) = [line for line in drawn.splitlines() if "always-mid_high *" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert f"| {' | '.join(cells)} |".replace("_", r"\_").replace("*", r"\*") in markdown
    assert " & ".join(cells).replace("_", r"\_").replace("–", "--") in latex
    for text in (drawn, markdown, latex):
        assert "A score is computed from" in text


@pytest.mark.slow
def test_a_narrow_terminal_gets_whole_cells_and_is_told_what_is_missing(store: Store) -> None:
    rows = [row for number in range(8) for row in a_trajectory([number % 4, 0], instance=str(number))]
    import_rows(rows, store, "mine")
    for columns, missing in ((80, True), (160, False)):
        shown = in_a_terminal(columns, "static", "score", "sticky", "--bank", "mine", "--store", str(store.root))
        lines = shown.splitlines()
        assert max(len(line) for line in lines if line.startswith(("│", "┃", "└"))) <= columns
        assert sum("always-mid_high" in line for line in lines if line.startswith("│")) == 1, "no name is folded"
        assert ("RowExact" in lines[2] or "RowExact" in lines[3]) is not missing
        assert any(line.startswith("Not shown, because 80 characters are too narrow: ") for line in lines) is missing
