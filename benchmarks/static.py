"""The static track: scoring over stored counts, importing, and a bank of millions of rows."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import Measurement, best_of, seconds
from static_track.banks.bank import Bank
from static_track.banks.importing import read_bank
from static_track.predictions import read_predictions
from static_track.results import PredictionsIdentity, Results
from static_track.scoring import Scorer
from twinbench.pools import static_manifest
from twinbench.store import Store
from twinbench.tokens import tokenizer_set

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
BANK = SHARED / "banks" / "swemini_g3p_dev" / "question_bank.jsonl.gz"
PREDICTIONS = SHARED / "vectors" / "static" / "swemini_g3p_dev" / "predictions.noisy.jsonl"

TWINBENCH = str(Path(sys.executable).parent / "twinbench")
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
    return Measurement("twinbench --help", seconds(shown), against, shown / bare, 25)


def _real_bank(folder: Path) -> Iterator[Measurement]:
    manifest = static_manifest()
    tokenizers = tokenizer_set(manifest)
    _, parsed = read_bank(str(BANK))
    texts = parsed.messages.texts
    tokenizers.count(["warm up"])
    bare_pass = best_of(
        2, lambda: [tokenizer.count([text]) for tokenizer in tokenizers.tokenizers.values() for text in texts]
    )
    stores = [Store(folder / f"store-{number}") for number in range(2)]  # a store keeps what it scored of a bank
    importing = min(
        best_of(1, a_command(TWINBENCH, "bank", "import", str(BANK), "--name", "real", store=each)) for each in stores
    )
    store = stores[0]
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

        predictions = read_predictions(str(PREDICTIONS), bank.row_ids, range(bank.info.rows))
        started = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.retokenizing", str(BANK), str(PREDICTIONS)]
        done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        whole_s = time.perf_counter() - started
        expected, retokenizing_s = (json.loads(done.stdout)[key] for key in ("headline", "seconds"))

        results = Results(store)
        identity = PredictionsIdentity("kept", "noisy", None, "real", bank.info.sha256, None, "", "0", None)
        results.keep_predictions(identity, predictions, bank.row_ids)
        with Scorer(bank.path, manifest) as scorer:

            def headline() -> dict[str, float | None]:
                scorer.load_kept(results.predictions_file("kept"))
                return scorer.headline()[0]

            found = headline()
            for name, value in expected.items():
                assert abs((found[name] or 0) - value) < 1e-9, (name, found[name], value)
            taken = best_of(20, headline)
    yield Measurement(
        "headline of kept predictions, store open",
        seconds(taken),
        f"tokenizing every prefix again, {seconds(retokenizing_s)}",
        retokenizing_s / taken,
        1000,
        at_least=True,
    )
    # The headline alone is what it is held against; benchmarks.intervals says what intervals add.
    options = ("--predictions", str(PREDICTIONS), "--bank", "real", "--resamples", "0")
    scoring = [a_command(TWINBENCH, "static", "score", *options, store=each) for each in stores]
    first = min(best_of(1, run) for run in scoring)
    for what, printed in (("first after an import", first), ("again", best_of(5, scoring[0]))):
        yield Measurement(
            f"static score --predictions, no intervals, process and all, {what}",
            seconds(printed),
            f"the headline alone by tokenizing again, process and all, {seconds(whole_s)}",
            whole_s / printed,
            50,
            at_least=True,
        )


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
