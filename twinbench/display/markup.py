"""Format tables as Markdown and LaTeX for web pages and papers; text in cells is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from twinbench.display.wording import make_printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "…": r"\ldots{}",
    "−": r"$-$",
    "×": r"$\times$",
} | {char: f"\\{char}" for char in "&%$#_{}"}


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are formatted as text, independent of the markup."""

    title: str
    headers: Sequence[str]
    is_numeric: Sequence[bool]
    """For each column, whether it is numeric and therefore right-aligned."""
    rows: Sequence[Sequence[str]]
    is_dimmed: Sequence[bool]
    """For each row, whether it is shown dimmed in a terminal."""
    notes: Sequence[str]


def escape_markdown(text: str) -> str:
    """Escape a text for Markdown, on one line."""
    plain = html.escape(make_printable(text).replace("\n", " ").replace("\t", " "), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX, on one line."""
    plain = make_printable(text).replace("\n", " ").replace("\t", " ")
    return "".join(_LATEX.get(char, char) for char in plain)


def markdown_table(table: TextTable) -> str:
    """Format a table as GitHub-flavoured Markdown, with its title above and its notes below."""
    lines = [f"**{escape_markdown(table.title)}**", ""] if table.title else []
    lines.append(f"| {' | '.join(map(escape_markdown, table.headers))} |")
    lines.append(f"|{'|'.join(' ---: ' if numbers else ' --- ' for numbers in table.is_numeric)}|")
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in table.rows]
    for note in table.notes:
        lines += ["", escape_markdown(note)]
    return "\n".join(lines) + "\n"


def latex_table(table: TextTable) -> str:
    """Format a table as a LaTeX float with booktabs rules, its title as the caption and its notes below."""
    aligned = "".join("r" if numbers else "l" for numbers in table.is_numeric)
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{escape_latex(table.title)}}}"] if table.title else []),
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        " & ".join(map(escape_latex, table.headers)) + r" \\",
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip{{\footnotesize {escape_latex(note)}\par}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    r"""Format a row; an initial ``[`` or ``*`` is guarded, since LaTeX would read it as part of ``\\``."""
    row = " & ".join(map(escape_latex, cells))
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"
