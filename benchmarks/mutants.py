"""Mutation testing of the modules that hold rules: ``make mutants``, or ``python -m benchmarks.mutants [FOLDER]``.

cosmic-ray changes one operator, number or keyword of a module at a time, and the tests of that module run against the
changed copy. A mutant that no test notices has survived. Each survivor is a gap in the tests, unless
``benchmarks/mutants.toml`` accepts it with a reason, such as that the change makes no difference.

A draw by seed is spread over positions in the code, not over mutants: one ``+`` has a dozen mutants, one ``and`` has
one. ``FOLDER`` keeps the results, and the same command continues; with another state of the code it begins anew.
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
import time
import tomllib
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import Manager
from pathlib import Path
from queue import Queue

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult

from benchmarks import evidence
from benchmarks.repeat import code_fingerprint

WHAT = "mutants of the modules that hold rules, drawn by seed: how many no test notices"
DRAWN = 200
MINUTES = 36.0
"""After so long no mutant is begun in acceptance; the next call goes on."""
FOLDER = evidence.ROOT / "build" / "mutants"
MOST_SURVIVORS_PERCENT = 3.0
ACCEPTED_FILE = Path(__file__).with_name("mutants.toml")

STATISTICS = (
    "tests/twinbench/test_pinned_statistics.py",
    "tests/twinbench/test_statistics.py",
    "tests/static_track/test_intervals.py",
    "tests/static_track/test_board.py",
    "tests/twinbench/test_bills.py",
    "tests/outcomes/test_power.py",
    "tests/outcomes/test_headroom.py",
    "tests/dynamic_track/results/test_live_score.py",
)
SCORING = (
    "tests/static_track/test_golden.py",
    "tests/static_track/test_vectors.py",
    "tests/static_track/test_oracle.py",
    "tests/static_track/test_scoring_properties.py",
    "tests/static_track/test_score_many.py",
    "tests/static_track/test_predict.py",
    "tests/static_track/test_own_calls.py",
)
SPLITS = (
    "tests/static_track/banks/test_splits.py",
    "tests/static_track/banks/test_near_duplicates.py",
    "tests/static_track/banks/test_groups.py",
    "tests/static_track/test_crossval.py",
)
CALLS = (
    "tests/calls/test_billing.py",
    "tests/calls/test_usage_shapes.py",
    "tests/calls/test_response_classification.py",
    "tests/calls/test_provider_errors.py",
    "tests/calls/test_translation.py",
    "tests/calls/test_routed.py",
)
GRADING = ("tests/dynamic_track/grading/test_verdict.py",)
RULES: Mapping[str, Sequence[str]] = {
    "twinbench/statistics/auc.py": STATISTICS,
    "twinbench/statistics/bills.py": STATISTICS,
    "twinbench/statistics/clusters.py": STATISTICS,
    "twinbench/statistics/comparing.py": STATISTICS,
    "twinbench/statistics/intervals.py": STATISTICS,
    "twinbench/statistics/paired.py": STATISTICS,
    "twinbench/statistics/planning.py": STATISTICS,
    "twinbench/statistics/sampling.py": STATISTICS,
    "twinbench/statistics/swapping.py": STATISTICS,
    "twinbench/routing/cache_policy.py": ("tests/calls/test_wall_clock.py", *CALLS, *SCORING),
    "twinbench/routing/session.py": (
        "tests/twinbench/test_router.py",
        "tests/calls/test_wall_clock.py",
        *CALLS,
        *SCORING,
    ),
    "twinbench/calls/billing.py": CALLS,
    "twinbench/calls/budget.py": ("tests/calls/test_budget.py", *CALLS),
    "twinbench/calls/journal.py": ("tests/calls/test_journal.py", "tests/calls/test_durability.py"),
    "twinbench/calls/response_classification.py": CALLS,
    "twinbench/calls/usage_reading.py": CALLS,
    "static_track/banks/splits.py": SPLITS,
    "static_track/scoring.py": (*SCORING, "tests/static_track/test_tuning.py", "tests/cli/test_damaged_store.py"),
    "static_track/trajectory_parts.py": (*SCORING, *STATISTICS),
    "static_track/trajectory_walk.py": (*SCORING, "tests/static_track/test_order.py"),
    "dynamic_track/grading/verdict.py": GRADING,
}
"""Each module that holds rules, and the tests that have to notice when one of them changes."""

COPIED = ("twinbench", "static_track", "dynamic_track", "benchmarks", "tests", "pools", "results/published", "docs")
COPIED_FILES = ("pyproject.toml", "README.md", "action.yml", "CITATION.cff")

_PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-m")
_MARKED = "not acceptance and not docker"
_MARKED_WITH_DOCKER = "not acceptance"
"""For tests of grading, which have no meaning without containers; elsewhere those that need none are enough."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed."""

    module: str
    definition: str
    before: str
    """The changed lines, stripped."""
    after: str

    def __str__(self) -> str:
        return f"{self.module}, {self.definition or 'the module itself'}: `{self.before}` → `{self.after}`"


