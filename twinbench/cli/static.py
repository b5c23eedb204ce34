"""``twinbench static``: routers scored offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.options import (
    BankOption,
    DecisionTimeoutOption,
    FormatOption,
    FreshOption,
    IsolationLevel,
    IsolationOption,
    JsonOption,
    LoadTimeoutOption,
    OutputOption,
    PluginEnvOption,
    PluginImageOption,
    PluginMemoryOption,
    PluginWheelsOption,
    PythonOption,
    RouterApiBaseOption,
    RouterApiKeyEnvOption,
    RouterArgument,
    RouterPoolOption,
    RoutersArgument,
    RouterUsdOption,
    SplitOption,
    StoreOption,
    TokenizersOption,
    plugin_limits,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable, progress
from twinbench.wording import counted, trajectories

if TYPE_CHECKING:
    from static_track.board import Board, Judge
    from twinbench.calls.metered import MeteredLlm

app = typer.Typer(help="Score routers offline: deterministic arithmetic, no judge, no spend.", no_args_is_help=True)

_COLUMNS = (
    Column("router", "Router"),
    Column("combined", "Combined", 2),
    Column("row_pass", "RowPass", 2),
    Column("row_exact", "RowExact", 2),
    Column("traj_pass", "TrajPass", 2),
    Column("cost_save", "CostSave", 2),
    Column("errors", "Errors"),
    Column("latency_p50_ms", "p50 ms", 3),
    Column("latency_p95_ms", "p95 ms", 3),
    Column("latency_p99_ms", "p99 ms", 3),
)


@app.command()
def score(
    routers: RoutersArgument = None,
    *,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            help="Score a prediction file (JSONL); may be given several times.",
            show_default=False,
        ),
    ] = None,
    bank: BankOption = None,
    split: SplitOption = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="Add the released scorer's older blocks (with --json).")
    ] = False,
    fresh: FreshOption = False,
    tokenizers: TokenizersOption = "offline",
    python: PythonOption = None,
    plugin_memory: PluginMemoryOption = 4096,
    plugin_env: PluginEnvOption = None,
    isolation: IsolationOption = IsolationLevel.default,
    plugin_image: PluginImageOption = None,
    plugin_wheels: PluginWheelsOption = None,
    load_timeout: LoadTimeoutOption = 120,
    decision_timeout: DecisionTimeoutOption = 30,
    api_base: RouterApiBaseOption = None,
    api_key_env: RouterApiKeyEnvOption = None,
    router_usd: RouterUsdOption = None,
    pool: RouterPoolOption = "live-2026-04",
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Score routers and prediction files on a bank, beside the references.

    Exit code 1 where a router failed on every row, or ten times in a row and was given up on.
    """
    from static_track.board import Judge
    from static_track.starter import open_bank
    from twinbench.plugins.spec import parse_spec
    from twinbench.providers.metering import metered_llm
    from twinbench.store import Store

    processes = any(parse_spec(router).has_process for router in routers or [])
    plugins = plugin_limits(
        load_timeout,
        decision_timeout,
        plugin_memory,
        python,
        plugin_env,
        processes=processes,
        isolation=isolation,
        image=plugin_image,
        wheels=plugin_wheels,
    )
    with (
        progress() as shown,
        open_bank(bank, Store(store), shown) as opened,
        metered_llm(api_base, api_key_env, router_usd, pool) as llm,
    ):
        judge = Judge(
            opened,
            split=split,
            tokenizers=tokenizers,
            fresh=fresh,
            plugins=plugins,
            llm=llm,
            pool=pool,
            progress=shown,
        )
        _tell_estimate(judge, llm)
        board = judge.board(routers or [], predictions or [])
    for warning in judge.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)
    if json_:
        print_json(board.to_json(legacy=legacy), output)
    else:
        print_table(board_table(board), form, output)
    failed = [entry for entry in board.entries if entry.failure is not None]
    for entry in failed:
        typer.echo(printable(f"error: {entry.router} {entry.failure}: {entry.first_error}"), err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def predict(
    router: RouterArgument,
    *,
    output: OutputOption = "-",
    bank: BankOption = None,
    split: SplitOption = None,
    fresh: FreshOption = False,
    tokenizers: TokenizersOption = "offline",
    python: PythonOption = None,
    plugin_memory: PluginMemoryOption = 4096,
    plugin_env: PluginEnvOption = None,
    isolation: IsolationOption = IsolationLevel.default,
    plugin_image: PluginImageOption = None,
    plugin_wheels: PluginWheelsOption = None,
    load_timeout: LoadTimeoutOption = 120,
    decision_timeout: DecisionTimeoutOption = 30,
    api_base: RouterApiBaseOption = None,
    api_key_env: RouterApiKeyEnvOption = None,
    router_usd: RouterUsdOption = None,
    pool: RouterPoolOption = "live-2026-04",
    json_: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output; needs -o FILE.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Write a router's predictions for a bank as JSONL: {"id", "tier_id"} or {"id", "error"} a row.

    Exit code 1 where the router failed on every row, or ten times in a row and was given up on.
    """
    from static_track.board import Judge
    from static_track.predictions import prediction_lines
    from static_track.starter import open_bank
    from twinbench.cli.output import write_text
    from twinbench.errors import UsageError
    from twinbench.plugins.spec import parse_spec
    from twinbench.providers.metering import metered_llm
    from twinbench.store import Store

    if json_ and output == "-":
        raise UsageError("--json prints a summary on standard output, where the predictions go: add -o FILE")
    processes = parse_spec(router).has_process
    plugins = plugin_limits(
        load_timeout,
        decision_timeout,
        plugin_memory,
        python,
        plugin_env,
        processes=processes,
        isolation=isolation,
        image=plugin_image,
        wheels=plugin_wheels,
    )
    with (
        progress() as shown,
        open_bank(bank, Store(store), shown) as opened,
        metered_llm(api_base, api_key_env, router_usd, pool) as llm,
    ):
        judge = Judge(
            opened,
            split=split,
            tokenizers=tokenizers,
            fresh=fresh,
            plugins=plugins,
            llm=llm,
            pool=pool,
            progress=shown,
        )
        _tell_estimate(judge, llm)
        found = judge.predictions(router)
        write_text("".join(line + "\n" for line in prediction_lines(found, opened.row_ids)), output)
        summary: dict[str, Any] = {
            "router": router,
            "bank": opened.info.name,
            "split": split,
            "rows": len(found.row_nos),
            "errors": len(found.errors),
            "output": output,
            "router_usd": found.own_usd,
        }
    for warning in judge.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)
    if json_:
        print_json(summary)
    elif output != "-":
        predictions = f"{counted(len(found.row_nos), 'prediction')}, {counted(len(found.errors), 'error')}"
        if found.own_usd is not None:
            predictions += f", {found.own_usd:.4f} USD for LLMs of its own"
        typer.echo(printable(f"{predictions}: {output}"), err=True)
    if found.failure is not None:
        typer.echo(printable(f"error: {router} {found.failure}: {next(iter(found.errors.values()))}"), err=True)
        raise typer.Exit(1)


def _tell_estimate(judge: Judge, llm: MeteredLlm | None) -> None:
    """Say what may be spent before anything is."""
    if llm is None:
        return
    least, most = judge.own_estimate_usd()
    cap = "without a cap" if llm.budget.limit_usd is None else f"capped at {llm.budget.limit_usd} USD"
    typer.echo(
        f"a router that asks an LLM about every row spends about {least:.4f} to {most:.4f} USD (pool {llm.pool.name}, "
        f"cheapest to dearest); {cap}",
        err=True,
    )


@app.command()
def published(json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """Show the scores that the paper reports on its 970-row bank."""
    from twinbench.published import published_results

    results = published_results()
    if json_:
        print_json(results, output)
        return
    columns = [column for column in _COLUMNS if not column.key.startswith(("latency", "errors"))]
    notes = [f"Source: {results['source']}. The bank is not shipped, so these cannot be computed again here."]
    print_table(Table("Published static scores, 970 rows", columns, results["static_970_rows"], notes), form, output)


def board_table(board: Board) -> Table:
    """A board as a table, the references drawn back."""
    from twinbench.fingerprint import short

    part = f", part {board.split}" if board.split is not None else ""
    title = (
        f"{board.bank.name}{part}: {counted(board.rows, 'row')}, {trajectories(board.trajectories)}; "
        f"protocol {short(board.protocol)}, bank {short(board.bank.sha256)}"
    )
    rows = [
        {
            "router": f"{entry.router} *" if entry.reference else entry.router,
            "reference": entry.reference,
            **entry.score.scores,
            "errors": entry.score.counts["errors"],
            **{f"latency_{name}_ms": value for name, value in entry.latency_ms.items()},
        }
        for entry in board.entries
    ]
    notes = [
        f"{entry.router}: {counted(entry.score.counts['errors'], 'row')} failed, the first: {entry.first_error}"
        for entry in board.entries
        if entry.first_error is not None
    ]
    notes += [
        f"{entry.router}: asked LLMs itself for {entry.own.router_usd:.4f} USD; CostSave less that: "
        + ("–" if entry.own.cost_save_net is None else f"{entry.own.cost_save_net:.2f}")
        for entry in board.entries
        if entry.own is not None
    ]
    notes.append(
        "* reference; labels and cost-optimal see the labels and are no routers. Percentages, higher is better."
    )
    return Table(title, _COLUMNS, rows, notes, dimmed="reference", caveat=board.bank.caveat)
