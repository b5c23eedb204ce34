"""Writes docs/real-banks.md: which built-in routers differ from the best constant on real banks.

python docs/make_real_banks.py FOLDER

``FOLDER`` has a folder for each bank with its ``question_bank.jsonl.gz``. The banks are other people's and stay where
they are; what is written are scores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import twinbench as tb
from static_track.board import Comparison, Pair
from twinbench.display.wording import format_trajectories
from twinbench.routers.registry import BUILT_IN, has_to_be_trained
from twinbench.routing.built_in import CONSTANTS

PAGE = Path(__file__).resolve().parent / "real-banks.md"
LEVEL = 0.95

INTRODUCTION = """\
# Built-in routers on real banks

Written by `python docs/make_real_banks.py FOLDER` from three banks of real agents, which are not shipped:

- `official_part`: a part of TwinRouterBench's own bank, from the public parts of its workloads;
- `bfcl_2024_08`: function calling, one step a trajectory;
- `swemini_g3p_dev`: mini-swe-agent on SWE-bench, long trajectories.

A router that does not beat the best constant of a bank has not been shown to route on it. *Difference* is in points of
Combined, the router less the best constant, with a 95 % interval by the paired bootstrap over trajectories; *p* is
corrected for all pairs of the bank's table (Holm). [Scoring](scoring.md) has the methods.
"""


def page(folder: Path) -> str:
    """The page's text, from the banks in a folder."""
    parts = [INTRODUCTION]
    with tempfile.TemporaryDirectory() as store:
        for path in sorted(folder.glob("*/question_bank.jsonl.gz")):
            name = path.parent.name
            info = tb.import_bank(path, name, store=store)
            found = tb.compare([each for each in BUILT_IN if not has_to_be_trained(each)], name, store=store)
            parts.append(section(found, f"{info.rows:,} rows, {format_trajectories(info.trajectories, info.groups)}"))
    return "\n".join(parts)


def section(found: Comparison, size: str) -> str:
    """One bank's table."""
    combined = {entry.router: entry.score.scores["combined"] or 0.0 for entry in found.entries}
    best = max(CONSTANTS, key=lambda router: combined[router])
    lines = [
        f"## {found.bank.name}",
        "",
        f"{size}. The best constant is `{best}` with {combined[best]:.2f}.",
        "",
        *([] if found.caveat is None else [found.caveat, ""]),
        "| router | Combined | difference | p | |",
        "|---|---|---|---|---|",
    ]
    others = sorted(combined.keys() - {best}, key=lambda each: (-combined[each], each))
    lines += [_line(router, combined[router], _pair(found, router, best), best) for router in others]
    return "\n".join((*lines, ""))


def _line(router: str, combined: float, pair: Pair, best: str) -> str:
    found = pair.differences["combined"]
    sign = 1 if pair.second == best else -1
    difference = sign * (found.difference or 0.0)
    ends = found.interval.ends
    interval = (
        found.interval.reason or "–" if ends is None else "[{:.2f}, {:.2f}]".format(*sorted(sign * e for e in ends))
    )
    p = found.p_holm
    said = "not told apart"
    if p is not None and p <= 1 - LEVEL:
        said = "better" if difference > 0 else "worse"
    shown = "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return f"| `{router}` | {combined:.2f} | {difference:+.2f} {interval} | {shown} | {said} |"


def _pair(found: Comparison, one: str, other: str) -> Pair:
    return next(pair for pair in found.pairs if {pair.first, pair.second} == {one, other})


if __name__ == "__main__":
    PAGE.write_text(page(Path(sys.argv[1])), "utf-8")
