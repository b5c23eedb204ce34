"""Runs of mini-swe-agent become banks: a row for each call, and no label.

That of the installed package does so in ``tests/dynamic_track/importing/test_imported.py``.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from static_track.banks.bank import Bank
from tests.cli.commands import Ran, files, twinbench
from tests.runs import OPENING, Run, v1, v2, write_run
from twinbench.calls.mini_swe_agent import BASH_TOOL
from twinbench.storage.manifest_files import heldout_instances
from twinbench.storage.store import Store

FIVE = 5
CALLS = {
    "django__django-12262": 25,
    "matplotlib__matplotlib-24637": 41,
    "psf__requests-1142": 71,
    "pydata__xarray-4629": 18,
    "sympy__sympy-21612": 57,
}
"""Of the shared runs, each as its file says in ``api_calls``."""


def imported(store: Store, *paths: str | Path, name: str = "runs", **options: str) -> Ran:
    more = [part for key, value in options.items() for part in (f"--{key}", value)]
    arguments = [*paths, "--name", name, "--format", "mini-swe-agent", "--store", store.root, *more]
    return twinbench("bank", "import", *arguments)


def rows_of(store: Store, name: str = "runs") -> list[Run]:
    with Bank.open(name, store) as bank:
        return list(bank.rows())


def test_each_call_of_both_formats_is_a_row(store: Store, tmp_path: Path) -> None:
    paths = [write_run(tmp_path / "1.traj.json", v1()), write_run(tmp_path / "2.traj.json", v2())]
    ran = imported(store, *paths).succeeded()

    assert "imported runs: 6 rows, 2 trajectories, without labels" in ran.text
    text, tools = rows_of(store)[:3], rows_of(store)[3:]
    assert [(row["id"], row["step_index"], row["total_steps"], len(row["messages"])) for row in text] == [
        ("swebench/a__a-1/1", 1, 3, 2),
        ("swebench/a__a-1/2", 2, 3, 4),
        ("swebench/a__a-1/3", 3, 3, 6),
    ]
    assert text[0]["messages"] == OPENING
    assert [len(row["messages"]) for row in tools] == [2, 5, 6]
    assert not any("functions" in row for row in text)
    assert all(row["functions"] == [BASH_TOOL] for row in tools)
    assert not any(name.startswith("target") for row in (*text, *tools) for name in row)


def test_an_answer_that_2x_did_not_keep_has_no_output_and_its_step_counts(store: Store, tmp_path: Path) -> None:
    imported(store, write_run(tmp_path / "2.traj.json", v2())).succeeded()
    with Bank.open("runs", store) as bank:
        visible = bank.cursor().execute("SELECT visible FROM base ORDER BY row_no").fetchall()
    assert [row[0] is None or row[0][0] > 0 for row in visible] == [True, False, True]


BROKEN: dict[str, Any] = {
    "cut.traj.json": json.dumps(v1("cut"))[:200].encode(),
    "role.traj.json": v1("role") | {"messages": [{"role": "robot", "content": "x"}]},
    "packed.traj.json.gz": gzip.compress(json.dumps(v1("packed")).encode())[:-30],
}


def test_broken_files_are_named_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for name, content in {**BROKEN, "1.traj.json": v1(), "deep/2.traj.json": v2(responses=False)}.items():
        write_run(folder / name, content)

    ran = imported(store, folder)

    assert ran.code == 1
    assert f"error: {folder / 'cut.traj.json'}: not JSON:" in ran.err
    assert f"error: {folder / 'role.traj.json'}, field messages[0].role: 'robot' is not known" in ran.err
    assert f"error: {folder / 'packed.traj.json.gz'}: the gzip data is damaged or cut short" in ran.err
    assert "3 files left out; all others were imported" in ran.err
    assert "imported runs: 6 rows, 2 trajectories" in ran.text
    assert {row["instance_id"] for row in rows_of(store)} == {"a__a-1", "b__b-2"}


def test_the_problems_stand_in_the_json_too(store: Store, tmp_path: Path) -> None:
    for name, content in {**BROKEN, "1.traj.json": v1()}.items():
        write_run(tmp_path / name, content)
    ran = twinbench(
        "bank", "import", tmp_path, "--name", "x", "--format", "mini-swe-agent", "--store", store.root, "--json"
    )
    assert ran.code == 1
    assert (ran.json["rows"], ran.json["labelled"], len(ran.json["problems"])) == (3, False, 3)


def test_nothing_but_broken_files_imports_nothing(store: Store, tmp_path: Path) -> None:
    for name, content in BROKEN.items():
        write_run(tmp_path / "runs" / name, content)
    before = files(store.root) if store.root.exists() else {}

    ran = imported(store, tmp_path / "runs")

    assert ran.code == 1
    assert ran.err.rstrip().endswith("Nothing was imported.")
    assert (files(store.root) if store.root.exists() else {}) == before


def test_the_same_runs_are_the_same_bank_in_any_order_and_packing(store: Store, tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "1.traj.json", v1()), write_run(tmp_path / "2.traj.json", v2())
    packed = write_run(tmp_path / "1.traj.json.gz", gzip.compress(one.read_bytes()))
    imported(store, one, two, name="a").succeeded()
    imported(store, two, packed, name="b").succeeded()
    with Bank.open("a", store) as a, Bank.open("b", store) as b:
        assert (a.info.sha256, a.info.source_sha256) == (b.info.sha256, b.info.source_sha256)


def test_the_workload_is_named_by_an_option(store: Store, tmp_path: Path) -> None:
    path = write_run(tmp_path / "1.traj.json", v1())
    imported(store, path, workload="my_agent").succeeded()
    assert {row["benchmark"] for row in rows_of(store)} == {"my_agent"}
    assert imported(store, path, name="x", workload=" ").code == 2


def test_rows_are_one_file_and_say_their_workload_themselves(store: Store, tmp_path: Path) -> None:
    path = write_run(tmp_path / "rows.jsonl", b"")
    for more in ([path], ["--workload", "x"]):
        assert twinbench("bank", "import", path, *more, "--name", "x", "--store", store.root).code == 2


def test_an_instance_of_heldout100_stands_in_the_part_heldout(store: Store, tmp_path: Path) -> None:
    held_out = min(heldout_instances())
    ran = imported(store, write_run(tmp_path / "1.traj.json", v1(held_out)), write_run(tmp_path / "2.traj.json", v2()))
    assert "instances of heldout100: 1 trajectory" in ran.succeeded().text
    with Bank.open("runs", store) as bank:
        assert [row["instance_id"] for row in bank.rows() if row["step_index"] == 1][bank.heldout()[0]] == held_out


def test_the_five_real_runs_import_and_their_prefixes_are_those_of_the_published_bank(
    store: Store, shared: Path
) -> None:
    ran = imported(store, shared / "trajectories").succeeded()
    assert f"imported runs: 212 rows, {FIVE} trajectories, without labels" in ran.text

    rows = {(row["instance_id"], row["step_index"]): row for row in rows_of(store)}
    assert {name: sum(instance == name for instance, _ in rows) for name in CALLS} == CALLS
    with gzip.open(shared / "banks" / "swemini_g3p_dev" / "question_bank.jsonl.gz", "rt", encoding="utf-8") as lines:
        published = [row for row in map(json.loads, lines) if row["instance_id"] in CALLS]
    assert len(published) > 20
    for row in published:
        ours = rows[row["instance_id"], row["step_index"]]
        assert (ours["messages"], ours["total_steps"]) == (row["messages"], row["total_steps"])
