"""``twinbench pool``: locked manifests of tiers, models, prices and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.help import Group, Panel
from twinbench.cli.options import FormatOption, JsonOption, OutputOption, PoolArgument, PoolsArgument
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from twinbench.errors import Problem
    from twinbench.providers.checking import CandidateCheck
    from twinbench.storage.manifests import AnyManifest

LiveOption = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Also send a request to every candidate through a gateway, which costs less than a cent.",
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
ApiBaseOption = Annotated[
    str | None,
    typer.Option(
        "--api-base",
        metavar="URL",
        help="The OpenAI-compatible gateway to ask.",
        show_default=False,
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
ApiKeyEnvOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help="The environment variable with the gateway's API key; default: no key is sent.",
        show_default=False,
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
MaxUsdOption = Annotated[
    float,
    typer.Option(
        "--max-usd",
        metavar="USD",
        min=0.0,
        help="Spending cap of --live.",
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
CallTimeoutOption = Annotated[
    float,
    typer.Option(
        "--call-timeout",
        metavar="SECONDS",
        min=0.1,
        help="Time limit of each request.",
        rich_help_panel=Panel.LLM_CALLS,
    ),
]

app = typer.Typer(cls=Group, no_args_is_help=True)

_PRICES = (
    Column("input", "Input", 5),
    Column("cache_read", "Cache read", 5),
    Column("cache_write", "Cache write", 5),
    Column("output", "Output", 5),
)
_HOUR = Column("cache_write_1h", "Cache write, 1 h", 5)
"""This column is shown if a candidate of the pool has such a price."""


@app.command("list")
def list_(json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """List the shipped manifests."""
    from twinbench.storage.manifest_files import load_manifest, manifest_names

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
    if form.for_people:
        rows = [row | {"fingerprint": str(row["fingerprint"])[:12]} for row in rows]
    print_table(Table("Manifests", columns, rows), form, output)


@app.command()
def show(
    pool: PoolArgument, *, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-"
) -> None:
    """Show a manifest: candidates with tier and prices, or the instances of splits."""
    from twinbench.storage.manifest_files import load_manifest

    manifest = load_manifest(pool)
    if json_:
        print_json({"fingerprint": manifest.fingerprint, **manifest.model_dump(mode="json")}, output)
        return
    print_table(_table(manifest), form, output)


@app.command()
def check(
    pools: PoolsArgument = None,
    *,
    live: LiveOption = False,
    api_base: ApiBaseOption = None,
    api_key_env: ApiKeyEnvOption = None,
    max_usd: MaxUsdOption = 0.01,
    call_timeout: CallTimeoutOption = 60.0,
    json_: JsonOption = False,
) -> None:
    """Check manifests: fields, prices and tiers, and that shipped ones match their locked fingerprints.

    With --live, also check every candidate of a live pool with a gateway: that it is listed, at the locked prices, and
    answers one word under its own name, with usage that can be billed. That costs less than a cent; the maximum is
    printed first.

    Exit code 1 if a manifest is wrong.
    """
    from twinbench.errors import UsageError
    from twinbench.storage.manifest_files import check_manifest, manifest_names

    if not live and (api_base is not None or api_key_env is not None):
        raise UsageError("--api-base and --api-key-env need --live")
    found = {pool: check_manifest(pool) for pool in pools or manifest_names()}
    asked = _check_live(found, pools, api_base, api_key_env, max_usd, call_timeout) if live else {}
    if json_:
        problems_ = {pool: [problem.to_json() for problem in problems] for pool, problems in found.items()}
        shown = {pool: answers.to_json() for pool, answers in asked.items()}
        print_json({"pools": problems_} | ({"live": shown} if live else {}))
    else:
        for pool, problems in found.items():
            typer.echo(make_printable(f"{pool}: {'ok' if not problems else format_count(len(problems), 'problem')}"))
            for problem in problems:
                typer.echo(make_printable(f"  {problem}"), err=True)
        for pool, answers in asked.items():
            print_table(answers.table(pool))
            for line in answers.problems():
                typer.echo(make_printable(f"  {line}"), err=True)
    if any(found.values()) or any(answers.problems() for answers in asked.values()):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _LiveCheck:
    """The results of checking the candidates of one pool with a gateway."""

    estimate_usd: Decimal
    found: list[CandidateCheck]

    @property
    def spent_usd(self) -> Decimal:
        return sum((each.spent_usd for each in self.found), Decimal(0))

    def problems(self) -> list[str]:
        return [f"{each.id}: {problem}" for each in self.found for problem in each.problems]

    def to_json(self) -> dict[str, Any]:
        from twinbench.providers.checking import decimal_text

        return {
            "estimate_usd": decimal_text(self.estimate_usd),
            "spent_usd": decimal_text(self.spent_usd),
            "candidates": [each.to_json() for each in self.found],
        }

    def table(self, pool: str) -> Table:
        rows = [
            {
                "id": each.id,
                "listed": each.listed,
                "prices": _price_status(each),
                "answers": each.answered,
                "served_model": each.served_model,
                "usage": "ok" if each.usage is not None else None,
                "cost_usd": None if each.cost_usd is None else float(each.cost_usd),
                "reported_cost_usd": None if each.reported_cost_usd is None else float(each.reported_cost_usd),
            }
            for each in self.found
        ]
        columns = [
            Column("id", "Candidate"),
            Column("listed", "Listed", kind=bool),
            Column("prices", "Prices"),
            Column("answers", "Answers"),
            Column("served_model", "Served as"),
            Column("usage", "Usage"),
            Column("cost_usd", "Cost, USD", 7),
            Column("reported_cost_usd", "Reported, USD", 7),
        ]
        notes = [f"spent {self.spent_usd:.7f} USD at the locked prices, of at most {self.estimate_usd:.7f} estimated"]
        for each in self.found:
            if each.proposed_served_as is not None:
                names = ", ".join(f'"{name}"' for name in each.proposed_served_as)
                notes.append(f"{each.id}: if that is the same model, set in a pool of your own: served_as = [{names}]")
        return Table(f"{pool}, as served by the gateway", columns, rows, notes)


def _check_live(
    found: Mapping[str, Sequence[Problem]],
    named: Sequence[str] | None,
    api_base: str | None,
    api_key_env: str | None,
    max_usd: float,
    within_s: float,
) -> dict[str, _LiveCheck]:
    """Check every valid live pool that is named with the gateway."""
    from twinbench.errors import UsageError
    from twinbench.providers.checking import check_candidates, estimate_usd
    from twinbench.providers.gateway import Gateway
    from twinbench.storage.manifest_files import load_manifest
    from twinbench.storage.manifests import LiveManifest

    if not named:
        raise UsageError("--live makes paid API calls: name the pool, such as live-2026-04")
    if api_base is None:
        raise UsageError("--live needs the gateway's address: --api-base https://host/v1")
    manifests = {pool: load_manifest(pool) for pool, problems in found.items() if not problems}
    for pool, manifest in manifests.items():
        if not isinstance(manifest, LiveManifest):
            raise UsageError(f"{pool} is a manifest of kind {manifest.kind!r}: --live is for live pools")
    pools = {pool: manifest for pool, manifest in manifests.items() if isinstance(manifest, LiveManifest)}
    estimates = {pool: estimate_usd(manifest.candidates) for pool, manifest in pools.items()}
    total = sum(estimates.values(), Decimal(0))
    if total > Decimal(str(max_usd)):
        raise UsageError(f"the requests may cost {total:.7f} USD, more than --max-usd {max_usd:g}")
    asked: dict[str, _LiveCheck] = {}
    with Gateway(api_base, api_key_env) as gateway, progress() as shown:
        count = sum(len(manifest.candidates) for manifest in pools.values())
        typer.echo(f"asking {format_count(count, 'model')} for one word each, for {total:.7f} USD at most", err=True)
        for pool, manifest in pools.items():
            asked[pool] = _LiveCheck(estimates[pool], check_candidates(gateway, manifest.candidates, within_s, shown))
    return asked


def _price_status(found: CandidateCheck) -> str:
    if not found.listed_usd:
        return "not reported"
    return "differ" if found.prices_differ else "as locked"


def _table(manifest: AnyManifest) -> Table:
    notes = [f"fingerprint {manifest.fingerprint}", f"source {manifest.source}"]
    if manifest.kind == "splits":
        rows: list[dict[str, Any]] = [
            {"name": split.name, "dataset": split.dataset, "count": split.count, "listed": split.instances is not None}
            for split in manifest.splits
        ]
        columns = [Column(key, key.capitalize()) for key in ("name", "dataset", "count", "listed")]
        return Table(manifest.name, columns, rows, notes)
    if manifest.kind == "banks":
        rows = [bank.model_dump(exclude={"labels"}) for bank in manifest.banks]
        columns = [Column(key, key.capitalize()) for key in ("name", "hub", "file", "rows", "trajectories", "sha256")]
        return Table(manifest.name, columns, rows, notes)
    if manifest.kind == "static":
        from twinbench.routing.tiers import Tier

        rows = [
            {"tier": tier.label, **_prices(manifest.rates[tier]), "models": ", ".join(manifest.models[tier])}
            for tier in Tier
        ]
        columns = [Column("tier", "Tier"), *_PRICES, Column("models", "Models that decided the labels")]
        notes.insert(0, "USD per million tokens")
        sets = ", ".join(manifest.tokenizer_sets)
        notes.insert(1, f"cache lives {format_count(manifest.cache_ttl_steps, 'step')}; tokenizer sets {sets}")
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
    has_hour = any(candidate.prices.cache_write_1h is not None for candidate in manifest.candidates)
    columns = [
        Column("id", "Candidate"),
        Column("tier", "Tier"),
        *_PRICES,
        *([_HOUR] if has_hour else []),
        Column("context_window", "Context", kind=int),
        Column("max_tokens", "Max tokens", kind=int, drop_order=1),
        Column("temperature", "Temperature", 1, drop_order=2),
        Column("cache_control", "Cache marks", drop_order=3),
    ]
    notes.insert(0, "USD per million tokens")
    notes.insert(
        1,
        f"penalty per unresolved case {manifest.unresolved_penalty_usd} USD; "
        f"cache lifetime {manifest.wallclock_ttl_seconds} s",
    )
    return Table(manifest.name, columns, rows, [*notes, *manifest.division_notes])


def _prices(prices: Any) -> dict[str, float | None]:
    found = {column.key: getattr(prices, column.key, None) for column in (*_PRICES, _HOUR)}
    return {name: None if price is None else float(price) for name, price in found.items()}
