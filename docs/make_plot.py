"""Writes docs/cost-quality.svg, the plot of README.md: cost against passed trajectories on the embedded bank.

python docs/make_plot.py
"""

from __future__ import annotations

import re
import tempfile
from importlib.resources import files
from pathlib import Path

from static_track.analysis.report import make_report
from static_track.banks.opening import open_bank
from static_track.evaluator import Evaluator
from twinbench.cli.demo import ROUTERS
from twinbench.statistics import Resampling
from twinbench.storage.store import Store

_ROOT = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

PLOT = Path(__file__).resolve().parent / "cost-quality.svg"


def plot_text() -> str:
    """Draw the plot of a static report of the demo's routers, as an SVG file of its own.

    The colours are those of the report's pages, light or dark as the reader's screen is.
    """
    with tempfile.TemporaryDirectory() as folder, open_bank(None, Store(Path(folder))) as bank:
        page = make_report(bank, Evaluator(bank), ROUTERS, resampling=Resampling(), points=0).html("")
    found = re.search(r"<svg[^>]*>.*?</svg>", page, re.DOTALL)
    if found is None:
        raise RuntimeError("the report has no plot")
    svg = found[0].replace("<svg", _ROOT, 1)
    css = files("twinbench.display.html").joinpath("style.css").read_text("utf-8")
    light, dark = re.findall(r"\{([^{}]*--ink:[^{}]*)\}", css)
    style = (
        f"<style>svg {{{_variables(light)} font-family: system-ui, sans-serif; background: var(--surface)}} "
        f"@media (prefers-color-scheme: dark) {{svg {{{_variables(dark)}}}}}</style>"
    )
    end = svg.index(">") + 1
    return f"{svg[:end]}{style}{svg[end:]}\n"


def _variables(block: str) -> str:
    """Return the colours that a block of the pages' style sheet declares."""
    return "; ".join(re.findall(r"--(?:ink|grid|surface|soft|series-\d+): #[0-9a-f]+", block)) + ";"


if __name__ == "__main__":
    PLOT.write_text(plot_text(), "utf-8")
