"""Tables of outcomes as a library: ``import twinbench as tb``.

tb.headroom("openhands-verified", {"low": "MiniMax-M2.7", "high": "claude-opus-4-6"}).df()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinbench.api.arguments import refuse_no_numbers, refuse_no_texts, require_at_least, require_resampling
from twinbench.errors import TwinbenchError, UsageError
from twinbench.outcomes.columns import COLUMN_NAMES
from twinbench.outcomes.foreseen import Forecast, make_forecast
from twinbench.outcomes.headroom import Headroom
from twinbench.outcomes.headroom import compute_headroom as _headroom
from twinbench.outcomes.keeping import Provenance, Table, TableInfo, open_table, require_free_name, store_table
from twinbench.outcomes.noise import agreement_between_tables, agreement_between_trials
from twinbench.outcomes.pilot import choose_pilot as _pilot
from twinbench.outcomes.power import Plan, Power
from twinbench.outcomes.power import compute_power as _power
from twinbench.outcomes.predictability import Texts, group_texts, measure_predictability, read_texts
from twinbench.outcomes.reading import ReadOptions, ReadOutcomes, read_path, read_rows
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import DEFAULT_POWER
from twinbench.storage.manifest_files import DEFAULT_LIVE, DEFAULT_SPLITS, live_manifest, load_manifest
from twinbench.storage.manifests import SplitsManifest
from twinbench.storage.store import Store

if TYPE_CHECKING:
    from twinbench.outcomes.table import Grid

DEFAULT_RESAMPLING = Resampling()
DIFFERENCE = 5.0
"""Points of resolved tasks that a plan asks about where nobody says otherwise."""


def read_outcomes(paths: Sequence[Path | str], wanted: ReadOptions) -> tuple[ReadOutcomes, str | None]:
    """Read outcomes from files, folders of files and run directories, with notes for the user.

    Run directories are read here, above the rooms, since the core that keeps tables knows of no track.

    Raises:
        UsageError: a path is none of these.
        ContentError: a run is damaged.
    """
    from dynamic_track.exporting.outcomes import is_run, run_outcomes

    read, notes = ReadOutcomes(), []
    if not paths:
        raise UsageError("name at least one file of outcomes")
    for path in map(Path, paths):
        if is_run(path):
            run = run_outcomes(path)
            read_rows(run.rows, str(path), wanted, read)
            read.digests.append((path.name, run.fingerprint))
            notes += [] if run.note is None or run.note in notes else [run.note]
        else:
            read_path(path, wanted, read)
    return read, notes[0] if notes else None


def import_outcomes(
    paths: Path | str | Sequence[Path | str],
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    model: str | None = None,
    workload: str | None = None,
    origin: str = "",
    licence: str = "",
    note: str = "",
    replace: bool = False,
    store: Path | str | None = None,
) -> TableInfo:
    """Bring outcomes into the store as a table: all of them or nothing.

    Args:
        paths: files (CSV, JSON lines, JSON, Parquet), folders of JSON files, directories of runs.
        name: the name of the table.
        columns: by field (``model``, ``task``, ``resolved``, ``cost_usd``, ``workload``, ``trial``, ``steps``), the
            column that holds it, where its name does not say so.
        model: the model of all outcomes, if the files do not name it.
        workload: likewise.
        origin: the origin of the files, for users of the table.
        licence: the licence of the files.
        note: a caveat that has to be shown with its numbers.
        replace: take the place of a table of that name.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    refuse_no_texts(columns=columns or {})
    if unknown := sorted({*(columns or {})} - COLUMN_NAMES.keys()):
        raise UsageError(f"columns names {unknown[0]!r}: there are {', '.join(COLUMN_NAMES)}")
    opened, told = Store(store), Provenance(origin, licence, note)
    require_free_name(name, opened, replace=replace)
    listed = [paths] if isinstance(paths, str | Path) else list(paths or [])
    read, caveat = read_outcomes(listed, ReadOptions(columns or {}, model, workload))
    return store_table(read, name, opened, told.with_note(caveat), replace=replace)


