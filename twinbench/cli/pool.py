"""``twinbench pool``: locked manifests of tiers, models, prices and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from twinbench.cli.options import FormatOption, JsonOption, OutputOption, PoolArgument, PoolsArgument
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable
from twinbench.wording import counted

if TYPE_CHECKING:
    from twinbench.pools import LiveManifest, SplitsManifest, StaticManifest

app = typer.Typer(help="Show and check the locked manifests: tiers, models, prices, splits.", no_args_is_help=True)

_PRICES = (
    Column("input", "Input", 5),
    Column("cache_read", "Cache read", 5),
    Column("cache_write", "Cache write", 5),
    Column("output", "Output", 5),
)


@app.command("list")
def list_(json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """List the shipped manifests."""
    from twinbench.pools import load_manifest, manifest_names

    manifests = [load_manifest(name) for name in manifest_names()]
    rows = [
        {
            "name": manifest.name,
            "kind": manifest.kind,
            "version": manifest.version,
            "dated": manifest.dated.isoformat(),
            "fingerprint": manifest.fingerprint,
            "source": manifest.source,
        }
        for manifest in manifests
    ]
    if json_:
        print_json({"pools": rows}, output)
        return
    columns = [Column(key, key.capitalize()) for key in ("name", "kind", "version", "dated", "fingerprint", "source")]
    if form is Format.table:
        rows = [row | {"fingerprint": str(row["fingerprint"])[:12]} for row in rows]
    print_table(Table("Manifests", columns, rows), form, output)


@app.command()
def show(
    pool: PoolArgument, *, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-"
) -> None:
    """Show a manifest: candidates with tier and prices, or the instances of splits."""
    from twinbench.pools import load_manifest

    manifest = load_manifest(pool)
    if json_:
        print_json({"fingerprint": manifest.fingerprint, **manifest.model_dump(mode="json")}, output)
        return
    print_table(_table(manifest), form, output)


@app.command()
def check(pools: PoolsArgument = None, *, json_: JsonOption = False) -> None:
    """Check manifests: fields, prices and tiers, and that shipped ones are as locked.

    Exit code 1 where one is wrong.
    """
    from twinbench.pools import check_manifest, manifest_names

    found = {pool: check_manifest(pool) for pool in pools or manifest_names()}
    if json_:
        print_json({"pools": {pool: [problem.to_json() for problem in problems] for pool, problems in found.items()}})
    else:
        for pool, problems in found.items():
            typer.echo(printable(f"{pool}: {'ok' if not problems else counted(len(problems), 'problem')}"))
            for problem in problems:
                typer.echo(printable(f"  {problem}"), err=True)
    if any(found.values()):
        raise typer.Exit(1)


def _table(manifest: StaticManifest | LiveManifest | SplitsManifest) -> Table:
    notes = [f"fingerprint {manifest.fingerprint}", f"source {manifest.source}"]
    if manifest.kind == "splits":
        rows: list[dict[str, Any]] = [
            {"name": split.name, "dataset": split.dataset, "count": split.count, "listed": split.instances is not None}
            for split in manifest.splits
        ]
        columns = [Column(key, key.capitalize()) for key in ("name", "dataset", "count", "listed")]
        return Table(manifest.name, columns, rows, notes)
    if manifest.kind == "static":
        from twinbench.tiers import Tier

        rows = [
            {"tier": tier.label, **_prices(manifest.rates[tier]), "models": ", ".join(manifest.models[tier])}
            for tier in Tier
        ]
        columns = [Column("tier", "Tier"), *_PRICES, Column("models", "Models that decided the labels")]
        notes.insert(0, "USD per million tokens")
        sets = ", ".join(manifest.tokenizer_sets)
        notes.insert(1, f"cache lives {counted(manifest.cache_ttl_steps, 'step')}; tokenizer sets {sets}")
        return Table(manifest.name, columns, rows, notes)
    rows = [
        {
            "id": candidate.id,
            "tier": candidate.tier,
            **_prices(candidate.prices),
            "context_window": candidate.context_window,
            "max_tokens": candidate.max_tokens,
            "temperature": candidate.temperature,
            "cache_control": candidate.cache_control,
        }
        for candidate in manifest.candidates
    ]
    columns = [
        Column("id", "Candidate"),
        Column("tier", "Tier"),
        *_PRICES,
        Column("context_window", "Context"),
        Column("max_tokens", "Max tokens"),
        Column("temperature", "Temperature", 1),
        Column("cache_control", "Cache marks"),
    ]
    notes.insert(0, "USD per million tokens")
    notes.insert(
        1,
        f"unresolved cases add {manifest.unresolved_penalty_usd} USD; caches live {manifest.wallclock_ttl_seconds} s",
    )
    return Table(manifest.name, columns, rows, notes)


def _prices(prices: Any) -> dict[str, float]:
    return {column.key: float(getattr(prices, column.key)) for column in _PRICES}
