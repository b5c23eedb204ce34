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
import textwrap
from collections.abc import Iterable, Mapping, Sequence
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

_READING = "How to read the tables"
"""The section of the introduction."""
_LINE = 120

_SECTION = re.compile(r"^(## ([^\n]+)\n.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
SIMPLE = ("random", "round-robin", "depth-rule", "sticky")
"""Built-in routers to read rather than to beat."""

INTRODUCTION = f"""\
# Trained routers, and what they are worth

{{conclusion}}

Written by `python docs/make_trained_routers.py FOLDER`: every rule and every learned router that ships with twinbench,
with its default settings, by `static crossval`: each row is answered by what was trained on other
groups, and scored on the whole bank. `{CASCADE}` is `cascade` with the settings that were best on the other folds.
`rehearsal` and `small-models` ship with twinbench. The other three are banks of real agents and do not ship: `FOLDER`
has a folder for each, of its name, with `question_bank.jsonl.gz`. [Built-in routers on real banks](real-banks.md) says
what they are.

## {_READING}

*Less the best constant* is the difference in Combined, paired by trajectory, with a 95 % interval by the bootstrap over
groups and a p-value. The p-value is corrected for all routers of the table (Holm), and the interval is not: it is that
of one comparison by itself. So an interval can exclude 0 while the corrected p is far above 0.05, up to 1. "Better" and
"worse" need a corrected p ≤ 0.05. "Not told apart" is not "equal": the interval says which differences the bank leaves
open. [Scoring](scoring.md) has the methods.

**The best constant is chosen in hindsight**: it is the one of four with the highest Combined on the rows that are
scored, all of them, labels included, while a learned router has seen the labels of other folds only. That favours the
constant, most where two constants are close, as `always-low` and `always-high` are on `rehearsal`. A router that is not
better than it may still be better than the constant that one would have chosen beforehand.

**Default settings.** Those of `stage` are from Switchyard, and the weight 0.7 and the sharpness 9 of `clusters` from
Avengers-Pro; the others are ours, as the routers' docstrings say. They were written before the first version of these
tables was committed, before the present labels of `rehearsal` were found and before `small-models` existed, and have
not changed since. The tests beside them use banks that are made up, with a planted signal. But the three real banks
were at hand while the routers were written, and no record says what was tried on them: the number of hashed words, the
rule for which of them are kept, and the dimensions of `boosting` changed before the first commit of a table. The rules
know how mini-swe-agent, the agent of `swemini_g3p_dev`, shows a failed command (`<returncode>`). So take the real banks
as seen, which favours the routers, by an amount that nobody measured.

*ms* is the 95th percentile of how long a decision took, by the clock of a machine that was busy with other work: for a
rule a call in twinbench's process, for a learned router also the way to its own process and back. A rule reads only
what is new in a conversation since the last call of its session. A bank may hold only some of an agent's steps: between
two rows of a trajectory of `swemini_g3p_dev` there are 14 new messages (median; at most 54), so one decision reads what
a running agent shows in seven. Measured apart, `stage`, `cascade` and `periodic` take 0.4 ms of processor time there
(median; 1.4 ms at the 95th percentile); what the table has beyond that is waiting for the busy machine. A test holds
the processor time of `stage` and `cascade` to 1 ms and that of `ordinal` to 10 ms (95th percentiles), where each
decision reads two new messages of a conversation that grows to 50,000 tokens, as in a live run.

Labels of `swemini_g3p_dev` are of whole tasks: every call of a trajectory has the label of its task, so a router that
tells easy calls from hard ones gains nothing there. Models of `rehearsal` are simulated.
"""

_ROW = re.compile(
    r"^\| `(?P<router>[^`]+)` \|.*\| (?P<said>better|worse|cheaper|dearer|not told apart) "
    r"\((?:(?P<less>[-+][\d.]+) \[(?P<low>[-+\d.]+), (?P<high>[-+\d.]+)\], p (?P<p>[^)]+)|[^)]*)\) \|$",
    re.MULTILINE,
)
"""The row of a router that is compared with the best constant."""
_BEST = re.compile(r"best constant is `([^`]+)`")


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
    return {name: f"{text.rstrip()}\n" for text, name in _SECTION.findall(old) if name != _READING}


def write_sections(sections: Mapping[str, str]) -> None:
    """Write the page anew with these sections, in their order."""
    PAGE.write_text(page(sections), "utf-8")


def page(sections: Mapping[str, str]) -> str:
    """Return the text of the page with these sections, in their order."""
    introduction = INTRODUCTION.format(conclusion=conclusion(sections))
    return "\n".join([introduction, *sections.values()])


def conclusion(sections: Mapping[str, str]) -> str:
    """Return what came out over all banks, counted from the tables of the sections."""
    rows = {name: [*_ROW.finditer(text)] for name, text in sections.items() if name != BILLS}
    every = [(name, row) for name, found in rows.items() for row in found]
    better, worse, same = _count(row["said"] for _, row in every)
    banks = [name for name, found in rows.items() if any(row["said"] == "better" for row in found)]
    alike = sum(row["less"] is None for _, row in every)
    lines = [
        f"**What came out.** Of {len(every)} comparisons with the best constant, on {len(rows)} banks, "
        f"{better} {'is' if better == 1 else 'are'} better, {worse} worse, and {same} not told apart"
        + (f" ({alike} of them with the same score on every trajectory)." if alike else "."),
        f"Better ones are on {_listed([f'`{name}`' for name in banks])}."
        if banks
        else "So no router that ships is shown to be worth more than naming one tier for every call.",
    ]
    measured = [(name, row) for name, row in every if row["less"] is not None]
    if measured:
        name, row = max(measured, key=lambda each: float(each[1]["less"]))
        lines.append(
            f"The largest gain is that of `{row['router']}` on `{name}`: {row['less']} points of Combined "
            f"[{row['low']}, {row['high']}], p {row['p']} after correction."
        )
        lines.append(_left_open(rows))
    if BILLS in sections:
        lines.append(_conclusion_of_bills(sections[BILLS]))
    return textwrap.fill(" ".join(lines), _LINE, break_long_words=False, break_on_hyphens=False)


def _left_open(rows: Mapping[str, Sequence[re.Match[str]]]) -> str:
    """Say up to which gain the intervals of those that are not told apart reach."""
    ends = {
        name: max(float(row["high"]) for row in found if row["less"] is not None and row["said"] == "not told apart")
        for name, found in rows.items()
        if any(row["less"] is not None and row["said"] == "not told apart" for row in found)
    }
    shown = _listed([f"{end:+.1f} on `{name}`" for name, end in ends.items()])
    return f"Nor do the tables show that there is no gain: intervals of those not told apart reach up to {shown}."


def _conclusion_of_bills(section: str) -> str:
    """Return what came out of rehearsals, as a sentence."""
    rows = [*_ROW.finditer(section)]
    cheaper, dearer, same = _count((row["said"] for row in rows), "cheaper", "dearer")
    constant = found[1] if (found := _BEST.search(section)) else "the best constant"
    least = min((row for row in rows if row["less"] is not None), key=lambda row: float(row["less"]))
    return (
        f"In rehearsals, with simulated models, {cheaper} of {len(rows)} bills are cheaper than that of `{constant}`, "
        f"the best constant there, {dearer} dearer, and {same} not told apart. The lowest is that of "
        f"`{least['router']}`, which differs by {least['less']} USD [{least['low']}, {least['high']}]."
    )


def _count(said: Iterable[str], up: str = "better", down: str = "worse") -> tuple[int, int, int]:
    words = list(said)
    return words.count(up), words.count(down), words.count("not told apart")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


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
