"""The static track: scoring over stored counts, importing, and a bank of millions of rows."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import twinbench as tb
from benchmarks.measuring import Measurement, best_of, seconds
from static_track.banks.bank import Bank
from static_track.banks.importing import read_bank
from static_track.board import Board
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store
from twinbench.text.tokens import find_tokenizer_set

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
BANK = SHARED / "banks" / "swemini_g3p_dev" / "question_bank.jsonl.gz"
PREDICTIONS = SHARED / "vectors" / "static" / "swemini_g3p_dev" / "predictions.noisy.jsonl"

TWINBENCH = str(Path(sys.executable).parent / "twinbench")
_SETS = 1000
_BARE_TYPER = """
import typer

app = typer.Typer()


@app.command()
def one():
    pass


@app.command()
def two():
    pass


app()
"""

_BARE_COMMAND = """
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def one(path: Annotated[Path | None, typer.Option(help="a file")] = None, number: int = 1) -> None:
    import duckdb
    import numpy
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

    class Row(BaseModel):
        number: int

    table = Table("number")
    table.add_row(str(Row(number=number).number))
    Console().print(table)


@app.command()
def two() -> None:
    pass


app()
"""
"""What any command of these libraries costs; ``import pydantic`` and ``import rich`` alone load next to nothing."""

DENSE_ROWS = (10_000, 100_000, 1_000_000, 5_000_000)


def measurements() -> Iterator[Measurement]:
    """All of them; the real bank's only where it is."""
    yield _help()
    with tempfile.TemporaryDirectory() as folder:
        if BANK.is_file():
            yield from _real_bank(Path(folder))
        else:
            print("skipped: the real bank swemini_g3p_dev is not beside the checkout", file=sys.stderr)
        yield from _dense_bank(Path(folder))


def a_command(*arguments: str, store: Store | None = None) -> Callable[[], object]:
    """A command line as a process of its own, its output taken."""
    environment = os.environ | ({} if store is None else {"TWINBENCH_STORE": str(store.root)})
    return lambda: subprocess.run(arguments, check=True, capture_output=True, env=environment)


def _help() -> Measurement:
    bare = best_of(7, a_command(sys.executable, "-c", "pass"))
    typer = best_of(7, a_command(sys.executable, "-c", _BARE_TYPER, "--help"))
    shown = best_of(7, a_command(TWINBENCH, "--help"))
    against = f"python -c pass, {seconds(bare)} (a bare typer app: {typer / bare:.1f}×)"
    return Measurement("twinbench --help", seconds(shown), against, shown / bare, 12)


def _real_bank(folder: Path) -> Iterator[Measurement]:
    manifest = static_manifest()
    tokenizers = find_tokenizer_set(manifest)
    _, parsed = read_bank(str(BANK))
    texts = parsed.messages.texts
    tokenizers.count(["warm up"])
    bare_pass = best_of(
        2, lambda: [tokenizer.count([text]) for tokenizer in tokenizers.tokenizers.values() for text in texts]
    )
    store = Store(folder / "store")
    importing = best_of(
        2, a_command(TWINBENCH, "bank", "import", str(BANK), "--name", "real", "--replace", store=store)
    )
    yield Measurement(
        "bank import, 794 rows, process and all",
        seconds(importing),
        f"both tokenizers once over the unique texts, one by one, {seconds(bare_pass)}",
        importing / bare_pass,
        2,
    )

    with gzip.open(BANK) as file:
        size = sum(map(len, file))
    with Bank.open("real", store) as bank:
        stored = bank.path.stat().st_size
        yield Measurement("store file", f"{stored / 1e6:.1f} MB", f"JSONL, {size / 1e6:.1f} MB", stored / size, 1 / 3)

        row_ids = bank.row_ids
    command = [sys.executable, "-m", "benchmarks.retokenizing", str(BANK), str(PREDICTIONS)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    expected, retokenizing_s = (json.loads(done.stdout)[key] for key in ("headline", "seconds"))
    yield from _library(store, expected, retokenizing_s)
    yield _many(store, row_ids)
    imports = best_of(7, a_command(sys.executable, "-c", "import duckdb, numpy, typer, rich, pydantic"))
    bare = best_of(7, a_command(sys.executable, "-c", _BARE_COMMAND, "one", "--number", "2"))
    for what, more in (("no intervals", ("--resamples", "0")), ("with intervals", ())):
        options = ("--predictions", str(PREDICTIONS), "--bank", "real", *more)
        printed = best_of(7, a_command(TWINBENCH, "static", "score", *options, store=store))
        yield Measurement(
            f"static score --predictions, {what}, process and all",
            seconds(printed),
            "a typer command that prints a rich table of one pydantic model and imports duckdb and numpy, "
            f"{seconds(bare)} (the five imports alone: {printed / imports:.1f}×)",
            printed / bare,
            1.6,
        )


def _library(store: Store, expected: Mapping[str, float], retokenizing_s: float) -> Iterator[Measurement]:
    """``tb.score`` of a prediction file in a process that has scored another one before."""

    def score(resampling: Resampling | None) -> Callable[[], Board]:
        return lambda: tb.score([], "real", predictions=[str(PREDICTIONS)], resampling=resampling, store=store.root)

    found = score(None)().entries[0].score.scores
    for name, value in expected.items():
        assert abs((found[name] or 0) - value) < 1e-9, (name, found[name], value)
    for what, resampling, most_ms in (("no intervals", None, 50), ("with intervals", Resampling(), 90)):
        taken = best_of(20, score(resampling))
        against = f"the headline alone by tokenizing every prefix again, {seconds(retokenizing_s)}"
        name = f"tb.score of a prediction file, 794 rows, {what}"
        yield Measurement(name, seconds(taken), against, retokenizing_s / taken, 200, at_least=True)
        yield Measurement("the same in milliseconds", seconds(taken), "–", taken * 1000, most_ms, unit=" ms")


def _many(store: Store, row_ids: Sequence[str]) -> Measurement:
    dice = random.Random(0)  # noqa: S311 - no secret
    sets = {str(number): [dice.randrange(4) for _ in row_ids] for number in range(_SETS)}
    taken = best_of(3, lambda: tb.score_many(sets, "real", store=store.root))
    name = f"tb.score_many, {_SETS:,} sets of 794 rows, metrics and costs"
    return Measurement(name, seconds(taken), "–", taken, 5, unit=" s")


def _dense_bank(folder: Path) -> Iterator[Measurement]:
    """Each size in a process of its own, so that its peak memory is its own."""
    per_row: dict[int, float] = {}
    for rows in DENSE_ROWS:
        command = [sys.executable, "-m", "benchmarks.dense", str(rows), str(folder / f"dense-{rows}.duckdb")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        found = json.loads(done.stdout)
        per_row[rows] = found["scoring_s"] / found["rows"]
        if rows == DENSE_ROWS[-1]:
            yield Measurement(
                f"headline of {found['rows']:,} rows",
                seconds(found["scoring_s"]),
                f"a bare aggregate joined to the predictions, {seconds(found['aggregate_s'])}",
                found["scoring_s"] / found["aggregate_s"],
                8,
            )
            yield Measurement(
                "its peak memory", f"{found['peak_gib']:.2f} GiB", "–", found["peak_gib"], 1.5, unit=" GiB"
            )
    growth = max(per_row[rows] for rows in DENSE_ROWS[1:]) / per_row[DENSE_ROWS[0]]
    shown = ", ".join(f"{cost * 1e9:,.0f}" for cost in per_row.values())
    yield Measurement("cost a row as the bank grows", f"ns a row: {shown}", "that of 10,000 rows", growth, 1)
