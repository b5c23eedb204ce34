"""Banks that are parsed and scored without a store: hundreds of generated ones in seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from static_track.banks.bank_file import default_group_name, insert_base, write_bank_file
from static_track.banks.importing import ParsedBank
from static_track.banks.rows import row_problems
from static_track.predictions import Predictions
from static_track.scoring import Scorer
from twinbench.reading.numbered import NumberedRow
from twinbench.storage.manifest_files import static_manifest
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

Row = dict[str, Any]
Answers = Mapping[str, int | None]
"""A tier by row id; None for an error, and so is an id that is not there."""

MANIFEST = static_manifest()


@cache
def tokenizers() -> TokenizerSet:
    """The locked set, its files read once a process."""
    return find_tokenizer_set(MANIFEST)


def parsed(rows: Sequence[Row]) -> ParsedBank:
    """Rows as the import holds them before it writes."""
    bank = ParsedBank()
    for number, row in enumerate(rows, 1):
        assert row_problems(row) == []
        bank.add(NumberedRow(number, row))
    bank.sort_rows()
    return bank


def in_row_order(bank: ParsedBank, answers: Answers) -> Predictions:
    """Answers by id as predictions for every row of a bank."""
    return Predictions(range(len(bank.rows)), [answers.get(row.id) for row in bank.rows])


@cache
def _scorer() -> Scorer:
    """The real scorer, opened on an empty bank whose two tables it then finds in memory instead."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.duckdb"
        write_bank_file(path, meta={}, trajectories=[], messages=[], functions=[], steps=[], base=[])
        scorer = Scorer(path, MANIFEST)
    connection = scorer.connection
    connection.execute("SET threads = 1")
    for table in ("base", "trajectory"):
        connection.execute(f"CREATE TEMP TABLE empty AS FROM {table}; DROP VIEW {table}")
        connection.execute(f"ALTER TABLE empty RENAME TO {table}")
    return scorer


def scorer_of(bank: ParsedBank) -> Scorer:
    """The scorer over the numbers of a bank; the next call puts another bank in its place."""
    scorer = _scorer()
    connection: duckdb.DuckDBPyConnection = scorer.connection
    connection.execute("DELETE FROM base; DELETE FROM trajectory")
    insert_base(connection, bank.base_rows(MANIFEST, tokenizers()))
    rows = [
        (number, *place, bank.groups()[place] or default_group_name(*place))
        for place, number in bank.trajectories().items()
    ]
    connection.executemany("INSERT INTO trajectory VALUES (?, ?, ?, ?)", rows)
    return scorer


def scores(rows: Sequence[Row], answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """Everything that the SQL says of several routers' answers on one bank."""
    bank = parsed(rows)
    scorer = scorer_of(bank)
    scorer.load([in_row_order(bank, each) for each in answers])
    found = [score.to_json(legacy=True) for score in scorer.scores()]
    for each in found:
        del each["router_accounting"]["fallback_output_tokens"]  # a constant, which the oracle does not give
    return found
