"""Texts of prefixes, names and errors show as text: no markup, HTML or terminal code in them takes effect."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.banks import Row, a_row, import_rows, write_jsonl
from tests.cli.commands import SCRIPT, spawned, twinbench
from tests.timing import HANG_S
from twinbench.storage.store import Store

PINK = "\x1b[38;5;201m"
"""A terminal code that nothing of ours prints."""
HOSTILE = f"<script>alert(1)</script>[bold red]x[/bold red][/]{PINK}\x1b]0;title\x07\x9b1m\r\u202e\u2028&amp;"
SHOWN = r"<script>alert(1)</script>[bold red]x[/bold red][/]\x1b[38;5;201m\x1b]0;title\x07\x9b1m\r\u202e\u2028&amp;"

ROUTER = f"""
class Hostile:
    def route(self, call):
        raise ValueError({HOSTILE!r})


class Odd:
    def route(self, call):
        return {HOSTILE!r}
"""


def hostile_rows() -> list[Row]:
    text = {"role": HOSTILE, "content": HOSTILE, HOSTILE: HOSTILE, "tool_calls": [{"name": HOSTILE, "arguments": {}}]}
    return [
        a_row(3, workload=HOSTILE, instance=HOSTILE, messages=[text]) | {HOSTILE: HOSTILE},
        a_row(1, workload="[/red]", instance="[link=http://x]", step=2),
    ]


@pytest.fixture
def hostile_store(begun_store: Store) -> Store:
    """A store whose bank ``hostile`` is full of codes; commands use it untold."""
    import_rows(hostile_rows(), begun_store, "hostile")
    return begun_store


def harmless(text: str) -> bool:
    """Whether a terminal would show all of it as it stands."""
    return all(char.isprintable() or char in "\n\t" for char in text)


@pytest.mark.parametrize(
    "command",
    [
        ("bank", "show", "hostile"),
        ("bank", "list"),
        ("bank", "split", "hostile", "--parts", "left=1,right=1"),
        ("static", "score", "sticky", "--bank", "hostile"),
        ("bank", "validate", "hostile"),
    ],
)
def test_a_table_of_a_hostile_bank_is_harmless(hostile_store: Store, command: tuple[str, ...]) -> None:
    ran = twinbench(*command).succeeded()

    assert harmless(ran.text)
    assert harmless(ran.err)


def test_workloads_are_shown_letter_by_letter(hostile_store: Store) -> None:
    shown = twinbench("bank", "show", "hostile").succeeded().text

    assert SHOWN in shown
    assert "│ [/red]" in shown


@pytest.mark.parametrize("router", ["Hostile", "Odd"])
def test_what_a_router_raised_or_answered_is_harmless(hostile_store: Store, tmp_path: Path, router: str) -> None:
    path = tmp_path / "[red]router.py"
    path.write_text(ROUTER)

    ran = twinbench("static", "score", f"{path}:{router}", "--bank", "hostile")

    assert harmless(ran.text)
    assert harmless(ran.err)
    assert "<script>alert(1)</script>[bold red]x[/bold red][/]" in ran.err
    assert f"{path}:{router}" in ran.text


def test_what_a_router_raised_is_kept_letter_by_letter_in_predictions(hostile_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "router.py"
    path.write_text(ROUTER)

    ran = twinbench("static", "predict", f"{path}:Hostile", "--bank", "hostile")

    errors = [line for line in ran.text.split("\n") if "error" in line]
    assert len(errors) == 2
    assert PINK not in ran.text  # JSON escapes it


@pytest.mark.parametrize("field", ["id", "benchmark", "instance_id"])
def test_a_refused_row_is_named_harmlessly(hostile_store: Store, tmp_path: Path, field: str) -> None:
    path = write_jsonl(tmp_path / f"{PINK}[red]bank.jsonl", [a_row() | {field: HOSTILE}] * 2)

    for command in (("bank", "import", path, "--name", "new"), ("bank", "validate", path)):
        ran = twinbench(*command)
        assert ran.code == 1
        assert harmless(ran.err)
        assert harmless(ran.text)
        assert r"\x1b[38;5;201m[red]bank.jsonl" in ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("bank", "show", HOSTILE),
        ("bank", "rm", HOSTILE),
        ("bank", "validate", HOSTILE),
        ("static", "score", HOSTILE),
        ("static", "score", f"{HOSTILE}:X"),
        ("static", "score", f"{HOSTILE}.py:X"),
        ("static", "score", f"sticky?{HOSTILE}=1"),
        ("static", "score", f"sticky?at_least={HOSTILE}"),
        ("static", "score", "--split", HOSTILE),
        ("static", "score", "--predictions", HOSTILE),
        ("static", "score", "--tokenizers", HOSTILE),
        ("static", "score", "--format", HOSTILE),
        ("pool", "show", HOSTILE),
        ("bank", "split", "hostile", "--parts", HOSTILE),
        ("bank", "export", "hostile", "-o", HOSTILE),
        (HOSTILE,),
        (f"--<script>{PINK}",),
    ],
)
def test_a_wrong_argument_is_shown_harmlessly(hostile_store: Store, command: tuple[str, ...]) -> None:
    ran = twinbench(*command)

    assert ran.code == 2
    assert harmless(ran.text + ran.err)
    assert "<script>" in ran.err


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize("command", [("bank", "show", "hostile"), ("static", "score", "sticky", "--bank", "hostile")])
def test_a_terminal_gets_our_colours_and_none_of_theirs(hostile_store: Store, command: tuple[str, ...]) -> None:
    shown = in_a_terminal(*command)

    assert "\x1b[" in shown
    assert "201m" not in shown.replace(r"\x1b[38;5;201m", "")
    assert "\x1b]" not in shown
    assert "\x07" not in shown


def in_a_terminal(*arguments: str) -> str:
    """What a command prints where standard output is a terminal."""
    import pty

    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "250"},
        )
    finally:
        os.close(theirs)
    printed = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other side is closed
        while block := os.read(ours, 65536):
            printed += block
    os.close(ours)
    assert process.wait(HANG_S) == 0
    return printed.decode()


def test_an_unforeseen_error_is_harmless(hostile_store: Store, tmp_path: Path) -> None:
    package = tmp_path / "duckdb"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise LookupError({HOSTILE!r})")

    ran = spawned("demo", environment={"PYTHONPATH": str(tmp_path)})

    assert ran.code == 1
    assert harmless(ran.err)
    assert SHOWN in ran.err


def test_names_from_outside_stay_whole_in_json(hostile_store: Store) -> None:
    shown = twinbench("bank", "show", "hostile", "--json").succeeded()

    assert HOSTILE in shown.json["workloads"]
    assert PINK not in shown.text