def open_outcomes(name: str, *, store: Path | str | None = None) -> Table:
    """A table of outcomes, from the store or of those that ship with twinbench."""
    return open_table(name, Store(store))


def headroom(
    table: str,
    tiers: Mapping[str, str],
    *,
    workload: str | None = None,
    only: Sequence[str] = (),
    split: str | None = None,
    penalty_usd: float | None = None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    store: Path | str | None = None,
) -> Headroom:
    """Compute the most that routing among some models could win, by a table of outcomes.

    Args:
        table: its name.
        tiers: the model of each tier (``low``, ``mid``, ``mid_high``, ``high``), two or more.
        workload: needed where the table has several.
        only: globs over tasks; none is all.
        split: a named part of the tasks, such as ``heldout100``.
        penalty_usd: the penalty for an unresolved task; default: that of the locked live pool.
        sensitivity: the chance that a cascade's verifier accepts a right solution.
        specificity: the chance that it rejects a wrong one.
        resampling: how tasks are drawn again for intervals; None: without these.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    require_resampling(resampling)
    refuse_no_texts(tiers=tiers)
    refuse_no_numbers(sensitivity=sensitivity, specificity=specificity)
    for given, value in (("sensitivity", sensitivity), ("specificity", specificity)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{given} is {value!r}: give a chance from 0 to 1")
    opened = open_outcomes(table, store=store)
    return _headroom(
        chosen_tasks(opened.outcomes.grid(workload), only, split),
        opened.info,
        tiers,
        penalty_usd=penalty_of(penalty_usd),
        resampling=resampling,
        sensitivity=sensitivity,
        specificity=specificity,
        splits={name: each for name, each in named_splits().items() if name != split},
    )


def outcomes_power(
    table: str,
    models: Sequence[str] = (),
    *,
    workload: str | None = None,
    only: Sequence[str] = (),
    split: str | None = None,
    tasks: int | None = None,
    difference: float = DIFFERENCE,
    power: float = DEFAULT_POWER,
    penalty_usd: float | None = None,
    pilot: int | None = None,
    text: Path | str | Mapping[str, str] | None = None,
    against: str | None = None,
    same: Mapping[str, str] | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    store: Path | str | None = None,
) -> Power:
    """Compute which differences an experiment with some models could detect, by a table of outcomes.

    Args:
        table: its name.
        models: the models that are compared; none is all.
        workload: needed where the table has several.
        only: globs over tasks; none is all.
        split: a named part of the tasks, such as ``heldout100``.
        tasks: the number of tasks of the experiment; default: as many as are chosen.
        difference: points of resolved tasks that it should find.
        power: the chance that it should find them with.
        penalty_usd: the penalty for an unresolved task; default: that of the locked live pool.
        pilot: choose so many tasks to begin with; all models of the table take part.
        text: a file of tasks with their texts, the texts by task, or ``verified``: whether they predict verdicts.
        against: another table, whose results for the same models are compared.
        same: what models are called there, where they are not called alike.
        resampling: how tasks are drawn again for intervals, costs and bills; None: without these.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    require_resampling(resampling)
    refuse_no_numbers(power=power, difference=difference)
    refuse_no_texts(same=same or {})
    require_at_least(1, **{name: value for name, value in (("tasks", tasks), ("pilot", pilot)) if value is not None})
    if not 0 < power < 1 or not 0 < difference <= 100:
        raise UsageError(
            f"power {power!r} and difference {difference!r}: give a chance between 0 and 1, and points from 0 to 100"
        )
    opened = open_outcomes(table, store=store)
    every = chosen_tasks(opened.outcomes.grid(workload), only, split)
    grid = every.select_models(list(models)) if models else every
    level = 0.95 if resampling is None else resampling.level
    agreement = agreement_between_trials(grid, resampling)
    if against is not None:
        other = open_outcomes(against, store=store).outcomes
        there = other.grid(grid.workload if grid.workload in other.workloads else None)
        agreement += agreement_between_tables(grid, there, same or {}, resampling)
    return _power(
        grid,
        opened.info,
        Plan(len(grid.tasks) if tasks is None else tasks, difference, power, level),
        penalty_usd=penalty_of(penalty_usd),
        resampling=resampling,
        agreement=agreement,
        pilot=None if pilot is None else _pilot(every, pilot, 0 if resampling is None else resampling.seed),
        text=() if text is None else measure_predictability(grid, texts(text), level=level),
    )


