"""``twinbench dynamic``: the commands of the live track."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import completion
from twinbench.cli.dynamic import auditing, exporting, importing, replaying, report, running, runs, scores
from twinbench.cli.dynamic.options import (
    BuildOption,
    ContainerOptions,
    EnginesOption,
    TaskOptions,
    TasksOption,
    WorkersOption,
    load_tasks,
)
from twinbench.cli.help import Group, Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    NoCacheOption,
    OutputOption,
    StoreOption,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress, write_text
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from dynamic_track.grading.patches import Grades
    from dynamic_track.grading.verdict import GradingLimits, Verdict
    from dynamic_track.tasks.task import Task

app = typer.Typer(cls=Group, no_args_is_help=True)

_WORKERS = 2

SwebenchSettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--swebench-setting",
        metavar="GLOB",
        help="Grade these tasks with a network and SYS_ADMIN, as swebench does (see: dynamic doctor); repeatable.",
        show_default=False,
        rich_help_panel=Panel.CONTAINERS,
    ),
]


@expand_option_groups
def tasks(
    *,
    tasks: TasksOption = "rehearsal",
    choosing: TaskOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """List tasks, and report those that cannot be graded."""
    chosen, all_of = load_tasks(choosing.task_choice(tasks))
    rows = [
        {
            "id": task.id,
            "repo": task.repo,
            "version": task.version,
            "image": task.image,
            "fail_to_pass": len(task.fail_to_pass),
            "pass_to_pass": len(task.pass_to_pass),
            "setting": str(task.grading_setting),
        }
        for task in chosen
    ]
    if json_:
        content = {"name": all_of.name, "source": all_of.source, "fingerprint": all_of.fingerprint, "tasks": rows}
        print_json(content, output)
        return
    columns = [
        Column("id", "Task"),
        Column("repo", "Repository"),
        Column("version", "Version"),
        Column("image", "Image"),
        Column("fail_to_pass", "FAIL_TO_PASS", kind=int),
        Column("pass_to_pass", "PASS_TO_PASS", kind=int),
        Column("setting", "Grading setting"),
    ]
    notes = [f"{format_count(len(chosen), 'task')} of {len(all_of.tasks):,}, from {all_of.source}"]
    print_table(Table(f"Tasks: {all_of.name}", columns, rows, notes), form, output)


@expand_option_groups
def grade(
    run_dir: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A run directory: grade all its patches again; no model is called.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = None,
    *,
    patch: Annotated[
        Path | None,
        typer.Option(
            "--patch", metavar="FILE", help="One patch to grade for --case; - is standard input.", show_default=False
        ),
    ] = None,
    case: Annotated[
        str | None, typer.Option("--case", metavar="ID", help="The task that --patch is for.", show_default=False)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            help="Many patches, in SWE-bench's format (.jsonl, .json, or - for JSON lines on standard input).",
            show_default=False,
        ),
    ] = None,
    tasks: TasksOption = "rehearsal",
    choosing: TaskOptions,
    build: BuildOption = False,
    workers: WorkersOption = _WORKERS,
    containers: ContainerOptions,
    swebench_setting: SwebenchSettingOption = None,
    no_cache: NoCacheOption = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Grade whether patches resolve their tasks, as SWE-bench itself would.

    Exit code 0 if every patch got a verdict, resolved or not; 1 if infrastructure problems prevented one.
    """
    from dynamic_track.grading.patches import grade_all
    from dynamic_track.grading.submissions import read_patch, read_predictions
    from dynamic_track.grading.verdict_store import VerdictStore
    from twinbench.containers.engine import Engine
    from twinbench.errors import UsageError
    from twinbench.storage.store import Store

    if run_dir is not None:
        if patch is not None or predictions is not None or case is not None:
            raise UsageError("RUN grades all patches of a run: leave out --patch, --case and --predictions")
        limits = containers.grading_limits()
        _grade_run(run_dir, limits, workers, build=build, json_=json_, form=form, output=output)
        return
    if (patch is None) == (predictions is None) or (patch is None) != (case is None):
        raise UsageError("give a run, --patch FILE with --case ID, or --predictions FILE")
    if patch is not None and case is not None:
        if choosing.only or choosing.shuffle is not None or choosing.slice_ or choosing.limit:
            raise UsageError("--only, --shuffle, --slice and --limit need --predictions; --case names a single task")
        patches = {case: read_patch(patch)}
        chosen, all_of = load_tasks(TaskOptions(dataset=choosing.dataset).task_choice(tasks), swebench_setting)
        chosen = tuple(task for task in chosen if task.id == all_of.task(case).id)
    else:
        assert predictions is not None  # noqa: S101 - checked above
        patches = read_predictions(predictions)
        chosen, all_of = load_tasks(choosing.task_choice(tasks), swebench_setting)
        for name in patches:
            all_of.task(name)
    limits = containers.grading_limits()
    with progress() as shown, Engine.connect() as engine:
        grades = grade_all(
            engine,
            chosen,
            patches,
            VerdictStore(Store(store)),
            limits,
            workers=workers,
            build=build,
            no_cache=no_cache,
            progress=shown,
        )
    if json_:
        print_json(grades.to_json() if patch is None else grades.verdicts[0].to_json(), output)
    else:
        print_table(_verdict_table(grades, all_of.name), form, output)
    if grades.infra:
        raise typer.Exit(1)


