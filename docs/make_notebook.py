"""Writes and runs docs/notebook.ipynb: twinbench as a library.

python docs/make_notebook.py
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

PAGE = Path(__file__).resolve().parent / "notebook.ipynb"

CELLS = (
    (
        "markdown",
        """\
# twinbench in a notebook

Everything that the command line prints is an object here: with `.df()` (pandas, polars or Arrow, by what is installed),
`.to_json()`, a table and, where it helps, `.plot()`. Written and run by `python docs/make_notebook.py`; needs
`pip install 'twinbench[report]' pandas`.""",
    ),
    (
        "code",
        """\
import twinbench as tb


class Mine:
    \"\"\"Strong where a tool has just shown a failure, cheaper elsewhere.\"\"\"

    def route(self, call: tb.Call) -> tb.Decision:
        shown = str(call.messages[-1:])
        failing = "FAILED" in shown or "Traceback" in shown
        return tb.Decision(tb.Tier.HIGH if failing else tb.Tier.MID_HIGH, score=0.9 if failing else 0.2)


board = tb.score([Mine(), "depth-rule"])
board.df()[["router", "combined", "row_pass", "traj_pass", "cost_save", "rank_best", "rank_worst"]].round(2)""",
    ),
    (
        "markdown",
        """\
The bank is the embedded one, whose models are simulated. `tb.score(Mine(), bank="mine")` scores on one of yours. An
instance runs in this process, and its results are never kept.""",
    ),
    ("code", "board.plot()"),
    ("markdown", "## Does the difference mean anything?"),
    (
        "code",
        """\
compared = tb.compare([Mine(), "depth-rule", "always-mid_high"])
compared.df()[["first", "second", "metric", "difference", "p_holm"]].round(2).head(5)""",
    ),
    (
        "markdown",
        """\
14 trajectories are few: an interval of 60 points says how little they show.

## Which steps cost most?""",
    ),
    ("code", """tb.explain(Mine()).df()[["what", "id", "target", "predicted", "usd"]].round(4).head(6)"""),
    ("markdown", "## What does each dollar buy?"),
    (
        "code",
        """\
curve = tb.curve(Mine(), weak=tb.Tier.MID_HIGH, strong=tb.Tier.HIGH)
print(f"gain over the random mix: {curve.gain:.2f}")
curve.plot()""",
    ),
    ("markdown", "## The bank itself"),
    (
        "code",
        """\
with tb.open_bank() as bank:
    tokens = bank.df()
tokens.groupby("workload")[["prompt_tokens_high", "output_tokens"]].mean().round(0)""",
    ),
    (
        "markdown",
        """\
Live runs are scored from their directories: `tb.score_run("runs/mine")` gives the bill with intervals, `.df()` a row
for each trial, `.calls()` a row for each answered call. `tb.compare_runs(one, other)` compares two.""",
    ),
)
"""What each cell is, and its content."""


def executed() -> Any:
    """The notebook with what its cells give now."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    make: dict[str, Any] = {"code": new_code_cell, "markdown": new_markdown_cell}
    cells = [make[kind](content, id=f"cell-{number}") for number, (kind, content) in enumerate(CELLS)]
    notebook = new_notebook(cells=cells)
    with tempfile.TemporaryDirectory() as store, patch.dict(os.environ, {"TWINBENCH_STORE": store}):
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    notebook["metadata"] = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    import nbformat

    PAGE.write_text(nbformat.writes(executed()) + "\n", "utf-8")
