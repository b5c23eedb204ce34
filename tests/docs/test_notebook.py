"""The notebooks give what they show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from docs import make_notebook


def outputs(notebook: Any) -> list[Any]:
    """Sources and what they gave, but for pictures, which differ between releases of what draws them."""
    found = []
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        texts = []
        for each in cell.get("outputs", []):
            text = each.get("text") or each.get("data", {}).get("text/plain", "")
            texts.append(text if isinstance(text, str) else "".join(text))
        found.append((source, texts))
    return found


def kept(name: str) -> Any:
    return json.loads((make_notebook.FOLDER / name).read_text("utf-8"))


@pytest.mark.acceptance
@pytest.mark.parametrize("name", make_notebook.NOTEBOOKS)
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_gives_what_it_shows(name: str) -> None:
    now = make_notebook.executed(make_notebook.NOTEBOOKS[name])
    assert outputs(now) == outputs(kept(name)), "run: python docs/make_notebook.py"


@pytest.mark.parametrize(("name", "pictures"), [("notebook.ipynb", 2), ("notebook-training.ipynb", 0)])
def test_the_notebook_was_run_and_has_its_pictures(name: str, pictures: int) -> None:
    notebook = kept(name)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [source for source, _ in outputs(notebook)] == [text for _, text in make_notebook.NOTEBOOKS[name]]
    assert all(cell["outputs"] for cell in code)
    assert sum("image/png" in each.get("data", {}) for cell in code for each in cell["outputs"]) == pictures
    assert all(each["output_type"] != "error" for cell in code for each in cell["outputs"])
