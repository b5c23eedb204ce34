"""Tables of the leaderboard: results under the same conditions, in rank groups, beside what everybody can reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import JsonValue

from twinbench.display.wording import shorten
from twinbench.leaderboard.entries import Entry
from twinbench.leaderboard.numbers import MOST_NUMBER
from twinbench.leaderboard.protocols import CurrentProtocols, is_current, trusted_setting
from twinbench.leaderboard.ranking import Estimate, rank_estimates
from twinbench.statistics import DEFAULT_LEVEL
from twinbench.submissions.manifest import Division
from twinbench.submissions.report import Level, VerifiedResult

State = Literal["listed", "superseded", "withdrawn"]

GIVE_UP = "give up"
"""The policy that submits nothing in every case."""

METRICS: Mapping[str, Sequence[tuple[str, str]]] = {
    "static": (
        ("combined", "Combined"),
        ("row_pass", "RowPass"),
        ("row_exact", "RowExact"),
        ("traj_pass", "TrajPass"),
        ("cost_save", "CostSave"),
    ),
    "live": (("bill_usd", "Bill, USD"), ("resolved_percent", "Resolved, %"), ("cost_usd", "Cost, USD")),
}
"""Names and titles of the metrics of each kind of result; the first is the one by which entries are ranked."""


_MOST_REASON = 200
"""Characters of a reason in a table; the page of the entry has all of it."""


@dataclass(frozen=True)
class Row:
    """One result of an entry, or a reference."""

    title: str
    kind: Literal["static", "live"]
    values: Mapping[str, float | None]
    """The values of metrics (see ``METRICS``) and counts, by name."""
    intervals: Mapping[str, tuple[float, float]]
    """The intervals of metrics that have one, by name."""
    name: str | None = None
    """Name of the entry; None for a reference."""
    subject: str = ""
    added_at: str = ""
    levels: Sequence[Level] = ()
    """What was verified."""
    signed: bool = False
    in_sample: bool = False
    state: State = "listed"
    version: int = 1
    """The number of the version that the result is of, from 1 for the oldest; see ``Entry.versions``."""
    present: bool = True
    """Whether that is the present version of the entry."""
    reason: str | None = None
    """Why it is not ranked; None if it is, and for a reference and a superseded result."""
    group: int | None = None
    ranks: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        return {
            "name": self.name,
            "title": self.title,
            "subject": self.subject,
            "state": self.state,
            "version": self.version,
            "group": self.group,
            "ranks": None if self.ranks is None else list(self.ranks),
            "not_ranked": self.reason,
            "in_sample": self.in_sample,
            "values": dict(self.values),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "verified": [str(level) for level in self.levels],
            "signed": self.signed,
            "added_at": self.added_at,
        }


@dataclass(frozen=True)
class BoardTable:
    """Results that were made under the same conditions."""

    division: Division
    kind: Literal["static", "live"]
    comparable: str
    """The fingerprint of the conditions."""
    current: bool
    """Whether they follow the current protocol."""
    setting: Mapping[str, JsonValue]
    level: float
    """The level of the intervals."""
    ranked: Sequence[Row]
    """Ranked results by group; within a group by the metric, whose order means nothing there."""
    unranked: Sequence[Row] = ()
    """Results that are listed but not ranked, each with its reason."""
    past: Sequence[Row] = ()
    """Superseded and withdrawn results."""
    references: Sequence[Row] = ()
    mark: str = ""
    """The end of the title, where another table has the same one."""

    @property
    def rows(self) -> Sequence[Row]:
        """All results of entries: those that are ranked, those that are not, those of the past."""
        return (*self.ranked, *self.unranked, *self.past)

    @property
    def caveat(self) -> str | None:
        """A caveat to be shown with all numbers of these conditions; None if there is none."""
        bank = self.setting.get("bank")
        caveat = bank.get("caveat") if isinstance(bank, dict) else None
        return caveat if isinstance(caveat, str) else None

    @property
    def ranks_nothing(self) -> bool:
        """Whether results under these conditions are not ranked, by what the bank says of itself."""
        return _mapping(self.setting.get("bank")).get("ranks_nothing") is True

    @property
    def title(self) -> str:
        """The title: a bank and its part, or a pool and the number of cases."""
        earlier = "" if self.current else ", earlier protocol"
        if self.kind == "static":
            bank = self.setting.get("bank")
            bank = bank if isinstance(bank, dict) else {}
            part = f", part {bank['split']}" if bank.get("split") else ""
            return f"Bank {bank.get('name', 'unknown')}{part}{earlier}{self.mark}"
        cases = self.setting.get("cases")
        number = len(cases) if isinstance(cases, list) else cases
        tasks = f" on {_name_of(self.setting['tasks'])}" if "tasks" in self.setting else ""
        return f"Pool {_name_of(self.setting.get('pool'))}{tasks}, {number} cases{earlier}{self.mark}"

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON object."""
        return {
            "comparable": self.comparable,
            "kind": self.kind,
            "title": self.title,
            "current": self.current,
            "caveat": self.caveat,
            "ranks_nothing": self.ranks_nothing,
            "setting": dict(self.setting),
            "ranked_by": METRICS[self.kind][0][0],
            "level": self.level,
            "rows": [row.to_json() for row in self.rows],
            "references": [row.to_json() for row in self.references],
        }


def make_tables(entries: Iterable[Entry], protocols: CurrentProtocols) -> list[BoardTable]:
    """Put the results of entries into tables, one for each division and set of conditions.

    Returns:
        The tables in order: by division, those of the current protocol first, then those with most rows.
    """
    found: dict[tuple[Division, str], list[tuple[Entry, int, VerifiedResult]]] = defaultdict(list)
    for entry in entries:
        for number, version in enumerate(entry.versions, 1):
            for result in version.scores.results:
                found[entry.division, result.comparable].append((entry, number, result))
    tables = [_make_table(division, results, protocols) for (division, _), results in found.items()]
    order = list(Division)
    return sorted(
        tables,
        key=lambda table: (order.index(table.division), not table.current, -len(table.rows), table.comparable),
    )


