"""Options that several commands share, so that each is defined and explained in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli import completion
from twinbench.cli.help import Panel
from twinbench.cli.output import Format
from twinbench.statistics import COMPARISON_RESAMPLES, DEFAULT_LEVEL, DEFAULT_RESAMPLES

if TYPE_CHECKING:
    from twinbench.statistics import Resampling


_ROUTER_HELP = (
    "A built-in or installed name, package.module:Class, path/to/file.py:Class, trb:module:factory, the folder of a "
    "trained router or http://…; arguments as ?name=value&…"
)


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="TWINBENCH_STORE",
        metavar="DIR",
        help="The store of banks and results; default: results/store in a checkout, else your data directory.",
        show_default=False,
        rich_help_panel=Panel.BANK,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON only.", rich_help_panel=Panel.OUTPUT)]
FormatOption = Annotated[
    Format, typer.Option("--format", help="Output format of the table.", rich_help_panel=Panel.OUTPUT)
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Where to write; - is standard output.", rich_help_panel=Panel.OUTPUT
    ),
]
BankOption = Annotated[
    str | None,
    typer.Option(
        "--bank",
        metavar="NAME",
        help="A bank of the store; default: the embedded one.",
        autocompletion=completion.banks,
        show_default=False,
        rich_help_panel=Panel.BANK,
    ),
]
BankArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A bank of the store.", autocompletion=completion.banks)
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="PART",
        help="Only this part of the bank (see: twinbench bank split).",
        show_default=False,
        rich_help_panel=Panel.BANK,
        autocompletion=completion.parts,
    ),
]
TokenizersOption = Annotated[
    str,
    typer.Option(
        "--tokenizers",
        metavar="SET",
        help="The tokenizer set: offline, or native (fetched from the Hugging Face hub).",
        rich_help_panel=Panel.BANK,
    ),
]
OrderSeedOption = Annotated[
    int,
    typer.Option(
        "--order-seed",
        metavar="N",
        min=0,
        help="Seed of the order in which routers see the trajectories; it must not change a router's score.",
        rich_help_panel=Panel.BANK,
    ),
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Compute again even if the store has the result.", rich_help_panel=Panel.BANK)
]
InSampleOption = Annotated[
    bool,
    typer.Option(
        "--in-sample",
        help="Also score trained routers on what they were trained on; such rows are marked wherever they are shown.",
        rich_help_panel=Panel.BANK,
    ),
]
RoutersArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ROUTER",
        help=_ROUTER_HELP,
        autocompletion=completion.routers,
        show_default=False,
    ),
]
RouterArgument = Annotated[
    str,
    typer.Argument(
        metavar="ROUTER",
        help=_ROUTER_HELP,
        autocompletion=completion.routers,
    ),
]
RouterApiBaseOption = Annotated[
    str | None,
    typer.Option(
        "--api-base",
        metavar="URL",
        help="The OpenAI-compatible gateway for routers that ask an LLM themselves, such as https://host/v1.",
        show_default=False,
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
GatewayKeyEnvOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help="The environment variable with the gateway's API key; leave it out if it needs none.",
        show_default=False,
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
RouterUsdOption = Annotated[
    str | None,
    typer.Option(
        "--router-usd",
        metavar="USD",
        help="Spending cap for the routers' own LLM calls in this command; required unless the pool is free.",
        show_default=False,
        rich_help_panel=Panel.LLM_CALLS,
    ),
]
RouterPoolOption = Annotated[
    str,
    typer.Option(
        "--pool",
        metavar="POOL",
        help="The live pool that routers may ask, by name or file.",
        rich_help_panel=Panel.LLM_CALLS,
        autocompletion=completion.manifests,
    ),
]
PricesOption = Annotated[
    str | None,
    typer.Option(
        "--prices",
        metavar="MANIFEST",
        help="Score with the rates and cache lifetime of another static manifest, by name or file; results get another "
        "fingerprint.",
        autocompletion=completion.manifests,
        show_default=False,
        rich_help_panel=Panel.BANK,
    ),
]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation: bank, split, prices, cache."""

    bank: BankOption = None
    split: SplitOption = None
    tokenizers: TokenizersOption = "offline"
    prices: PricesOption = None
    order_seed: OrderSeedOption = 0
    no_cache: NoCacheOption = False
    in_sample: InSampleOption = False
    store: StoreOption = None


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """Options of the gateway for routers that ask an LLM themselves."""

    api_base: RouterApiBaseOption = None
    api_key_env: GatewayKeyEnvOption = None
    router_usd: RouterUsdOption = None
    pool: RouterPoolOption = "live-2026-04"


PoolsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="POOL",
        help="A shipped manifest by name, or a file of your own.",
        autocompletion=completion.manifests,
        show_default=False,
    ),
]
PoolArgument = Annotated[
    str,
    typer.Argument(
        metavar="POOL", help="A shipped manifest by name, or a file of your own.", autocompletion=completion.manifests
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        "--resamples",
        metavar="N",
        min=0,
        help="How often trajectories are resampled for intervals and ranks; 0: no intervals.",
        rich_help_panel=Panel.STATISTICS,
    ),
]
ComparisonResamplesOption = Annotated[
    int,
    typer.Option(
        "--resamples",
        metavar="N",
        help="How often trajectories are resampled for intervals, tests and ranks.",
        rich_help_panel=Panel.STATISTICS,
    ),
]
LevelOption = Annotated[
    float,
    typer.Option(
        "--level", metavar="SHARE", help="The level of intervals and ranks.", rich_help_panel=Panel.STATISTICS
    ),
]
SeedOption = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, help="Seed of the resampling.", rich_help_panel=Panel.STATISTICS),
]
PredictionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--predictions",
        metavar="FILE",
        help="Also score a prediction file (JSONL, or - for standard input); repeatable.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ResamplingOptions:
    """Options of the resampling of trajectories."""

    resamples: ResamplesOption = DEFAULT_RESAMPLES
    level: LevelOption = DEFAULT_LEVEL
    seed: SeedOption = 0

    def resampling(self) -> Resampling | None:
        """Return the resampling settings; None if no intervals are wanted.

        Raises:
            UsageError: too few resamples, or an invalid level.
        """
        from twinbench.errors import UsageError
        from twinbench.statistics import MAX_LEVEL, MAX_RESAMPLES, MIN_LEVEL, MIN_RESAMPLES, Resampling

        if not MIN_LEVEL <= self.level <= MAX_LEVEL:
            what = f"must be between {MIN_LEVEL} and {MAX_LEVEL}, such as 0.95"
            raise UsageError(f"--level {self.level}: {what}")
        if self.resamples > MAX_RESAMPLES:
            raise UsageError(f"--resamples {self.resamples}: at most {MAX_RESAMPLES:,} are allowed; more add nothing")
        if not self.resamples:
            return None
        if self.resamples < MIN_RESAMPLES:
            raise UsageError(
                f"--resamples {self.resamples}: intervals need at least {MIN_RESAMPLES}; 0 means no intervals"
            )
        return Resampling(self.resamples, self.level, self.seed)


@dataclass(frozen=True, kw_only=True)
class ComparisonResamplingOptions(ResamplingOptions):
    """Options of the resampling for a comparison, which always needs resamples."""

    resamples: ComparisonResamplesOption = COMPARISON_RESAMPLES

    def resampling(self) -> Resampling:
        """Return the resampling settings.

        Raises:
            UsageError: too few resamples, or an invalid level.
        """
        from twinbench.errors import UsageError

        if (found := super().resampling()) is None:
            raise UsageError("--resamples 0: a comparison needs resamples")
        return found
