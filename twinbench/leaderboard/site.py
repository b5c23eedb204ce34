"""The leaderboard as pages and JSON: files that need no server, no script and no request."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from twinbench.display.html.page import render_page
from twinbench.errors import TwinbenchError, UsageError
from twinbench.leaderboard.checking import examine_entries
from twinbench.leaderboard.entries import Entry, refuse_links, require_folder
from twinbench.leaderboard.entry_page import entry_content, entry_json, headed_rows
from twinbench.leaderboard.plotting import MOST_PLOTTED, table_plot
from twinbench.leaderboard.protocols import CurrentProtocols
from twinbench.leaderboard.tables import METRICS, BoardTable, Row, make_tables
from twinbench.storage.folder_changes import lock_folder
from twinbench.storage.published import published_results
from twinbench.submissions.fields import printable_line
from twinbench.submissions.manifest import Division

INDEX_FILE = "index.html"
JSON_FILE = "leaderboard.json"
COMMAND = "twinbench leaderboard build --out site"

MOST_ROWS = 100
"""Rows of a table on one page."""
MOST_SHOWN = 10
"""Rows of each table on the page of its division."""
MOST_PLOTS = 1
"""Plots on the page of a division; a table's own page has its plot too."""
MOST_TABLES = 25
"""Tables that the page of a division shows rows of."""
MOST_LEADING = 5
"""Tables of each division whose first group is on the first page."""
MOST_WITHDRAWN = 50
"""Withdrawn entries that the page of a division names, the latest first."""
MOST_NOT_SHOWN = 50
"""Entries that the first page names because they failed a check."""
MOST_EARLIER = 20
"""Results of earlier versions on the page of an entry."""
MOST_DRAWN = 6
"""Tables of a site that have a plot: drawing one takes as long as a hundred pages."""

ABOUT: Mapping[Division, str] = {
    Division.static: (
        "Routers decide which tier each call of recorded agent runs should go to, and are scored by labels under the "
        "locked protocol. None of the models that they pick was run."
    ),
    Division.live: (
        "Routers between an agent and real models of the locked pool: real tasks, whose tests decide, and real money."
    ),
    Division.open: (
        "Live runs with other pools of models, and runs that were made elsewhere. Compare rows within one table only."
    ),
    Division.rehearsal: (
        "The whole live track with simulated models. Their skills are declared, not measured: no number here belongs "
        "beside one of a real run."
    ),
}

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class NotShown:
    """What is in the folder of results and stands on no page, since it failed a check."""

    entry: str
    """Division and name; the path of what lies beside the entries."""
    reason: str


@dataclass(frozen=True)
class Site:
    """The files of a leaderboard's site."""

    files: Mapping[str, str]
    """The text of each file by its path within the site."""
    entries: int
    tables: int
    not_shown: Sequence[NotShown] = ()

    def write(self, folder: Path) -> None:
        """Write the site in the place of a folder: all of it or nothing.

        Raises:
            UsageError: the folder holds something else than a site.
            TwinbenchError: it cannot be written.
        """
        refuse_other_folder(folder)
        aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
        old = aside.with_suffix(".old")
        try:
            for name, text in self.files.items():
                path = aside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
            if folder.exists():
                folder.rename(old)
            aside.rename(folder)
        except OSError as error:
            raise TwinbenchError(f"cannot write {folder} ({error.strerror or error})") from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def refuse_other_folder(folder: Path) -> None:
    """Refuse to write a site in the place of anything but an empty folder or an earlier site.

    Raises:
        UsageError: the folder holds something else, or cannot be there.
    """
    if not folder.resolve().parent.is_dir():
        raise UsageError(f"--out {folder}: {folder.parent} is not a directory")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"--out {folder}: not a directory")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JSON_FILE).is_file():
        raise UsageError(f"--out {folder}: it holds something else than a leaderboard; name an empty or a new folder")


