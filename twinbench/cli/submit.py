"""``twinbench submit``: submit a router's results, and verify submissions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import completion
from twinbench.cli.checks import check_columns
from twinbench.cli.dynamic.options import BuildOption, DatasetOption, WorkersOption
from twinbench.cli.help import Group, Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    FormatOption,
    GatewayKeyEnvOption,
    InSampleOption,
    JsonOption,
    OrderSeedOption,
    OutputOption,
    StoreOption,
)
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress, write_text
from twinbench.cli.plugin_options import IsolationLevel, PluginOptions
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from twinbench.api.packing import PackedSubmission, SubmissionInfo
    from twinbench.submissions.report import VerificationReport

app = typer.Typer(cls=Group, no_args_is_help=True)

_ALL = "all"
_NONE = "none"


@app.command()
@expand_option_groups
def pack(
    router: Annotated[
        str | None,
        typer.Argument(
            metavar="ROUTER",
            help="The router, as it is named everywhere; with --closed its name.",
            show_default=False,
            autocompletion=completion.routers,
        ),
    ] = None,
    *,
    banks: Annotated[
        list[str] | None,
        typer.Option(
            "--bank",
            metavar="NAME[:PART]",
            help="A bank whose predictions are submitted; the router is called where there are none yet; repeatable.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="The directory of a live run; repeatable.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            metavar="BANK=FILE",
            help="Predictions of a router that cannot be called here; repeatable.",
            show_default=False,
        ),
    ] = None,
    info: Annotated[
        Path | None,
        typer.Option(
            "--info",
            metavar="TOML",
            help="Submitter, name and licence of the submission (see --example); without it you are asked.",
            show_default=False,
        ),
    ] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Leave the router's own files out.")] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="GLOB",
            help="Further files that the router reads, relative to its folder; repeatable.",
            show_default=False,
        ),
    ] = None,
    no_secrets: Annotated[
        list[str] | None,
        typer.Option(
            "--no-secret",
            metavar="FILE:LINE",
            help="A place that looks like a secret and is none, since you looked at it; repeatable.",
            show_default=False,
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", metavar="KEY", help="Sign with this OpenSSH key, such as ~/.ssh/id_ed25519.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go in and what a reviewer will miss; write nothing.")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a commented file for --info, and leave.")] = False,
    order_seed: OrderSeedOption = 0,
    in_sample: InSampleOption = False,
    plugins: PluginOptions,
    json_: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: the entry's name with .zip.", show_default=False),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Put a submission together: one file with the router, predictions, runs, and a digest of everything.

    The same content gives the same bytes. A file with something in it that looks like a secret is never written: exit
    code 1.
    """
    from twinbench.api.packing import EXAMPLE, pack_submission
    from twinbench.errors import TwinbenchError, UsageError

    if example:
        write_text(EXAMPLE, "-")
        return
    if router is None:
        raise UsageError("name the router; of a closed one the name that it goes by, with --closed")
    about = _info(info)
    target = None if dry_run else output or Path(f"{about.name}.zip")
    with progress() as shown:
        packed = pack_submission(
            router,
            about,
            banks=banks or (),
            runs=runs or (),
            predictions=_pairs(predictions or []),
            closed=closed,
            include=include or (),
            no_secrets=no_secrets or (),
            order_seed=order_seed,
            in_sample=in_sample,
            output=target,
            sign_with=sign,
            plugins=plugins.limits(processes=True),
            store=store,
            progress=shown,
        )
    if json_:
        print_json(packed.to_json())
    else:
        print_table(_packed_table(packed))
    if packed.secrets:
        raise TwinbenchError("it holds what looks like a secret, so it would not be written")


