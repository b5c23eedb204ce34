"""Render an HTML page as one self-contained file: no requests, no scripts, and all inserted text escaped.

A track's template is in the same folder as the module that fills it, and extends ``base.html`` of this folder. Only
the templates themselves and ``plots`` produce markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from twinbench.display.wording import format_count, format_small, make_printable

HERE = Path(__file__).resolve().parent

MISSING = "–"


def render_page(template: Path, content: Mapping[str, Any]) -> str:
    """Render a page from a template.

    Args:
        template: the template's file; it can include other templates of its folder and of this folder by name.
        content: the variables of the template.
    """
    return _environment(template.parent).get_template(template.name).render(content)


@cache
def _environment(folder: Path) -> Environment:
    """Return what renders the templates of a folder; they are compiled once, however many pages are made of them."""
    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": format_number,
        "usd": format_usd,
        "counted": format_count,
        "interval": format_interval,
    }
    environment.globals |= {
        "style": Markup((HERE / "style.css").read_text("utf-8")),  # noqa: S704 - our own
        "version": version("twinbench"),
    }
    return environment


def format_number(value: float | None, decimals: int = 0, sign: str = "") -> str:
    """Format a number; None becomes a dash, and ``sign="+"`` also shows the sign of positive numbers."""
    if value is None:
        return MISSING
    written = f"{value:{sign},.{decimals}f}"
    return written.replace("-", "−")


def format_usd(value: float | None) -> str:
    """Format an amount of USD with four decimals; None becomes a dash, and what is too small for them ``<0.0001``."""
    return format_small(value, 4) if value is not None and value >= 0 else format_number(value, 4)


def format_interval(ends: tuple[float, float] | None, decimals: int = 1) -> str:
    """Format an interval in brackets; None becomes an empty string."""
    return "" if ends is None else f"[{format_number(ends[0], decimals)}, {format_number(ends[1], decimals)}]"


def shorten_middle(text: str, most: int) -> tuple[str, int]:
    """Cut the middle out of a text that is longer than ``most`` characters.

    Returns:
        The shortened text, and the number of characters that were left out.
    """
    left_out = len(text) - most
    if left_out <= 0:
        return text, 0
    end = most // 2
    return (
        f"{text[: most - end]}\n[… {format_count(left_out, 'character')} left out …]\n{text[len(text) - end :]}",
        left_out,
    )


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else make_printable(value)
