"""Ways in which a router can be wrong: what a person sees of each, by command, and the exit code.

Each line says what happened, where, and what to do about it.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.banks.bank import Bank
from static_track.check import check_router
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import Ran, twinbench
from tests.examples import thinned
from tests.plugins.hosting import limits
from twinbench.checks import Status
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.storage.store import STORE_VARIABLE, Store

WAYS = Path(__file__).parent / "wrong" / "ways.py"
LIMITS: dict[str, Any] = {"load_s": 3.0, "decision_s": 3.0, "memory_mib": 300}
OPTIONS = ("--load-timeout", "3", "--decision-timeout", "3", "--plugin-memory", "300")


@dataclass(frozen=True)
class Way:
    """A router that is wrong, and what is seen of it."""

    router: str
    """In ``ways.py``, or a whole spec."""
    score: tuple[int, str]
    """Exit code of ``static score`` of this router alone, and what is read there."""
    check: tuple[int, str] | None = None
    """Likewise of ``router check``; default: the same."""
    printed: str | None = None
    """What it printed, shown after its failure."""

    @property
    def spec(self) -> str:
        """As it is named on the command line."""
        return self.router if "/" in self.router or ".py" in self.router else f"{WAYS}:{self.router}"

    @property
    def checked(self) -> tuple[int, str]:
        """Exit code and text of ``router check``."""
        return self.check or self.score


REFUSED = [
    Way("nowhere/my.py:R", (2, r"file nowhere/my\.py does not exist")),
    Way("MisspeltClass", (2, r"has no class 'MisspeltClass'; it has Low, .*Awaits")),
    Way("MisspeltMethod", (2, r"has no method route\(call\); rename its rout to route")),
    Way("Awaits", (2, r"is async def, and nothing is awaited: write def route\(self, call\)")),
    Way("awaits", (2, r"is async def, and nothing is awaited: write def awaits\(call\)")),
    Way("TakesTwo", (2, r"wrong signature .*: it is called with one argument, the call; define it as def route\(self")),
    Way("TakesTyped", (2, r"it needs the argument 'k': add \?k=…")),
    Way("two", (2, r"it needs the argument 'llm': add \?llm=…")),
    Way("make", (2, r"it needs the argument 'k': add \?k=…")),
    Way("returns_text", (2, r"returns_text\(\) returned 'low', which is not a router: .* def returns_text\(call\)")),
    Way("AwaitsHook", (2, r"the method warm_up of AwaitsHook is async def, .*: write def warm_up\(self\)")),
    Way("YieldsInHook", (2, r"the method observe of YieldsInHook has a yield in it, so that nothing of it would run")),
    Way("HookTakesNone", (2, r"called with one argument, the session; define it as def start\(self, session\)")),
    Way("ByPosition", (2, "it needs the argument 'k' by position, which a spec cannot give")),
    Way("Low.route", (2, "Low.route is a method: name its class, Low")),
    Way("trb:ways.py:Low", (2, "after trb: comes the name of a module, not a file: write trb:ways:Low")),
    Way("TakesTyped?k=many", (2, "its argument 'k' must be of type int, not 'many'")),
    Way("TakesTyped?k=1&modle=y", (2, "it takes no argument 'modle'; its arguments: k, model")),
]
"""Nothing is asked: the name or the arguments are at fault."""

BROKEN = [
    Way("broken.py:R", (1, r"importing .*broken\.py raised SyntaxError: .*line 1")),
    Way(
        "importing.py:R", (1, r"raised ModuleNotFoundError: No module named 'its_own_package' \(importing\.py, line 1")
    ),
    Way("RaisesInConstructor", (1, r"its constructor raised KeyError: 'weights' \(ways\.py, line \d+\)")),
    Way("NeedsFile?weights=weights.txt", (1, "declare the argument as weights: Path")),
    Way("NeedsOwnFile", (1, r"starts in an empty folder: take the path from __file__, or .* declared as Path")),
    Way("NeedsKey", (1, "pass it on with --plugin-env MY_SERVICE_KEY")),
    Way("WantsKey", (1, "pass it on with --plugin-env OPENAI_API_KEY")),
    Way("WrapsMissingKey", (1, "RuntimeError: no client .*pass it on with --plugin-env MY_SERVICE_KEY")),
    Way("LoadsForever", (1, r"loading it took longer than 3 s")),
    Way("WarmsUpWrongly", (1, r"warm_up raised OSError: no such model \(ways\.py, line \d+\)")),
]
"""It does not load, so every row is an error."""

FAILING = [
    Way("ReturnsNothing", (1, "route returned None, .* it must return a Decision, a Candidate, a Tier or a str")),
    Way("ReturnsModel", (1, r"'gpt-4o' is neither a candidate \(.*\) nor a tier")),
    Way("ReturnsDecisionOfNothing", (1, "route returned a Decision of None, .*; it must be of a Candidate, a Tier")),
    Way("ReturnsObject", (1, "route returned <object object>, of type object")),
    Way("Yields", (1, "<generator object Yields.route>, of type generator; it has a yield in it: write return")),
    Way("AsksPerson", (1, r"nobody answers a router's input\(\)"), printed="which tier?"),
    Way("StopsInDebugger", (1, r"BdbQuit .*debug the router in your own process"), printed="-> return"),
    Way("RaisesGroup", (1, "all of them .*: KeyError: 'first'; OSError: second")),
    Way("ReturnsScore", (1, "score must be a number from 0 to 1 or None, not 7.0")),
    Way(
        "ReturnsAwaitable",
        (1, r"something to be awaited, and nothing is awaited: write def route\(self, call\)"),
    ),
    Way(
        "Raises",
        (1, r"route raised AttributeError: 'Call' object has no attribute 'message'.*\(ways\.py, line \d+\)"),
        printed="looking at 1",
    ),
    Way("RaisesAtThree", (0, "route raised LookupError: no third step"), (1, "no third step"), printed="step 3"),
    Way("ReadsFileLate", (1, "starts in an empty folder: take the path from __file__")),
    Way("Hangs", (1, r"longer than 3 s, the first of its process: .* belongs in the constructor or in warm_up\(\)")),
    Way("Exits", (1, r"route raised SystemExit: cannot go on \(ways\.py, line \d+\)")),
    Way("DiesSilently", (1, "exited with code 3; last line of standard error: about to die"), printed="about to die"),
    Way("Crashes", (1, r"its process was killed by signal 11 \(SIGSEGV\)")),
    Way("Leaks", (1, "its process took more than 300 MiB of memory")),
    Way(
        "RaisesInHook", (0, r"observe raised KeyError: 'usage' \(ways\.py, line \d+\)"), (1, "observe raised KeyError")
    ),
]
"""It fails where it is asked."""

ODD = [
    Way("Prints", (0, ""), (0, "decisions use no file, socket or command")),
    Way("SlowFirst", (0, ""), (0, r"the first decision of its process took 1,\d\d\d ms.*Load .* in warm_up\(\)")),
    Way("Draws", (0, ""), (1, "decided differently, .*Seed random draws")),
    Way("Mutates", (0, ""), (1, "modified the given conversation .*Copy the messages before changing them")),
    Way("MixesSessions", (0, ""), (1, "decided differently, .*Keep state per call.session")),
]
"""It is scored, and only ``router check`` says what is wrong."""

ASKED = [*BROKEN, *FAILING, *ODD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that twinbench is called in: with a store, files that routers miss elsewhere, and broken ones."""
    path = tmp_path_factory.mktemp("wrong")
    rows = [*a_trajectory([0, 3, 1], instance="a"), *a_trajectory([0, 3], instance="b")]
    import_rows(rows, Store(path / "store"))
    import_rows(a_trajectory([0, 3, 1]), Store(path / "store"), "short")
    (path / "broken.py").write_text("class R\n    pass\n", "utf-8")
    (path / "importing.py").write_text("import its_own_package\n\n\nclass R:\n    pass\n", "utf-8")
    for name in ("weights.txt", "tiers.txt"):
        (path / name).write_text("low", "utf-8")
    return path