def make_site(results: Path, protocols: CurrentProtocols) -> Site:
    """Make the pages and the JSON of a leaderboard.

    The same entries give the same bytes. All checks of the leaderboard come first: an entry that fails one is left out,
    and named with the reason.

    Args:
        results: the folder ``results`` of a checkout.
        protocols: the current protocols; results of earlier ones are in tables of their own.

    Raises:
        UsageError: ``results`` is not a directory.
        TwinbenchError: there is a link among entries and commitments, or another process has written there for too
            long.
        PlotsMissingError: the plotting library is not installed.
    """
    require_folder(results)
    with lock_folder(results, shared=True):
        refuse_links(results)
        examined = examine_entries(results, protocols)
    entries = examined.entries
    not_shown = [NotShown(*map(printable_line, each)) for each in sorted(examined.refused.items())]
    tables = _tell_apart(make_tables(entries, protocols))
    pages = _Pages(entries, tables, not_shown)
    files = {INDEX_FILE: pages.index(), "published.html": pages.published()}
    for division in Division:
        files[f"{division}.html"] = pages.division(division)
    for table in tables:
        files |= pages.table(table)
    rows = _rows_by_entry(tables)
    for entry in entries:
        own = rows[entry.division, entry.name]
        path = f"{entry.division}/{entry.name}"
        files[f"{path}.html"] = pages.entry(entry, own)
        files[f"{path}.json"] = _json(entry_json(entry, [(table, row) for table, row in own]))
    files[JSON_FILE] = _json(site_json(tables, not_shown))
    return Site(files, len(entries), len(tables), not_shown)


def _tell_apart(tables: Sequence[BoardTable]) -> list[BoardTable]:
    """Give tables of a division that would have the same title the beginning of their conditions' fingerprint."""
    times = Counter((table.division, table.title) for table in tables)
    return [
        replace(table, mark=f", conditions {table.comparable[:8]}") if times[table.division, table.title] > 1 else table
        for table in tables
    ]


def site_json(tables: Sequence[BoardTable], not_shown: Sequence[NotShown] = ()) -> dict[str, Any]:
    """Return the tables of all divisions as a JSON object, what is left out, and the published results apart."""
    return {
        "format": "twinbench leaderboard 1",
        "divisions": [
            {
                "division": str(division),
                "about": ABOUT[division],
                "tables": [table.to_json() for table in tables if table.division is division],
            }
            for division in Division
        ],
        "not_shown": [asdict(each) for each in not_shown],
        "published": published_results(),
    }


def table_file(table: BoardTable, page: int = 1) -> str:
    """Return the name of the file of a table, or of a later page of it."""
    return f"{table.division}-{table.comparable[:16]}{'' if page == 1 else f'-{page}'}.html"


