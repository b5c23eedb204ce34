"""A page as one file: no request leaves it, no script runs in it, and what others wrote shows as text.

A track's template stands beside the module that fills it, and extends ``base.html`` of this folder. Whatever a template
prints is made printable and escaped; only what the templates themselves and ``plots`` made is markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from twinbench.display.wording import format_count, make_printable

HERE = Path(__file__).resolve().parent

MISSING = "–"


def render_page(template: Path, content: Mapping[str, Any]) -> str:
    """A page.

    Args:
        template: its file; others in its folder and those of this one can be used by name.
        content: what its template prints.
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
    environment.filters |= {"number": format_number, "counted": format_count, "interval": format_interval}
    environment.globals |= {
        "style": Markup((HERE / "style.css").read_text("utf-8")),  # noqa: S704 - our own
        "version": version("twinbench"),
    }
    return environment


def format_number(value: float | None, decimals: int = 0, sign: str = "") -> str:
    """A number with so many decimals; a dash for none. ``sign`` is ``+`` to show it always."""
    if value is None:
        return MISSING
    written = f"{value:{sign},.{decimals}f}"
    return written.replace("-", "−")


def format_interval(ends: tuple[float, float] | None, decimals: int = 1) -> str:
    """An interval in brackets; nothing for none."""
    return "" if ends is None else f"[{format_number(ends[0], decimals)}, {format_number(ends[1], decimals)}]"


def shorten_middle(text: str, most: int) -> tuple[str, int]:
    """The beginning and the end of a text, and how many characters between them were left out."""
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