def _make_table(
    division: Division, results: Sequence[tuple[Entry, int, VerifiedResult]], protocols: CurrentProtocols
) -> BoardTable:
    newest = next((result for entry, number, result in results if number == len(entry.versions)), results[-1][2])
    rows = [_row_of(entry, number, result) for entry, number, result in results]
    listed = [row for row in rows if row.state == "listed"]
    level = _level(newest.setting)
    table = BoardTable(
        division,
        newest.kind,
        newest.comparable,
        is_current(newest, protocols),
        trusted_setting(newest.setting, protocols),
        level,
        ranked=(),
        past=[row for row in rows if row.state != "listed"],
        references=_references(newest),
    )
    ranked, unranked = _rank(listed, table)
    return replace(table, ranked=ranked, unranked=unranked)


def _rank(rows: Sequence[Row], table: BoardTable) -> tuple[list[Row], list[Row]]:
    metric = METRICS[table.kind][0][0]
    sign = 1 if table.kind == "static" else -1
    ranked, unranked = [], []
    for row in rows:
        if (reason := row.reason or _reason(row, table, metric)) is None:
            ranked.append(row)
        else:
            unranked.append(replace(row, reason=reason))
    estimates = []
    for row in ranked:
        ends = sorted(sign * end for end in row.intervals[metric])
        estimates.append(Estimate(sign * (row.values[metric] or 0.0), *ends))
    ranking = rank_estimates(estimates, table.level)
    placed = [
        replace(row, group=group, ranks=ranks)
        for row, group, ranks in zip(ranked, ranking.groups, ranking.ranks, strict=True)
    ]

    def best_first(row: Row) -> tuple[int, bool, float, str, str]:
        value = row.values.get(metric)
        return row.group or 0, value is None, -sign * (value or 0.0), row.title, row.name or ""

    return sorted(placed, key=best_first), sorted(unranked, key=best_first)


def _reason(row: Row, table: BoardTable, metric: str) -> str | None:
    """Return why a listed result is not ranked."""
    if row.in_sample:
        return "in-sample: its router was trained on rows that it is scored on"
    if row.values.get(metric) is None:
        return "it has no value to rank by"
    if table.ranks_nothing:
        return "results under these conditions rank nothing"
    if metric not in row.intervals:
        return "it has no interval, so nothing is known of how sure it is"
    return None


def _row_of(entry: Entry, number: int, result: VerifiedResult) -> Row:
    version = entry.versions[number - 1]
    present = version is entry.current
    state: State = "listed" if present else "superseded"
    reason = None if result.score.get("router_failure") is None else "its router failed in every case"
    if version.withdrawal is not None:
        state, reason = "withdrawn", shorten(f"withdrawn: {version.withdrawal.reason}", _MOST_REASON)
    values, intervals = _numbers(result.kind, result.score)
    return Row(
        version.manifest.title,
        result.kind,
        values,
        intervals,
        name=entry.name,
        subject=result.subject,
        added_at=version.scores.added_at,
        levels=version.report.levels,
        signed=version.report.signature.signed,
        in_sample=result.in_sample,
        state=state,
        version=number,
        present=present,
        reason=reason,
    )


def _references(result: VerifiedResult) -> list[Row]:
    found = []
    for each in result.references:
        values, intervals = _numbers(result.kind, each)
        found.append(Row(str(each.get("router", "reference")), result.kind, values, intervals))
    give_up = _number(result.score.get("give_up_usd"))
    if result.kind == "live" and give_up is not None:
        values = {"bill_usd": give_up, "resolved": 0.0, "resolved_percent": 0.0, "cost_usd": 0.0}
        found.append(Row(GIVE_UP, "live", values, {}))
    return found


def _numbers(
    kind: Literal["static", "live"], score: Mapping[str, JsonValue]
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """Return the values of a score, and the intervals of those that have one."""
    intervals = {name: ends for name, each in _mapping(score.get("intervals")).items() if (ends := _ends(each))}
    if kind == "static":
        scores, counts = _mapping(score.get("scores")), _mapping(score.get("counts"))
        values = {name: _number(scores.get(name)) for name, _ in METRICS["static"]}
        values |= {
            "above_best_constant": _number(score.get("above_best_constant")),
            "cost_usd": _number(score.get("cost_usd")),
            "errors": _number(counts.get("errors")),
        }
        return values, intervals
    names = ("bill_usd", "cost_usd", "resolved", "unresolved", "infra", "cap", "avg_steps", "give_up_usd")
    values = {name: _number(score.get(name)) for name in names}
    resolved, unresolved = values["resolved"], values["unresolved"]
    decided = (resolved or 0) + (unresolved or 0)
    values["resolved_percent"] = 100 * (resolved or 0) / decided if decided else None
    if "resolved" in intervals:
        intervals["resolved_percent"] = intervals.pop("resolved")
    return values, intervals


def _level(setting: Mapping[str, JsonValue]) -> float:
    level = _number(_mapping(setting.get("resampling")).get("level"))
    return level if level is not None and 0.5 <= level < 1 else DEFAULT_LEVEL


def _name_of(value: JsonValue) -> str:
    return str(value.get("name", "unknown")) if isinstance(value, dict) else str(value)


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _number(value: JsonValue) -> float | None:
    """Return a number; None for anything else, and for one that is beyond what any result may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_NUMBER:
        return None
    return float(value)


def _ends(value: JsonValue) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = map(_number, value)
    return None if low is None or high is None else (low, high)