class _Pages:
    """Renders the pages of one site."""

    def __init__(
        self, entries: Sequence[Entry], tables: Sequence[BoardTable], not_shown: Sequence[NotShown] = ()
    ) -> None:
        self._entries = entries
        self._not_shown = not_shown
        self._tables = tables
        by_size = sorted(tables, key=lambda table: (not table.current, -len(table.ranked) - len(table.unranked)))
        drawn = [table for table in by_size if table.ranked or table.unranked][:MOST_DRAWN]
        self._plots = {table_file(table): table_plot(table) for table in drawn}

    def index(self) -> str:
        """Return the first page."""
        divisions = []
        for division in Division:
            own = [entry for entry in self._entries if entry.division is division]
            tables = [table for table in self._tables if table.division is division]
            leading = [
                (table, [row for row in table.ranked if row.group == 1][:MOST_SHOWN])
                for table in tables[:MOST_LEADING]
                if table.current and table.ranked
            ]
            listed = sum(entry.current.withdrawal is None for entry in own)
            divisions.append((division, ABOUT[division], listed, len(own) - listed, len(tables), leading))
        return self._render("index.html", "", "Leaderboard of LLM routers", [], divisions=divisions)

    def published(self) -> str:
        """Return the page of results that others have published."""
        sections = [("static", "Static"), ("live", "Live"), ("made", "How it was made")]
        return self._render(
            "published.html",
            "published",
            "Results that the paper published",
            sections,
            published=published_results(),
            metrics=METRICS["static"],
        )

    def division(self, division: Division) -> str:
        """Return the page of a division: the beginning of each of its tables."""
        tables = [table for table in self._tables if table.division is division]
        shown: list[dict[str, Any]] = [
            {
                "table": table,
                "file": table_file(table),
                "id": f"table-{number}",
                "rows": (*table.ranked, *table.unranked)[:MOST_SHOWN],
                "more": max(len(table.rows) - MOST_SHOWN, len(table.past)),
                "plot": self._plots.get(table_file(table)) if number <= MOST_PLOTS else None,
            }
            for number, table in enumerate(tables[:MOST_TABLES], 1)
        ]
        withdrawn = sorted(
            (
                (entry.current.withdrawal, entry)
                for entry in self._entries
                if entry.division is division and entry.current.withdrawal is not None
            ),
            key=lambda each: (each[0].withdrawn_at, each[1].name),
            reverse=True,
        )
        sections = [(each["id"], each["table"].title) for each in shown]
        after = [("reading", "How to read this"), *([("withdrawn", "Withdrawn")] if withdrawn else [])]
        return self._render(
            "division.html",
            str(division),
            f"{str(division).capitalize()} division",
            [*sections, *after, ("made", "How it was made")],
            about=ABOUT[division],
            withdrawn=withdrawn[:MOST_WITHDRAWN],
            more_withdrawn=len(withdrawn[MOST_WITHDRAWN:]),
            shown=shown,
            others=[(table, table_file(table)) for table in tables[MOST_TABLES:]],
            division=division,
        )

    def table(self, table: BoardTable) -> dict[str, str]:
        """Return the pages of a table by their names."""
        rows = table.rows
        pages = max(1, -(-len(rows) // MOST_ROWS))
        found = {}
        for page in range(1, pages + 1):
            own = rows[(page - 1) * MOST_ROWS : page * MOST_ROWS]
            plot = self._plots.get(table_file(table)) if page == 1 else None
            sections = [("results", "Results"), *([("plot", "Cost against quality")] if plot else [])]
            title = table.title if pages == 1 else f"{table.title}, page {page} of {pages}"
            found[table_file(table, page)] = self._render(
                "table.html",
                str(table.division),
                title,
                [*sections, ("conditions", "Conditions"), ("reading", "How to read this"), ("made", "How it was made")],
                table=table,
                about=ABOUT[table.division],
                rows=own,
                plot=plot,
                most_plotted=MOST_PLOTTED,
                page=page,
                pages=[(number, table_file(table, number)) for number in range(1, pages + 1)],
                conditions=setting_facts(table),
                division=table.division,
            )
        return found

    def entry(self, entry: Entry, rows: Sequence[tuple[BoardTable, Row]]) -> str:
        """Return the page of an entry."""
        sections = [
            ("results", "Results"),
            ("verified", "What was verified"),
            ("reproduce", "Reproduce it"),
            ("versions", "Versions"),
            ("made", "How it was made"),
        ]
        content = entry_content(entry)
        headed = headed_rows(rows)
        present = sum(row.present for _, row in rows)
        placed = [(heading, table, row, f"../{table_file(table)}") for heading, table, row in headed]
        return self._render(
            "entry.html",
            str(entry.division),
            entry.current.manifest.title,
            sections,
            root="../",
            rows=placed[: present + MOST_EARLIER],
            more_results=len(placed[present + MOST_EARLIER :]),
            **content,
        )

    def _render(
        self, template: str, here: str, title: str, sections: Sequence[tuple[str, str]], root: str = "", **content: Any
    ) -> str:
        return render_page(
            _HERE / template,
            {
                "title": title,
                "sections": sections,
                "command": COMMAND,
                "root": root,
                "here": here,
                "places": [("", "Leaderboard"), *((str(each), str(each).capitalize()) for each in Division)],
                "metrics_of": METRICS,
                "not_shown": self._not_shown,
                "most_not_shown": MOST_NOT_SHOWN,
                **content,
            },
        )


def setting_facts(table: BoardTable) -> list[tuple[str, str]]:
    """Return the conditions of a table as names and values in words."""
    facts: list[tuple[str, str]] = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                add(f"{name} {key}" if name else key, each)
        elif isinstance(value, list):
            facts.append((name, ", ".join(map(str, value[:20])) + (f", … ({len(value)} in all)" if value[20:] else "")))
        elif value is not None:
            facts.append((name.replace("_", " "), str(value)))

    for key, value in table.setting.items():
        add(key, value)
    return [*facts, ("conditions", table.comparable)]


def _rows_by_entry(tables: Sequence[BoardTable]) -> Mapping[tuple[Division, str], list[tuple[BoardTable, Row]]]:
    found: dict[tuple[Division, str], list[tuple[BoardTable, Row]]] = defaultdict(list)
    for table in tables:
        for row in table.rows:
            if row.name is not None:
                found[table.division, row.name].append((table, row))
    return found


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"  # laid out it would take ten times as long
