"""What it costs a decision that a router lives in a process of its own."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

import psutil

from benchmarks.measuring import Measurement
from benchmarks.static import BANK
from static_track.banks.bank import Bank
from static_track.banks.importing import import_bank
from twinbench.plugins.loading import load_router
from twinbench.plugins.process_router import ProcessRouter
from twinbench.routing.built_in import DepthRule
from twinbench.routing.cache_policy import Prompt, StepTtl
from twinbench.routing.router import Candidate, Router
from twinbench.routing.session import Session
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store
from twinbench.testing import make_prompt

_ROUTER = """
from twinbench.routing.built_in import DepthRule


class Hosted(DepthRule):
    pass
"""
_LONG_PROMPTS = 200
_LONG_CHARACTERS = 200_000
_PIECE_CHARACTERS = 20


def measurements() -> Iterator[Measurement]:
    """Overhead on real trajectories and on long prompts, and the memory of the process."""
    candidates = static_manifest().candidates()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "hosted_router.py"
        file.write_text(_ROUTER, "utf-8")
        with load_router(f"{file}:Hosted").open(candidates) as hosted:
            if BANK.is_file():
                overhead = _overheads(hosted, _real_sessions(folder, candidates), candidates)
                shown = f"median {median(overhead):.2f} ms of {len(overhead)} decisions"
                yield Measurement(
                    "a decision in its own process, swemini_g3p_dev",
                    shown,
                    "in process",
                    median(overhead),
                    1,
                    unit=" ms",
                )
            else:
                print("skipped: the real bank swemini_g3p_dev is not beside the checkout", file=sys.stderr)
            overhead = _overheads(hosted, _long_sessions(), candidates)
            p95 = quantiles(overhead, n=20, method="inclusive")[18]
            shown = f"p95 {p95:.2f} ms of {len(overhead)} decisions"
            yield Measurement(
                f"the same, new prompts of {_LONG_CHARACTERS:,} characters", shown, "in process", p95, 2, unit=" ms"
            )
        with load_router(f"{file}:Hosted").open(candidates) as hosted:
            assert isinstance(hosted, ProcessRouter)
            largest = max(_resident_mib())
            yield Measurement("resident memory of the process", f"{largest:.0f} MiB", "–", largest, 40, unit=" MiB")


def _overheads(hosted: Router, sessions: Iterator[Sequence[Prompt]], candidates: tuple[Candidate, ...]) -> list[float]:
    """Milliseconds that each decision takes longer than the same class asked in this process."""
    inside = DepthRule()
    found = []
    for number, prompts in enumerate(sessions):
        session = Session(f"session-{number}", candidates, StepTtl(3))
        start, end = getattr(hosted, "start", None), getattr(hosted, "end", None)
        if start is not None:
            start(session.key)
        for prompt in prompts:
            call = session.open_call(prompt)
            started = time.perf_counter()
            far = hosted.route(call)
            between = time.perf_counter()
            near = inside.route(call)
            found.append(((between - started) - (time.perf_counter() - between)) * 1e3)
            assert getattr(far, "rationale", None) == near.rationale
            session.record_failure()
        if end is not None:
            end(session.key)
    return found


def _real_sessions(folder: Path, candidates: tuple[Candidate, ...]) -> Iterator[Sequence[Prompt]]:
    store = Store(folder / "store")
    import_bank(str(BANK), "real", store)
    with Bank.open("real", store) as bank:
        for trajectory in bank.trajectories(candidates):
            yield [step.prompt for step in trajectory.steps]


def _long_sessions() -> Iterator[Sequence[Prompt]]:
    draw = random.Random(0)  # noqa: S311 - the same prompts in every run
    pieces = ["".join(draw.choices("abcdefgh \n", k=_PIECE_CHARACTERS)) for _ in range(1000)]
    for _ in range(_LONG_PROMPTS):
        words = "".join(draw.choices(pieces, k=_LONG_CHARACTERS // _PIECE_CHARACTERS))
        yield [make_prompt([{"role": "user", "content": words}])]


def _resident_mib() -> list[float]:
    """Of each process below this one: the reaper, and the router's own."""
    return [child.memory_info().rss / 2**20 for child in psutil.Process().children(recursive=True)]
