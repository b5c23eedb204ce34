"""Tables as Markdown and as LaTeX, for papers and web pages; whatever text stands in them shows and does nothing."""

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
    """A table as people see it, in whatever markup: every cell a text."""

    title: str
    headers: Sequence[str]
    is_numeric: Sequence[bool]
    """For each column, whether it is of numbers, which stand at the right."""
    rows: Sequence[Sequence[str]]
    is_dimmed: Sequence[bool]
    """For each row, whether it is drawn back."""
    notes: Sequence[str]


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it and does nothing else, on one line."""
    plain = html.escape(make_printable(text).replace("\n", " ").replace("\t", " "), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)


def escape_latex(text: str) -> str:
    """Text as LaTeX that shows it and does nothing else, on one line."""
    plain = make_printable(text).replace("\n", " ").replace("\t", " ")
    return "".join(_LATEX.get(char, char) for char in plain)


def markdown_table(table: TextTable) -> str:
    """A table as GitHub's Markdown, its title above and its notes below."""
    lines = [f"**{escape_markdown(table.title)}**", ""] if table.title else []
    lines.append(f"| {' | '.join(map(escape_markdown, table.headers))} |")
    lines.append(f"|{'|'.join(' ---: ' if numbers else ' --- ' for numbers in table.is_numeric)}|")
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in table.rows]
    for note in table.notes:
        lines += ["", escape_markdown(note)]
    return "\n".join(lines) + "\n"


def latex_table(table: TextTable) -> str:
    """A table as LaTeX: a float with its title as the caption and its notes below, in the rules of booktabs."""
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
    """A row; one that begins with a bracket would else be read as an argument of the row before."""
    row = " & ".join(map(escape_latex, cells))
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"
