"""Writes docs/trained-routers.md: the built-in routers by cross-validation, and whether they beat the best constant.

python docs/make_trained_routers.py [FOLDER [BANK…]]

The embedded banks are always there; ``FOLDER`` has a folder for each further bank with its ``question_bank.jsonl.gz``.
Those are other people's and stay where they are; what is written are scores. With banks named, only those are
renewed: each section of the page stands by itself. With TWINBENCH_STORE set, what was scored before is not run again.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import twinbench as tb
from static_track.banks.embedded_names import EMBEDDED
from static_track.board import Entry
from static_track.crossval import CASCADE, CrossValidation
from twinbench.display.wording import format_trajectories
from twinbench.errors import UsageError
from twinbench.routers.registry import BUILT_IN
from twinbench.routing.built_in import CONSTANTS
from twinbench.storage.store import STORE_VARIABLE

PAGE = Path(__file__).resolve().parent / "trained-routers.md"
FOLDS = 5
BILLS = "Bills from rehearsals"
"""The section that ``docs/make_rehearsed_bills.py`` writes, which comes last."""

_SECTION = re.compile(r"^(## ([^\n]+)\n.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
SIMPLE = ("random", "round-robin", "depth-rule", "sticky")
"""Built-in routers to read rather than to beat."""

INTRODUCTION = f"""\
# Trained routers, and what they are worth

Written by `python docs/make_trained_routers.py FOLDER`: every rule and every learned router that ships with twinbench,
with its default settings, by `static crossval`: each row is answered by what was trained on other
groups, and scored on the whole bank. `{CASCADE}` is `cascade` with the settings that were best on the other folds.

*Less the best constant* is the difference in Combined, paired by trajectory, with a 95 % interval by the bootstrap over
groups and a p-value that is corrected for all routers of the table (Holm). "Better" and "worse" need p ≤ 0.05;
everything else has not been shown to differ. [Scoring](scoring.md) has the methods. *ms* is the 95th percentile of how
long a decision took, by the clock of a machine that was busy with other work; a test holds the processor time of a
decision on prefixes of 50,000 tokens to 1 ms for rules and 10 ms for learned routers.

Labels of `swemini_g3p_dev` are of whole tasks: every call of a trajectory has the label of its task, so a router that
tells easy calls from hard ones gains nothing there. Models of `rehearsal` are simulated.
"""


def routers() -> list[str]:
    """Return the specs that are compared."""
    named = [name for name in BUILT_IN if name not in (*CONSTANTS, *SIMPLE)]
    return [*named, "knn?mixed=true", "ordinal?layer=topsis", "ordinal?layer=conformal"]


def section(found: CrossValidation, size: str) -> str:
    """Return one bank's part of the page."""
    best = found.best_constant
    if best is None:
        raise ValueError(f"bank {found.bank.name!r} has no Combined to compare by")
    entries = [each for each in found.entries if not each.reference or each.router == CASCADE]
    entries = sorted({each.router: each for each in [*entries, best]}.values(), key=lambda each: -_combined(each))
    workloads = sorted(best.score.by_workload)
    lines = [
        f"## {found.bank.name}",
        "",
        f"{size}; {found.folds.title}. The best constant is `{best.router}` with {_combined(best):.2f}.",
        _summary([found.verdict(each.router) for each in entries if each is not best]),
        "",
        *([] if found.caveat is None else [found.caveat, ""]),
        "| router | Combined | RowPass | RowExact | TrajPass | CostSave | ms | less the best constant |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in entries:
        p95 = each.latency_ms["p95"]
        ms = "–" if p95 is None else f"{p95:.1f}"
        cells = [_with_interval(each, name) for name in ("combined", "row_pass", "row_exact", "traj_pass", "cost_save")]
        said = "is the best constant" if each is best else re.sub(" than| from", "", found.verdict(each.router))
        said = f"failed: {each.first_error}" if each.failure is not None else said
        lines.append(f"| `{each.router}` | {' | '.join(cells)} | {ms} | {said} |")
    if len(workloads) > 1:
        lines += ["", "Trajectories that pass, and CostSave, by workload:", "", f"| router | {' | '.join(workloads)} |"]
        lines.append("|---" * (len(workloads) + 1) + "|")
        for each in entries:
            shares = [_in_workload(each.score.by_workload[name]) for name in workloads]
            lines.append(f"| `{each.router}` | {' | '.join(shares)} |")
    return "\n".join((*lines, ""))


def _summary(verdicts: Sequence[str]) -> str:
    better, worse = (sum(each.startswith(word) for each in verdicts) for word in ("better", "worse"))
    same = len(verdicts) - better - worse
    return f"Of {len(verdicts)} others, {better} are better, {worse} worse, and {same} not told apart from it."


def _in_workload(found: Mapping[str, Any]) -> str:
    passed = found["trajectories"] - found["failed_trajectories"]
    saved = "–" if found["cost_save"] is None else f"{found['cost_save']:.1f}"
    return f"{passed} of {found['trajectories']}, {saved}"


def _combined(entry: Entry) -> float:
    return entry.score.scores["combined"] or 0.0


def _with_interval(entry: Entry, metric: str) -> str:
    value = entry.score.scores[metric]
    ends = None if entry.intervals is None else entry.intervals[metric].ends
    shown = "–" if value is None else f"{value:.1f}"
    return shown if ends is None else f"{shown} [{ends[0]:.1f}, {ends[1]:.1f}]"


def write_page(folder: Path | None, wanted: Sequence[str]) -> None:
    """Write the page; sections of banks that are not renewed stay as they are."""
    sections = read_sections()
    files = {} if folder is None else {each.parent.name: each for each in folder.glob("*/question_bank.jsonl.gz")}
    names = [*EMBEDDED, *sorted(files)]
    with tempfile.TemporaryDirectory() as temporary:
        store = os.environ.get(STORE_VARIABLE, temporary)
        for name in names:
            if wanted and name not in wanted:
                continue
            if name not in EMBEDDED and not _is_stored(name, store):
                tb.import_bank(files[name], name, store=store)
            with tb.open_bank(name, store=store) as bank:
                size = f"{bank.info.rows:,} rows, {format_trajectories(bank.info.trajectories, bank.info.groups)}"
            found = tb.crossval(routers(), name, folds=FOLDS, store=store)
            sections[name] = section(found, size)
            write_sections({each: sections[each] for each in (*names, BILLS) if each in sections})


def read_sections() -> dict[str, str]:
    """Return the sections of the page, by their titles."""
    old = PAGE.read_text("utf-8") if PAGE.exists() else ""
    return {name: f"{text.rstrip()}\n" for text, name in _SECTION.findall(old)}


def write_sections(sections: Mapping[str, str]) -> None:
    """Write the page anew with these sections, in their order."""
    PAGE.write_text("\n".join([INTRODUCTION, *sections.values()]), "utf-8")


def _is_stored(name: str, store: str) -> bool:
    try:
        with tb.open_bank(name, store=store):
            return True
    except UsageError:
        return False


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else None, sys.argv[2:])
