"""Routers, banks, parts, options and commands that do not exist, or do not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import files, spawned, twinbench
from tests.examples import thinned
from twinbench.storage.store import Store

ROUTERS = """
import sys


class Typed:
    def __init__(self, k: int, weight: float = 1.0, on: bool = False) -> None: ...

    def route(self, call):
        return "low"


class ConstructorRaises:
    def __init__(self):
        raise RuntimeError("no weights: [red]<b>\\x1b[31m")

    def route(self, call): ...


class ConstructorLeaves:
    def __init__(self):
        sys.exit(0)

    def route(self, call): ...


class RouteRaises:
    def route(self, call):
        raise ValueError("boom: [red]<b>\\x1b[31m")


class RouteLeaves:
    def route(self, call):
        sys.exit(0)


class Undecided:
    def route(self, call):
        return "ultra"


class NoRoute: ...
"""

WRONG_USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown command": (("bnak",), "No such command 'bnak'"),
    "unknown subcommand": (("bank", "imprt"), "No such command 'imprt'"),
    "a command misspelt": (("bnak",), "No such command 'bnak'; did you mean 'bank'?"),
    "a subcommand misspelt": (("dynamic", "stats"), "No such command 'stats'; did you mean 'status' or 'tasks'?"),
    "a router misspelt": (("static", "score", "stiky"), "did you mean 'sticky'?"),
    "a bank misspelt": (("static", "score", "--bank", "mien"), "did you mean 'mine'?"),
    "an embedded bank misspelt": (("static", "score", "--bank", "smal-models"), "did you mean 'small-models'?"),
    "a part misspelt": (("static", "score", "--bank", "mine", "--split", "held-out"), "did you mean 'heldout'?"),
    "a pool misspelt": (("pool", "show", "live-2026-4"), "did you mean 'live-2026-04'"),
    "unknown option": (("bank", "list", "--nope"), "No such option: --nope"),
    "unknown option of the program": (("--nope",), "No such option: --nope"),
    "missing option": (("bank", "import", "x.jsonl"), "Missing option '--name'"),
    "missing argument": (("bank", "show"), "Missing argument 'NAME'"),
    "an argument too many": (("bank", "show", "mine", "yours"), "unexpected extra argument"),
    "unknown bank": (("static", "score", "--bank", "nope"), "no bank 'nope'"),
    "unknown bank to show": (("bank", "show", "nope"), "no bank 'nope'"),
    "unknown bank to export": (("bank", "export", "nope"), "no bank 'nope'"),
    "unknown bank to remove": (("bank", "rm", "nope"), "no bank 'nope'"),
    "unknown bank to split": (("bank", "split", "nope"), "no bank 'nope'"),
    "a bank outside the store": (("bank", "rm", "../banks/mine"), "bank name '../banks/mine': use letters"),
    "unknown part": (("static", "score", "--bank", "mine", "--split", "nope"), "no part 'nope'"),
    "a part without rows": (("static", "score", "--bank", "mine", "--split", "heldout"), "has no rows"),
    "unknown tokenizers": (("static", "score", "--bank", "mine", "--tokenizers", "nope"), "no tokenizer set 'nope'"),
    "unknown pool": (("pool", "show", "nope"), "no pool manifest 'nope'"),
    "unknown pool to check": (("pool", "check", "nope"), "no pool manifest 'nope'"),
    "parts that are no shares": (("bank", "split", "mine", "--parts", "train"), "write them as train=60"),
    "parts of share zero": (("bank", "split", "mine", "--parts", "train=0,dev=1"), "write them as train=60"),
    "parts of share nan": (("bank", "split", "mine", "--parts", "train=nan,dev=1"), "write them as train=60"),
    "a part twice": (("bank", "split", "mine", "--parts", "train=1,train=1"), "'train' is given twice"),
    "the reserved part": (("bank", "split", "mine", "--parts", "heldout=1"), "reserved"),
    "a split outside its bank": (("bank", "split", "mine", "--name", "../x"), "split name '../x': use letters"),
    "a seed that is no number": (
        ("bank", "split", "mine", "--seed", "x"),
        "'--seed': must be a whole number (found 'x')",
    ),
    "a number that is too small": (
        ("static", "score", "--resamples", "-1"),
        "'--resamples': must be at least 0 (found",
    ),
    "a number that is none": (("static", "score", "--decision-timeout", "nan"), "must be at least 0.01 (found 'nan')"),
    "a word that is none of a list": (("static", "score", "--format", "x"), "'--format': 'x' is not one of 'table'"),
    "a variable with its value": (
        ("static", "score", "routers.py:Typed", "--plugin-env", "A=1"),
        "give the name alone, A",
    ),
    "a file that is no code": (("static", "score", "/etc/hosts:Mine"), "/etc/hosts is not a file that ends in .py"),
    "an export of no format": (("bank", "export", "mine", "-o", "x.csv"), "unknown suffix; use .jsonl"),
    "rows and a summary on one output": (("bank", "export", "mine", "--json"), "add -o FILE"),
    "predictions and a summary on one output": (("static", "predict", "sticky", "--json"), "add -o FILE"),
    "unknown router": (("static", "score", "nope"), "router 'nope'"),
    "unknown router to predict with": (("static", "predict", "nope"), "router 'nope'"),
    "a reference that is no router": (("static", "score", "labels"), "'labels' is a reference that sees the labels"),
    "a reference to predict with": (("static", "predict", "cost-optimal"), "'cost-optimal' is a reference"),
    "no module": (("static", "score", "nowhere_to_be_found:Mine"), "no module 'nowhere_to_be_found'"),
    "no file": (("static", "score", "nowhere.py:Mine"), "file nowhere.py does not exist"),
    "a file without a class": (("static", "score", "routers.py"), "routers.py"),
    "no such class": (("static", "score", "routers.py:Mine"), "has no class 'Mine'; it has"),
    "a class without route": (("static", "score", "routers.py:NoRoute"), "NoRoute has no method route(call)"),
    "an argument that nobody takes": (("static", "score", "sticky?k=1"), "it takes no argument 'k'"),
    "an argument of a wrong type": (("static", "score", "random?seed=x"), "'seed' must be of type int, not 'x'"),
    "an argument of a wrong value": (("static", "score", "sticky?at_least=ultra"), "unknown tier 'ultra'"),
    "an argument given twice": (("static", "score", "random?seed=1&seed=2"), "given twice: seed"),
    "an argument without a value": (("static", "score", "random?seed"), "?name=value"),
    "a missing argument": (("static", "score", "routers.py:Typed"), "it needs the argument 'k': add ?k=…"),
    "text for an int": (("static", "score", "routers.py:Typed?k=x"), "'k' must be of type int, not 'x'"),
    "float for an int": (("static", "score", "routers.py:Typed?k=1.5"), "'k' must be of type int, not '1.5'"),
    "text for a bool": (("static", "score", "routers.py:Typed?k=1&on=maybe"), "'on' must be of type bool, not 'maybe'"),
}


@pytest.fixture(autouse=True)
def _routers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routers.py").write_text(ROUTERS)
    Path("syntax_error.py").write_text("class Mine(:\n")
    Path("import_error.py").write_text("import nowhere_to_be_found\n")
    Path("leaves.py").write_text("import sys\nsys.exit(0)\n")


@pytest.mark.parametrize(("arguments", "words"), WRONG_USAGE.values(), ids=WRONG_USAGE.keys())
def test_wrong_usage_says_what_is_wrong_and_changes_nothing(
    kept_store: Store, arguments: tuple[str, ...], words: str
) -> None:
    before = files(kept_store.root / "banks" / "mine")

    ran = twinbench(*arguments)

    assert ran.code == 2
    assert ran.out == b""
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert files(kept_store.root / "banks" / "mine") == before


def test_an_unknown_bank_comes_with_those_that_exist(kept_store: Store) -> None:
    ran = twinbench("static", "score", "--bank", "nope")

    assert "mine" in ran.err
    assert "twinbench bank import FILE --name nope" in ran.err


@pytest.mark.parametrize(
    ("router", "words"),
    thinned(
        {
            "routers.py:ConstructorRaises": r"its constructor raised RuntimeError: no weights: [red]<b>\x1b[31m",
            "routers.py:ConstructorLeaves": "its constructor raised SystemExit",
            "routers.py:RouteRaises": r"route raised ValueError: boom: [red]<b>\x1b[31m",
            "routers.py:RouteLeaves": "SystemExit: 0",
            "routers.py:Undecided": "'ultra' is neither a candidate (low, mid, mid_high, high) nor a tier",
            "syntax_error.py:Mine": "SyntaxError: invalid syntax (syntax_error.py, line 1)",
            "import_error.py:Mine": "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
            "leaves.py:Mine": "SystemExit: 0",
        }.items(),
        3,
    ),
)
def test_a_router_that_never_decides_ends_with_its_reason_and_exit_code_1(
    kept_store: Store, router: str, words: str
) -> None:
    ran = twinbench("static", "score", router)

    assert ran.code == 1
    assert words in ran.err
    assert router in ran.err
    assert "Traceback" not in ran.err
    assert "unexpected" not in ran.err
    assert "\x1b" not in ran.err + ran.text


def test_no_arguments_show_the_help(kept_store: Store) -> None:
    ran = spawned()

    assert ran.code == 2
    assert "Commands:" in ran.text + ran.err
    assert "demo" in ran.text + ran.err


def test_an_unforeseen_failure_is_told_without_a_traceback(
    kept_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    (broken / "duckdb").mkdir(parents=True)
    (broken / "duckdb" / "__init__.py").write_text("raise LookupError('broken [red]\\x1b[31minstallation')")

    ran = spawned("demo", environment={"PYTHONPATH": str(broken)})

    assert ran.code == 1
    assert ran.err.startswith(r"error: unexpected LookupError: broken [red]\x1b[31minstallation")
    assert "Please report it" in ran.err
    assert "Traceback" not in ran.err
    shown = spawned("demo", environment={"PYTHONPATH": str(broken), "TWINBENCH_DEBUG": "1"})
    assert "Traceback (most recent call last)" in shown.err