def foresee_cases(
    table: str,
    tiers: Mapping[str, str],
    cases: Sequence[str],
    *,
    trials: int = 1,
    penalty_usd: float | None = None,
    store: Path | str | None = None,
) -> Forecast:
    """Forecast what planned cases may cost and show, by the workload of a table that has most of them.

    Args:
        table: its name.
        tiers: the model of each tier, two or more.
        cases: the ids of the tasks.
        trials: the number of trials of each case.
        penalty_usd: the penalty for an unresolved case; default: that of the locked live pool.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    refuse_no_texts(tiers=tiers)
    opened = open_outcomes(table, store=store)
    grids = [opened.outcomes.grid(name) for name in opened.outcomes.workloads]
    fitting = max(grids, key=lambda grid: len(grid.select_tasks(cases).tasks))
    return make_forecast(fitting, opened.info, tiers, cases, trials=trials, penalty_usd=penalty_of(penalty_usd))


def chosen_tasks(grid: Grid, only: Sequence[str], split: str | None) -> Grid:
    """Return the selected tasks.

    Raises:
        UsageError: there is no such split, or none of the tasks is left.
    """
    found = grid.filter_tasks([only] if isinstance(only, str) else only)
    if split is not None:
        splits = named_splits()
        if split not in splits:
            raise UsageError(f"no named part of tasks {split!r}: there is {', '.join(splits)}")
        found = found.select_tasks(sorted(splits[split]))
    if not found.tasks:
        raise UsageError(f"none of the tasks of workload {grid.workload} is left")
    return found


def named_splits() -> dict[str, frozenset[str]]:
    """The named parts of tasks whose instances the splits manifest lists."""
    manifest = load_manifest(DEFAULT_SPLITS)
    assert isinstance(manifest, SplitsManifest)  # noqa: S101 - the shipped file's own kind
    return {each.name: frozenset(each.instances) for each in manifest.splits if each.instances is not None}


def penalty_of(penalty_usd: float | None) -> float:
    """The penalty of an unresolved task in USD; None: that of the locked live pool.

    Raises:
        UsageError: it is negative or no number.
    """
    refuse_no_numbers(penalty_usd=penalty_usd)
    if penalty_usd is None:
        return float(live_manifest(DEFAULT_LIVE).unresolved_penalty_usd)
    if not 0 <= penalty_usd <= 1e6:
        raise UsageError(f"the penalty is {penalty_usd!r}: give USD for an unresolved task, 0 or more")
    return penalty_usd


def texts(of: Path | str | Mapping[str, str]) -> Texts:
    """The texts of tasks.

    Args:
        of: a file, a mapping from task to text, or tasks of the live track by name (``verified``, ``rehearsal``…).

    Raises:
        TwinbenchError: there is no such file or set of tasks, or it cannot be read.
    """
    if isinstance(of, Mapping):
        refuse_no_texts(text=of)
        return group_texts(of)
    if Path(of).is_file():
        return read_texts(Path(of))
    from dynamic_track.tasks.sources import HubError, load_tasks

    try:
        tasks = load_tasks(str(of)).tasks
    except HubError as error:
        raise TwinbenchError(f"{error.what}; give a file of its rows instead: .jsonl, .json or .parquet") from None
    return group_texts(
        {task.id: task.problem_statement for task in tasks}, {task.id: task.repo for task in tasks if task.repo}
    )
