"""Writes and runs the notebooks: docs/notebook.ipynb, twinbench as a library; docs/notebook-training.ipynb, from a bank
to a trained router and its errors.

python docs/make_notebook.py
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

FOLDER = Path(__file__).resolve().parent
Cells = Sequence[tuple[str, str]]
"""What each cell is, and its content."""

LIBRARY: Cells = (
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
The 123 trajectories are of 21 tasks, which are few: only differences with a small `p_holm` mean something.

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

TRAINING: Cells = (
    (
        "markdown",
        """\
# From a bank to a trained router, and to its errors

A bank, a part to train on, a router that learned from it, and where that goes wrong. Written and run by
`python docs/make_notebook.py`; needs `pip install twinbench pandas`. The bank is the embedded one, whose models are
simulated: what counts here is the way.""",
    ),
    (
        "code",
        """\
import pandas as pd

import twinbench as tb
from twinbench.errors import UsageError

with tb.open_bank() as bank:
    bank.make_split("default", "train=60,test=40", seed=0)
    rows = bank.df()
rows.groupby(["part", "target"]).size().unstack(fill_value=0)""",
    ),
    (
        "markdown",
        """\
## Train

`ordinal` learns P(a tier suffices) from words and from how the work goes. What it learned is a folder of plain numbers,
which is a router from then on, in both tracks.""",
    ),
    (
        "code",
        """\
model = tb.train("ordinal", out="ordinal-model", split="train")
data = model.manifest.data
print(f"{model.folder.name}: trained on {data.rows} rows of {data.trajectories} trajectories")""",
    ),
    ("markdown", "What it has seen, it is not scored on:"),
    (
        "code",
        """\
try:
    tb.score("ordinal-model", split="train")
except UsageError as refused:
    print(refused)""",
    ),
    ("markdown", "## Score\n\nBeside the references, on the part that it has not seen."),
    (
        "code",
        """\
board = tb.score("ordinal-model", split="test")
board.df()[["router", "combined", "row_pass", "row_exact", "traj_pass", "cost_save"]].round(1)""",
    ),
    (
        "markdown",
        """\
A part of 19 rows says little. Cross-validation trains once a fold, and each row is answered by what was trained on the
others:""",
    ),
    (
        "code",
        """\
found = tb.crossval("ordinal", folds=3)
for note in found.notes:
    print(note)""",
    ),
    ("markdown", "## Its errors\n\nWhich tier a step needs, and which it was given:"),
    (
        "code",
        """\
tiers = [tier.label for tier in tb.Tier]
confusion = found.entries[0].score.confusion
pd.DataFrame(confusion, index=pd.Index(tiers, name="needs"), columns=[*tiers, "error"])""",
    ),
    ("markdown", "Which steps cost the trained folder most, on its test part:"),
    (
        "code",
        """\
tb.explain("ordinal-model", split="test").df()[["what", "id", "target", "predicted", "usd"]].round(4).head(6)""",
    ),
    (
        "markdown",
        """\
## Settings

The same probabilities under other thresholds, across folds. What was chosen on rows looks better there than it
is.""",
    ),
    (
        "code",
        """\
tuned = tb.tune("ordinal", values={"tau": [0.3, 0.5, 0.7, 0.9]}, folds=3)
tuned.df()[["spec", "row_pass", "traj_pass", "cost_save", "combined"]].round(1)""",
    ),
)

NOTEBOOKS = {"notebook.ipynb": LIBRARY, "notebook-training.ipynb": TRAINING}


def executed(content: Cells) -> Any:
    """The notebook with what its cells give now."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    make: dict[str, Any] = {"code": new_code_cell, "markdown": new_markdown_cell}
    cells = [make[kind](text, id=f"cell-{number}") for number, (kind, text) in enumerate(content)]
    notebook = new_notebook(cells=cells)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"TWINBENCH_STORE": f"{folder}/store"}):
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=1_200, kernel_name="python3", resources=where).execute()
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    notebook["metadata"] = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    import nbformat

    for name, content in NOTEBOOKS.items():
        (FOLDER / name).write_text(nbformat.writes(executed(content)) + "\n", "utf-8")
