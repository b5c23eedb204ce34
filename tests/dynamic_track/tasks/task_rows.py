"""Tasks in SWE-bench's shape, made by hand, as files of every form that tasks are read from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from twinbench.storage.manifest_files import heldout_instances

Row = dict[str, Any]

EVAL_SCRIPT = """\
#!/bin/bash
set -uxo pipefail
cd {testbed}
: '>>>>> Start Test Output'
bash run_tests.sh
: '>>>>> End Test Output'
true
"""


def a_row(instance_id: str = "acme__rocket-1", **fields: Any) -> Row:
    """A row that lacks nothing; a field that is given as None is left out."""
    row = {
        "instance_id": instance_id,
        "repo": "acme/rocket",
        "version": "4.3",
        "base_commit": "d16bfe05a744909de4b27f5875fe0d4ed41ce607",
        "problem_statement": "The rocket falls over.\r\n",
        "hints_text": "",
        "patch": "diff --git a/rocket.py b/rocket.py\n",
        "test_patch": "diff --git a/test_rocket.py b/test_rocket.py\n",
        "image": f"example/{instance_id.lower()}:latest",
        "eval_script": EVAL_SCRIPT.format(testbed="/testbed"),
        "log_parser": "parse_log_pytest_v2",
        "eval_type": "pass_and_fail",
        "FAIL_TO_PASS": ["test_rocket.py::test_flies"],
        "PASS_TO_PASS": ["test_rocket.py::test_stands", "test_rocket.py::test_names[log(photon"],
    }
    return {name: value for name, value in (row | fields).items() if value is not None}


def verified_rows() -> list[Row]:
    """500 rows with the ids of heldout100 among them, in no order; lists of tests are JSON texts, as on the hub."""
    ids = [*(f"acme__rocket-{number}" for number in range(400)), *sorted(heldout_instances(), reverse=True)]
    tests = {"FAIL_TO_PASS": '["test_a"]', "PASS_TO_PASS": "[]"}
    return [a_row(each, **tests) for each in ids]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Write a file of rows in the form that its ending names; its path as text."""
    content = [dict(row) for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(content), "utf-8")
    else:
        lines = "".join(json.dumps(row) + "\n" for row in content).encode()
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return str(path)


def write_repo(repo: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as a task repo."""
    for row in rows:
        folder = repo / "tasks" / row["instance_id"]
        folder.mkdir(parents=True)
        kept = dict(row)
        kept.pop("hints_text", None)
        for field, file in {
            "problem_statement": "problem_statement.md",
            "patch": "gold.patch",
            "test_patch": "test.patch",
            "eval_script": "eval.sh",
        }.items():
            (folder / file).write_bytes(kept.pop(field).encode())
        tests = {name: kept.pop(name) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")}
        (folder / "tests.json").write_text(json.dumps(tests), "utf-8")
        (folder / "task.yaml").write_text(yaml.safe_dump({"split": "test", **kept}), "utf-8")
        (folder / "Dockerfile").write_text("FROM scratch\n", "utf-8")
    return repo