@pytest.fixture(autouse=True)
def _called_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv(STORE_VARIABLE, str(folder / "store"))


def test_there_are_twenty_five_ways_at_least() -> None:
    assert len({each.router for each in (*REFUSED, *ASKED)}) >= 25


@pytest.mark.parametrize("way", REFUSED, ids=lambda way: way.router)
def test_what_is_no_router_is_refused(way: Way) -> None:
    code, text = way.score
    ran = twinbench("static", "score", way.spec, "--bank", "bank", *OPTIONS)
    assert (ran.code, ran.out) == (code, b"")
    assert re.search(text, ran.err), ran.err


@pytest.mark.parametrize("way", thinned(REFUSED, 4), ids=lambda way: way.router)
def test_what_is_no_router_is_refused_alike_from_python_and_by_a_check(way: Way) -> None:
    _, text = way.score
    with pytest.raises(UsageError, match=text):
        tb.score(way.spec, "bank", plugins=limits(**LIMITS))
    with Bank.open("bank", Store(Path("store"))) as bank, pytest.raises(UsageError, match=text):
        check_router(way.spec, bank, limits(**LIMITS))


@pytest.fixture(scope="module")
def scored(folder: Path) -> Ran:
    """One table of all routers that can be asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(STORE_VARIABLE, str(folder / "store"))
        specs = [way.spec for way in ASKED]
        return twinbench("static", "score", *specs, "--bank", "short", "--resamples", "0", "--json", *OPTIONS)


@pytest.mark.parametrize("way", ASKED, ids=lambda way: way.router)
def test_a_score_names_the_failure_and_goes_on(way: Way, scored: Ran) -> None:
    code, text = way.score
    entry = next(each for each in scored.json["routers"] if each["router"] == way.spec)
    assert re.search(text, entry["first_error"] or "", re.DOTALL), entry["first_error"]
    assert (entry["counts"]["errors"] > 0) is bool(text)
    told = [line for line in scored.err.splitlines() if line.startswith(f"error: {way.spec} ")]
    assert len(told) == code  # once, and exit code 1 comes of it
    assert scored.code == 1
    shown = f"{way.spec} printed before it first failed (--plugin-output shows all):\n"
    if way.printed is None:
        assert shown not in scored.err
    else:
        assert way.printed in scored.err.partition(shown)[2].partition(" printed before")[0]


LIKE_OTHERS = ("ReturnsDecisionOfNothing", "ReturnsObject", "Yields", "AsksPerson", "StopsInDebugger", "RaisesGroup")
"""A check takes its words from the same place as a score."""
CHECKED = [way for way in ASKED if way.router not in ("Leaks", "LoadsForever", "Crashes", *LIKE_OTHERS)]
ONLY_CHECKED = [way for way in CHECKED if way.check is not None]
"""What a check says of them is not what a score says."""


@pytest.mark.parametrize(
    "way",
    [*ONLY_CHECKED, *thinned([way for way in CHECKED if way.check is None], 4)],
    ids=lambda way: way.router,
)
def test_a_check_says_what_to_do(way: Way) -> None:
    code, text = way.checked
    with Bank.open("bank", Store(Path("store"))) as bank:
        report = check_router(way.spec, bank, limits(**LIMITS))
    assert bool(report.failed) == bool(code)
    assert report.cut_short is (way in BROKEN)
    said = "\n".join(f"{each.reason} {each.advice or ''}" for each in report.checks)
    assert re.search(text, said), said
    assert all(each.advice for each in report.checks if each.status is not Status.passed)


def test_a_check_is_a_command_with_an_exit_code() -> None:
    for router, code in (("Raises", 1), ("Prints", 0)):
        ran = twinbench("router", "check", f"{WAYS}:{router}", "--bank", "bank", *OPTIONS)
        assert ran.code == code
        assert ("looking at 1" in ran.err) is bool(code)


INSTANCES = ["ReturnsNothing", "ReturnsModel", "ReturnsScore", "ReturnsAwaitable", "Raises", "RaisesAtThree"]


def test_an_instance_is_told_alike() -> None:
    ways = _imported()
    instances = [getattr(ways, name)() for name in INSTANCES]
    board = tb.score(instances, "bank", resampling=None)
    by_name = {entry.router: entry for entry in board.entries}
    for way in FAILING:
        if way.router in INSTANCES:
            entry = by_name[f"instance:{way.router}"]
            assert re.search(way.score[1].partition(r".*\(ways")[0], entry.first_error or ""), entry.first_error
            assert entry.printed is None  # it printed where everything else does
    assert all(name in repr(board) for name in by_name)


def test_the_library_has_what_a_router_printed() -> None:
    given = PluginLimits()
    spec = f"{WAYS}:Raises"
    board = tb.score(spec, "bank", plugins=given, resampling=None)
    assert (board.entries[0].printed or "").startswith("looking at 1")
    assert "printed before that: looking at 1" in repr(board)
    assert given.output.read_output(spec).startswith("looking at 1\n")


def test_what_a_router_prints_is_shown_as_it_comes() -> None:
    spec = f"{WAYS}:Prints"
    options = ("--json", "--no-cache", "--resamples", "0", "--plugin-output", *OPTIONS)
    ran = twinbench("static", "score", spec, "--bank", "bank", *options)
    assert ran.code == 0
    shown = [line for line in ran.err.splitlines() if line.startswith(f"{spec} | ")]
    assert sorted(shown) == [f"{spec} | deciding {step}" for step in (1, 1, 2, 2, 3)]
    assert shown[0].endswith("deciding 1")
    assert ran.json


def _imported() -> Any:
    spec = importlib.util.spec_from_file_location("ways", WAYS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REHEARSED = ["Raises", "ReturnsModel", "RaisesAtThree"]
"""Of all, those that a rehearsal is tried on where it has to be short."""


@pytest.mark.acceptance
@pytest.mark.usefixtures("rehearsal_images")
def test_a_rehearsal_tells_the_same(tmp_path: Path) -> None:
    assert_rehearsed([way for way in FAILING if way.router in REHEARSED], tmp_path)
    assert_not_begun([way for way in (*REFUSED, *BROKEN) if way.router in ("MisspeltMethod", "NeedsKey")], tmp_path)


@pytest.mark.acceptance
@pytest.mark.usefixtures("rehearsal_images")
def test_a_rehearsal_of_every_way_tells_the_same(tmp_path: Path) -> None:
    assert_rehearsed(FAILING, tmp_path)
    assert_not_begun([*REFUSED, *BROKEN], tmp_path)


def assert_rehearsed(ways: list[Way], runs: Path) -> None:
    """What fails when it is asked costs its cases: each failure stands in the journal in the same words."""
    specs = [way.spec for way in ways]
    options = ("--limit", "1", "--runs", runs, "--resamples", "0", "--json", *OPTIONS)
    ran = twinbench("rehearse", *specs, *options)
    assert len(ran.json["runs"]) == len(ways)
    journals = "".join(path.read_text("utf-8") for path in sorted(runs.rglob("journal*.jsonl")))
    errors = "\n".join(text for line in journals.splitlines() for text in _texts(json.loads(line)))
    for way in ways:
        assert re.search(way.score[1], errors), way.router
        if way.printed is not None:
            assert f"{way.spec} printed before it first failed" in ran.err


def assert_not_begun(ways: list[Way], runs: Path) -> None:
    """What does not load ends the rehearsal before a case is begun."""
    for way in ways:
        code, text = way.score
        ran = twinbench("rehearse", way.spec, "--limit", "1", "--runs", runs / "none", *OPTIONS)
        assert (ran.code, ran.out) == (code, b""), way.router
        assert re.search(text, ran.err), ran.err


def _texts(value: Any) -> list[str]:
    """All texts in a line of a journal."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]
