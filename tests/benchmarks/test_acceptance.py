"""Acceptance in parts: which tests belong to which, and how the repeated suite is counted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import acceptance, repeat
from benchmarks.repeat import Run
from tests.conftest import ROOT
from tests.examples import ALL_VARIABLE, examples, thinned

LONG = "acceptance and not alone"
"""How the expressions of markers begin that choose long tests by their folders."""
SUITE = """
import pathlib
HERE = pathlib.Path(__file__).parent

def test_passes():
    (HERE / "ran").open("a").write("x")

def test_fails_where_it_is_wanted():
    assert not (HERE / "fail").exists()
"""
CONFTEST = """
def pytest_terminal_summary(terminalreporter, config):
    if (config.rootpath / "left").exists():
        terminalreporter.write_line("CONTAINER LEFT BEHIND by this session: one")
"""


def test_every_folder_of_tests_is_in_one_part() -> None:
    of_folders = [part for part in acceptance.PARTS.values() if part.marked.startswith(LONG) and not part.chosen]
    paths = Counter(path for part in of_folders for path in part.paths)
    assert set(paths.values()) == {1}
    for file in (ROOT / "tests").rglob("test_*.py"):
        inside = [path for path in paths if file.is_relative_to(ROOT / path)]
        assert len(inside) == 1, file
    assert all((ROOT / path).exists() for part in acceptance.PARTS.values() for path in part.paths)


def test_every_disaster_is_in_one_part() -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "disaster", "tests/cluster"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tests = [line for line in collected.stdout.splitlines() if "::" in line]
    assert len(tests) == 5
    chosen = [part.chosen.split(" or ") for part in acceptance.PARTS.values() if part.chosen]
    for test in tests:
        assert sum(any(word in test for word in words) for words in chosen) == 1, test


def test_an_unknown_part_is_wrong_usage_and_all_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.acceptance", "alone", "no-such"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no part no-such" in done.stderr
    assert all(f"  {name} " in done.stderr for name in acceptance.NAMES)


@pytest.mark.parametrize(("everything", "count"), [("1", 300), ("", 40)])
def test_property_tests_draw_all_their_examples_where_that_is_wanted(
    everything: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALL_VARIABLE, everything)
    assert examples(40, 300).max_examples == count
    assert acceptance.PARTS["properties"].variables == {ALL_VARIABLE: "1"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(repeat, "code_fingerprint", lambda: "abcd")  # somebody may be editing the code
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)  # paths in it would be run, and so this test for ever
    (tmp_path / "test_small.py").write_text(SUITE, "utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, "utf-8")
    return tmp_path


def repeated(folder: Path, *words: str) -> int:
    suite = [str(folder / "test_small.py"), "-c/dev/null", f"--rootdir={folder}", "-pno:cacheprovider"]
    return repeat.main([f"--evidence={folder / 'runs.md'}", "--workers=0", *words, "--", *suite])


def test_runs_are_added_until_there_are_enough_in_a_row(folder: Path) -> None:
    assert repeated(folder, "--wanted=2", "--minutes=0") == 0
    (run,) = repeat.kept_runs(folder / "runs.md")
    assert (run.number, run.passed, run.failed, run.left, run.exit_code) == (1, 2, 0, 0, 0)
    for _ in range(2):
        assert repeated(folder, "--wanted=2") == 0
        runs = repeat.kept_runs(folder / "runs.md")
        assert runs[0] == run
        assert [each.number for each in runs] == [1, 2]
        assert runs[1].seed != run.seed
    assert (folder / "ran").read_text() == "xx", "each run is a run of the suite"
    assert "\n2 runs of " in (folder / "runs.md").read_text("utf-8")


@pytest.mark.parametrize("what", thinned(["fail", "left"], 2))
def test_a_failure_or_a_container_left_ends_the_count_and_stays_listed(what: str, folder: Path) -> None:
    (folder / what).touch()
    assert repeated(folder, "--wanted=1") == 1
    (folder / what).unlink()
    (run,) = repeat.kept_runs(folder / "runs.md")
    assert (run.failed, run.exit_code, run.left) == ((1, 1, 0) if what == "fail" else (0, 0, 1))
    assert ("test_fails_where_it_is_wanted" in run.names) == (what == "fail")
    assert repeated(folder, "--wanted=1") == 0
    assert [run.clean for run in repeat.kept_runs(folder / "runs.md")] == [False, True]


RUN = Run(1, "2026-01-01", "abcd", 7, 10, 0, 1, 60, 0, 0, "")


def test_runs_of_other_code_do_not_count() -> None:
    other = replace(RUN, code="other")
    assert repeat.in_a_row([RUN, other, RUN, RUN], "abcd") == 2
    assert repeat.in_a_row([RUN, RUN], "new") == 0
    assert repeat.in_a_row([RUN, replace(RUN, passed=0)], "abcd") == 0
    assert Run.of_row(RUN.row()) == RUN
    assert re.fullmatch("[0-9a-f]{8}", repeat.code_fingerprint())
    assert repeat.code_fingerprint(["tests/benchmarks"]) != repeat.code_fingerprint(["tests/calls"])


def test_a_part_of_the_suite_is_no_evidence_of_the_whole() -> None:
    with pytest.raises(SystemExit, match="2"):
        repeat.main(["tests/calls"])