@dataclass(frozen=True)
class Report:
    """What became of the mutants."""

    results: Mapping[str, Counter[str]]
    """By module: how many were ``killed``, ``survived``, were ``accepted``, or are ``pending``."""
    survivors: Sequence[Survivor]
    """Those that nobody accepted."""
    accepted: Mapping[Survivor, str]
    """Those that are accepted, and why."""

    @property
    def tried(self) -> int:
        """The number of mutants that were tested."""
        return sum(sum(count for name, count in each.items() if name != "pending") for each in self.results.values())

    @property
    def pending(self) -> int:
        """The number of mutants that were not tested yet."""
        return sum(each["pending"] for each in self.results.values())

    @property
    def survived_percent(self) -> float:
        """Survivors that nobody accepted, in percent of the mutants that were tested."""
        return 100 * len(self.survivors) / max(1, self.tried)

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of Markdown."""
        yield (
            f"{self.tried} mutants tested, {len(self.survivors)} survived ({self.survived_percent:.1f} %; at most "
            f"{MOST_SURVIVORS_PERCENT:g} % wanted), {len(self.accepted)} more survived and are accepted with a reason, "
            f"{self.pending} pending."
        )
        yield ""
        names = ("killed", "survived", "accepted", "pending")
        yield f"| module | {' | '.join(names)} |"
        yield f"| --- |{' --- |' * len(names)}"
        for module, counts in sorted(self.results.items()):
            yield f"| {module} | {' | '.join(str(counts[name]) for name in names)} |"
        if self.survivors:
            yield from ("", "Survivors:", "", *(f"- {each}" for each in self.survivors))
        if self.accepted:
            yield from ("", "Accepted:", "", *(f"- {each}: {why}" for each, why in self.accepted.items()))


def accepted_survivors(path: Path = ACCEPTED_FILE) -> dict[tuple[str, str, str], str]:
    """Read the accepted survivors: the reason of each, by module, line before and line after."""
    read = tomllib.loads(path.read_text("utf-8"))
    return {(each["module"], each["before"], each["after"]): each["reason"] for each in read.get("accepted", [])}


def copy_tree(target: Path) -> None:
    """Copy everything that the tests need, so that no mutant ever stands in the checkout."""
    target.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(evidence.ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED_FILES:
        shutil.copyfile(evidence.ROOT / name, target / name)
    protocol, link = evidence.ROOT.parent / "shared", target.parent / "shared"
    if protocol.is_dir() and not link.exists():
        link.symlink_to(protocol)  # where tests of the checkout find the protocol's vectors, too


def unmutated_spans(module: Path) -> set[tuple[int, int]]:
    """Return the lines and columns of all annotations, of dataclass decorators, and of ``strict`` of ``zip``.

    With postponed evaluation, a change in an annotation changes nothing; whether a dataclass is frozen, mypy checks;
    and ``strict`` is a guard against a mistake elsewhere: as long as lengths agree, it changes nothing.
    """
    spans: set[tuple[int, int]] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            found = [node.returns, *(each.annotation for each in every if each is not None)]
        elif isinstance(node, ast.AnnAssign):
            found = [node.annotation]
        elif isinstance(node, ast.ClassDef):
            found = [each for each in node.decorator_list if ast.unparse(each).startswith("dataclass")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "zip":
            found = [each.value for each in node.keywords if isinstance(each.value, ast.Constant)]
        for each in found:
            if each is not None:
                assert each.end_lineno is not None
                assert each.end_col_offset is not None
                lines = range(each.lineno, each.end_lineno + 1)
                spans |= {
                    (line, column) for line in lines for column in range(each.col_offset, each.end_col_offset + 1)
                }
    return spans


def draw(
    items: Sequence[WorkItem], count: int | None, seed: int, left_out: Mapping[str, set[tuple[int, int]]]
) -> list[WorkItem]:
    """Draw mutants by seed: first a position in the code, then one of the mutants there.

    Args:
        items: all mutants.
        count: how many to draw; None for one at each position.
        seed: the same seed draws the same mutants of the same code.
        left_out: by module, lines and columns of the code that is not mutated.
    """
    by_position: dict[tuple[str, tuple[int, int], tuple[int, int]], list[WorkItem]] = defaultdict(list)
    for item in items:
        mutation = item.mutations[0]
        module = str(mutation.module_path)
        if mutation.start_pos not in left_out[module]:
            by_position[module, mutation.start_pos, mutation.end_pos].append(item)
    drawing = random.Random(seed)  # noqa: S311 - nothing here is secret
    positions = sorted(by_position)
    chosen = positions if count is None else drawing.sample(positions, min(count, len(positions)))
    return [
        drawing.choice(
            sorted(by_position[each], key=lambda item: (item.mutations[0].operator_name, item.mutations[0].occurrence))
        )
        for each in chosen
    ]


def test_command(tree: Path, tests: Sequence[str]) -> str:
    """Return the command that runs tests against a copy of the code."""
    present = [each for each in tests if (tree / each).exists()]
    marked = _MARKED_WITH_DOCKER if tests == GRADING else _MARKED
    pytest = " ".join([sys.executable, *_PYTEST, f'"{marked}"', *present])
    return f"env -C {tree} PYTHONPATH={tree} nice -n 5 {pytest}"


def baseline_s(tree: Path, tests: Sequence[str]) -> float:
    """Run tests against the unchanged code, and return how long that takes, in seconds.

    Raises:
        SystemExit: the tests fail without any mutant.
    """
    began = time.monotonic()
    done = subprocess.run(test_command(tree, tests), shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    if done.returncode:
        raise SystemExit(f"tests fail without a mutant: {' '.join(tests)}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return time.monotonic() - began


def test_mutant(item: WorkItem, tests: Sequence[str], timeout_s: float, trees: Queue[Path]) -> WorkResult:
    """Test one mutant in a tree that no other process uses."""
    tree = trees.get()
    try:
        mutations = [
            MutationSpec(
                tree / each.module_path,
                each.operator_name,
                each.occurrence,
                each.start_pos,
                each.end_pos,
                operator_args=each.operator_args,
                definition_name=each.definition_name,
            )
            for each in item.mutations
        ]
        return mutate_and_test(mutations, test_command(tree, tests), timeout_s)
    finally:
        trees.put(tree)


def run(folder: Path, *, count: int | None, seed: int, workers: int, minutes: float, modules: Sequence[str]) -> Report:
    """Test the mutants that are drawn and have no result yet, and report on all that are drawn.

    Args:
        folder: keeps the results of this state of the code, and copies of it.
        count: how many mutants; None for one at each position.
        seed: of the draw.
        workers: mutants tested at once.
        minutes: no mutant is begun later.
        modules: of ``RULES``.
    """
    session = folder / f"{code_fingerprint([*modules, 'tests'])}.sqlite"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = not session.is_file()
    end = time.monotonic() + 60 * minutes
    with use_db(str(session)) as database:
        if fresh:
            os.chdir(evidence.ROOT)  # so that mutants are known by paths within the checkout
            init([Path(module) for module in modules], database, {})
        left_out = {module: unmutated_spans(evidence.ROOT / module) for module in modules}
        drawn = draw(list(database.work_items), count, seed, left_out)
        done = {job_id for job_id, _ in database.results}
        _test(folder, database, [item for item in drawn if item.job_id not in done], workers, end)
        return report(drawn, dict(database.results), accepted_survivors())


def _test(folder: Path, database: WorkDB, pending: Sequence[WorkItem], workers: int, end: float) -> None:
    """Test mutants until the time is over; each result is kept at once."""
    if not pending:
        return
    trees = [folder / "trees" / str(number) for number in range(workers)]
    shutil.rmtree(folder / "trees", ignore_errors=True)
    unchanged = folder / "trees" / "unchanged"  # a limit of time is found while mutants are tested in the others
    for tree in (*trees, unchanged):
        copy_tree(tree)
    limits_s: dict[Sequence[str], float] = {}
    by_module = sorted(pending, key=lambda item: str(item.mutations[0].module_path))
    with Manager() as manager, ProcessPoolExecutor(workers) as pool:
        free: Queue[Path] = manager.Queue()
        for tree in trees:
            free.put(tree)
        waiting = iter(by_module)
        running: dict[Future[WorkResult], WorkItem] = {}
        finished = 0
        while True:
            while len(running) < workers and time.monotonic() < end and (item := next(waiting, None)) is not None:
                tests = RULES[str(item.mutations[0].module_path)]
                if tests not in limits_s:
                    limits_s[tests] = 10 + 4 * baseline_s(unchanged, tests)
                running[pool.submit(test_mutant, item, tests, limits_s[tests], free)] = item
            if not running:
                break
            ended = next(as_completed(running))
            item, result = running.pop(ended), ended.result()
            database.set_result(item.job_id, result)
            finished += 1
            mutation = item.mutations[0]
            said = "?" if result.test_outcome is None else result.test_outcome.value
            print(f"{finished} of {len(pending)}: {mutation.module_path}:{mutation.start_pos[0]} {said}", flush=True)


def report(
    drawn: Sequence[WorkItem], results: Mapping[str, WorkResult], reasons: Mapping[tuple[str, str, str], str]
) -> Report:
    """Sum up the results of the drawn mutants; ``reasons`` are the accepted survivors."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    survivors: list[Survivor] = []
    accepted: dict[Survivor, str] = {}
    for item in drawn:
        mutation = item.mutations[0]
        module = str(mutation.module_path)
        result = results.get(item.job_id)
        if result is None:
            counts[module]["pending"] += 1
        elif result.test_outcome is not TestOutcome.SURVIVED:
            counts[module]["killed"] += 1
        else:
            survivor = _survivor(module, mutation.definition_name or "", result.diff or "")
            reason = reasons.get((module, survivor.before, survivor.after))
            counts[module]["survived" if reason is None else "accepted"] += 1
            if reason is None:
                survivors.append(survivor)
            else:
                accepted[survivor] = reason
    return Report(counts, survivors, accepted)


def _survivor(module: str, definition: str, diff: str) -> Survivor:
    """Read what was changed from a unified diff."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Survivor(module, definition, before, after)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, test, report."""
    parser = ArgumentParser("python -m benchmarks.mutants", description=WHAT)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=FOLDER, help="keeps results; the same command continues"
    )
    parser.add_argument("--draw", type=int, default=None, help="how many mutants; default: one at each position")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="mutants tested at once")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="no mutant is begun later")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="modules whose path has this text")
    parser.add_argument("--write", action="store_true", help="write the report to docs/evidence/mutants.md")
    asked = parser.parse_args(arguments)
    modules = [module for module in RULES if not asked.only or any(text in module for text in asked.only)]
    if not modules:
        parser.error(f"no module has {' or '.join(asked.only)} in its path: {', '.join(RULES)}")
    found = run(
        asked.folder.resolve(),
        count=asked.draw,
        seed=asked.seed,
        workers=asked.workers,
        minutes=asked.minutes,
        modules=modules,
    )
    print("\n".join(found.lines()))
    if asked.write:
        evidence.write("mutants", f"make acceptance PART=mutants (seed {asked.seed})", list(found.lines()))
    return int(found.survived_percent > MOST_SURVIVORS_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
