"""The notebook gives what it shows."""

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


@pytest.mark.acceptance
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_gives_what_it_shows() -> None:
    kept = json.loads(make_notebook.PAGE.read_text("utf-8"))
    assert outputs(make_notebook.executed()) == outputs(kept), "run: python docs/make_notebook.py"


def test_the_notebook_was_run_and_has_its_pictures() -> None:
    kept = json.loads(make_notebook.PAGE.read_text("utf-8"))
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert [source for source, _ in outputs(kept)] == [content for _, content in make_notebook.CELLS]
    assert all(cell["outputs"] for cell in code)
    assert sum("image/png" in each.get("data", {}) for cell in code for each in cell["outputs"]) == 2
    assert all(each["output_type"] != "error" for cell in code for each in cell["outputs"])