@expand_option_groups
def doctor(
    *,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="TASKS",
            help="Also grade these tasks with their gold patch and with an empty patch (see: dynamic tasks).",
            show_default=False,
            rich_help_panel=Panel.TASKS,
        ),
    ] = None,
    choosing: TaskOptions,
    build: BuildOption = False,
    workers: WorkersOption = _WORKERS,
    containers: ContainerOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Check the Docker engine, its disk and images, and whether tasks are graded correctly on this machine.

    Exit code 1 if a check failed or a task is graded wrongly.
    """
    from dynamic_track.grading.doctor import check_container, check_engine, check_tasks
    from twinbench.checks import Status
    from twinbench.containers.engine import Engine

    if tasks is None:
        chosen: tuple[Task, ...] = ()
    else:
        chosen, _ = load_tasks(choosing.task_choice(tasks))
    limits = containers.grading_limits()
    with progress() as shown, Engine.connect() as engine:
        checks = check_engine(engine, limits)
        graded = check_tasks(engine, chosen, limits, workers=workers, build=build, progress=shown)
        checks.append(check_container(engine, [task.image for task in chosen], limits))
    checks += [finding.check for finding in graded]
    failed = [check for check in checks if check.status is Status.failed]
    if json_:
        print_json({"ok": not failed, "checks": [check.to_json() for check in checks]}, output)
    else:
        columns = [
            Column("name", "Check"),
            Column("subject", "Subject"),
            Column("status", "Status"),
            Column("reason", "Result"),
            Column("advice", "What to do"),
        ]
        print_table(Table("Can the live track run here?", columns, [check.to_json() for check in checks]), form, output)
    if failed:
        what = [check.subject if check.name == "grades" else check.name for check in failed]
        typer.echo(f"error: failed checks: {', '.join(what)}", err=True)
        raise typer.Exit(1)


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    engines: EnginesOption = None,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Remove twinbench's containers whose run is not active any more.

    Only containers of the namespace in TWINBENCH_NAMESPACE are removed, or of the unnamed one if that is not set.
    """
    from dataclasses import asdict

    from twinbench.containers.engine import connected_engines
    from twinbench.containers.ownership import collect_garbage, find_orphaned_containers

    with connected_engines(engines or ()) as each_engine:
        found = [
            each
            for engine in each_engine
            for each in (find_orphaned_containers if dry_run else collect_garbage)(engine)
        ]
    rows = [asdict(each) for each in found]
    if json_:
        print_json({"removed": [] if dry_run else rows, "abandoned": rows if dry_run else []}, output)
        return
    title = f"{format_count(len(rows), 'container')} {'would be removed' if dry_run else 'removed'}"
    if form is Format.table and not rows:
        write_text(f"{title}\n", output)
        return
    columns = [
        Column("name", "Container"),
        Column("role", "Role"),
        Column("run", "Run"),
        Column("case", "Case"),
        Column("why", "Why"),
    ]
    print_table(Table(title, columns, rows), form, output)


def _grade_run(
    run_dir: Path, limits: GradingLimits, workers: int, *, build: bool, json_: bool, form: Format, output: str
) -> None:
    """Grade all patches of a run again, and print what changed."""
    from dynamic_track.running.rerun import regrade_run

    with progress() as shown:
        regraded = regrade_run(run_dir, build=build, workers=workers, limits=limits, progress=shown)
    summary = regraded.summary
    if json_:
        print_json(regraded.to_json(), output)
    else:
        columns = [Column("case", "Case"), Column("trial", "Trial", kind=int), Column("counts", "Counted as")]
        rows = [{"case": each.id, "trial": each.trial, "counts": each.outcome_class} for each in summary.trials]
        notes = [f"verdicts that changed: {', '.join(regraded.changed) or 'none'}"]
        if regraded.without_task:
            notes.append(f"not graded, because the task was not found: {', '.join(regraded.without_task)}")
        print_table(Table(f"Verdicts of {run_dir}, graded again", columns, rows, notes), form, output)
    if summary.score.count("infra") or regraded.without_task:
        raise typer.Exit(1)


def _verdict_table(grades: Grades, name: str) -> Table:
    columns = [
        Column("id", "Task"),
        Column("verdict", "Verdict"),
        Column("cause", "Cause"),
        Column("failing", "Failing tests", kind=int),
        Column("seconds", "Tests took, s", 1),
        Column("kept", "From cache", kind=bool),
        Column("detail", "Detail"),
        Column("log", "Output"),
    ]
    rows = [_verdict_row(verdict) for verdict in grades.verdicts]
    unresolved = len(rows) - grades.resolved - grades.infra
    notes = [
        (
            f"{format_count(len(rows), 'case')}: {grades.resolved:,} resolved, {unresolved:,} unresolved, "
            f"{grades.infra:,} infra"
        )
    ]
    if grades.missing:
        notes.append(f"without a patch, and not graded: {format_count(len(grades.missing), 'task')} of {name}")
    return Table(f"Verdicts on {name}", columns, rows, notes)


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    failing = None if verdict.tests is None else sum(len(each["failure"]) for each in verdict.tests.values())
    return {
        "id": verdict.id,
        "verdict": "none" if verdict.resolved is None else "resolved" if verdict.resolved else "unresolved",
        "cause": None if verdict.cause is None else str(verdict.cause),
        "failing": failing,
        "seconds": verdict.seconds,
        "kept": verdict.from_cache,
        "detail": verdict.detail,
        "log": None if verdict.log is None else str(verdict.log),
    }


_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Tasks and containers": {"tasks": tasks, "doctor": doctor, "gc": gc},
    "Runs": {"run": running.run, "replay": replaying.replay, "grade": grade},
    "Run directories": {
        "list": runs.list_,
        "status": runs.status,
        "stop": runs.stop,
        "merge": runs.merge,
        "import": importing.import_,
        "rm": runs.rm,
    },
    "Results": {
        "score": scores.score,
        "compare": scores.compare,
        "report": report.report,
        "export": exporting.export,
        "audit": auditing.audit,
    },
}
"""The commands in the panels of ``twinbench dynamic --help``."""

for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)