@app.command()
@expand_option_groups
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A submission.")],
    *,
    ask: Annotated[
        str,
        typer.Option(
            "--ask",
            metavar="N|all|none",
            help="About how many rows of each bank the router decides again, in strict isolation.",
        ),
    ] = "200",
    grade: Annotated[
        str | None,
        typer.Option("--grade", metavar="N|all", help="Grade that many patches of each run again.", show_default=False),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="N|all",
            help="Replay that many cases of each run, with the router called again.",
            show_default=False,
        ),
    ] = None,
    rerun: Annotated[
        str | None,
        typer.Option(
            "--rerun",
            metavar="N|all",
            help="Run that many cases of each run again with real models, and test the claim. Costs money.",
            show_default=False,
        ),
    ] = None,
    run_usd: Annotated[
        str | None,
        typer.Option(
            "--run-usd",
            metavar="USD",
            help="The most that the reruns of each run may spend.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    api_base: Annotated[
        str | None,
        typer.Option(
            "--api-base",
            metavar="URL",
            help="The gateway for --rerun.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    api_key_env: GatewayKeyEnvOption = None,
    router: Annotated[
        str | None,
        typer.Option(
            "--router",
            metavar="SPEC",
            help="Where a closed router can be called, for --rerun.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    rerun_dir: Annotated[
        Path | None,
        typer.Option(
            "--rerun-dir",
            metavar="DIR",
            help="Where the run directories of reruns go; with the same --nonce they are continued.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    nonce: Annotated[
        str | None,
        typer.Option(
            "--nonce",
            metavar="TEXT",
            help="What samples are drawn with, to repeat a verification; default: a new one.",
            show_default=False,
        ),
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            "--signers",
            metavar="FILE",
            help="Your file of allowed signers, in the format of ssh-keygen.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    commitments: Annotated[
        Path | None,
        typer.Option(
            "--commitments",
            metavar="DIR",
            help="The folder of commitments that were posted.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="RUN|FILE",
            help="Another run or submission, which must not have the same responses; repeatable.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="TASKS",
            help="Where the tasks of its runs are, if they belong to none of our sets.",
            show_default=False,
            rich_help_panel=Panel.TASKS,
        ),
    ] = None,
    dataset: DatasetOption = None,
    build: BuildOption = False,
    workers: WorkersOption = 2,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Verify a submission without trust: nothing of it is executed outside of strict isolation.

    Exit code 1 if a check fails. Warnings, and what a full forgery could still get past, are printed and leave it at 0.
    """
    from twinbench.api.verifying import Repetition, VerificationRequest, verify_submission
    from twinbench.errors import UsageError

    if rerun is not None and api_base is None:
        raise UsageError("--rerun needs --api-base, the gateway of the models")
    if nonce is not None and not (0 < len(nonce) <= 200 and nonce.isprintable()):
        raise UsageError("--nonce: at most 200 printable characters")
    request = VerificationRequest(
        nonce=nonce,
        ask=None if ask == _NONE else _number("--ask", ask, f", {_ALL} or {_NONE}"),
        signers=signers,
        commitments=commitments,
        against=against or (),
        tasks=tasks,
        dataset=dataset,
        repetition=Repetition(
            grade=None if grade is None else _number("--grade", grade),
            replay=None if replay is None else _number("--replay", replay),
            rerun=None if rerun is None else _number("--rerun", rerun),
            run_usd=run_usd,
            api_base=api_base,
            api_key_env=api_key_env,
            router=router,
            rerun_dir=rerun_dir,
            workers=workers,
            build=build,
        ),
        store=store,
    )
    with progress() as shown:
        report = verify_submission(
            file,
            request,
            plugins=lambda: plugins.with_isolation(IsolationLevel.strict).limits(processes=True),
            tell=lambda text: typer.echo(make_printable(text), err=True),
            progress=shown,
        )
    if json_:
        print_json(report.to_json(), output)
    else:
        print_table(_report_table(report, form), form, output)
    if not report.ok:
        raise typer.Exit(1)


def _number(option: str, text: str, more: str = f" or {_ALL}") -> int:
    """Return a number of things, 0 for all."""
    from twinbench.errors import UsageError

    if text == _ALL:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise UsageError(f"{option} {text[:40]}: give a number{more}")
    return int(text)


def _pairs(given: list[str]) -> dict[str, str]:
    from twinbench.errors import UsageError

    found: dict[str, str] = {}
    for each in given:
        bank, mark, file = each.partition("=")
        if not (bank and mark and file):
            raise UsageError(f"--predictions {each}: give a bank and a file, such as rehearsal=mine.jsonl")
        if bank in found:
            raise UsageError(f"--predictions: {bank} is named twice")
        found[bank] = file
    return found


def _info(path: Path | None) -> SubmissionInfo:
    """Read submitter and submission, or ask for them on a terminal."""
    from twinbench.api.packing import make_info, read_info
    from twinbench.errors import UsageError

    if path is not None:
        return read_info(path)
    if not sys.stdin.isatty():
        raise UsageError("the submitter is missing: --info TOML (submit pack --example prints one)")
    content: dict[str, Any] = {
        "name": typer.prompt("Name of the entry (small letters, digits, -)", err=True),
        "title": typer.prompt("Name that tables show", err=True),
        "description": typer.prompt("One sentence about it", default="", err=True),
        "licence": typer.prompt("Licence of everything that is submitted", default="Apache-2.0", err=True),
        "contact": {"name": typer.prompt("Your name", err=True), "email": typer.prompt("Your address", err=True)},
    }
    return make_info(content, "what you answered")


def _packed_table(packed: PackedSubmission) -> Table:
    manifest = packed.manifest
    rows: list[dict[str, Any]] = [
        {"what": each.predictions, "division": str(each.division), "claim": _scores(each.scores)}
        for each in manifest.static
    ]
    for run in manifest.live:
        told = f"{run.resolved:,} of {run.cases * run.trials:,} resolved, bill {run.bill_usd:.4f} USD"
        rows.append({"what": run.run, "division": str(run.division), "claim": told})
    router = "closed" if manifest.router.closed else format_count(len(manifest.router.files), "file")
    size = sum(manifest.sizes.values())
    notes = [
        f"router {manifest.router.spec}: {router}",
        f"{format_count(len(manifest.files), 'file')}, {size:,} bytes; {'signed' if packed.signed else 'not signed'}",
        *(f"a reviewer will find: {each}" for each in packed.missing),
        *(f"looks like a secret: {each}" for each in packed.secrets),
        "nothing was written" if packed.output is None else f"wrote {packed.output}",
    ]
    columns = [Column("what", "What"), Column("division", "Division"), Column("claim", "Claim")]
    return Table(f"Submission {manifest.name}", columns, rows, notes)


def _scores(scores: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in scores.items())


def _report_table(report: VerificationReport, form: Format) -> Table:
    columns = check_columns(more=[Column("level", "Level", for_people=False)])
    rows = list(report.records())
    notes = []
    if form.for_people:
        passed = [row for row in rows if row["status"] == "pass" and row["subject"].startswith("runs/")]
        kept = [row for row in rows if row not in passed]
        by_run: dict[str, list[str]] = {}
        for row in passed:
            by_run.setdefault(row["subject"], []).append(row["name"])
        rows = kept
        for subject, names in by_run.items():
            rows.append(
                {
                    "name": format_count(len(names), "check"),
                    "subject": subject,
                    "status": "pass",
                    "reason": ", ".join(names),
                }
            )
    notes += [f"not verified: {each.what}. What closes it: {each.closed_by}" for each in report.doubts]
    notes.append(f"levels: {', '.join(map(str, report.levels))}; nonce {report.nonce}")
    listed = ", ".join(f"{each.subject} ({each.division})" for each in report.results)
    notes.append(f"may be listed: {listed}" if report.ok and listed else "may not be listed: a check failed")
    return Table(f"Verification of {report.name or report.file.name}", columns, rows, notes)
