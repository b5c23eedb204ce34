"""Exports a run as JSON lines: its answered calls, its trials, every single attempt, or its patches in SWE-bench's
format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from dynamic_track.exporting.conversation import patch_text, tries
from dynamic_track.results.loaded import LoadedRun, call_rows, case_rows
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.recording import RecordedAttempt
from twinbench.causes import CAUSES, Counts
from twinbench.routing.usage import Usage


class What(StrEnum):
    """What each line describes."""

    calls = "calls"
    trials = "trials"
    attempts = "attempts"
    predictions = "predictions"


def json_lines(run: LoadedRun, what: What = What.calls, number: int = 1) -> Iterator[str]:
    """Yield a run as JSON objects, one a line; each says whether the run was a rehearsal.

    Args:
        run: a loaded run.
        what: what each line describes. ``calls`` add up to the cost of the agents' answers, ``trials`` to the whole
        score,
            and ``attempts`` to everything that was spent. ``predictions`` are patches in SWE-bench's format.
        number: which trial of each case ``predictions`` contain.
    """
    if what is What.predictions:
        rows = prediction_rows(run, number)
    else:
        rows = {What.calls: call_rows, What.trials: case_rows, What.attempts: attempt_rows}[what](run)
    for row in rows:
        yield json.dumps(replace_surrogates({"simulated": run.simulated, **row}), allow_nan=False) + "\n"


def prediction_rows(run: LoadedRun, number: int = 1) -> list[dict[str, Any]]:
    """Return the patches of a run in SWE-bench's format, which has one patch for each case.

    A trial that infrastructure or the cap ended has no patch of its agent, and is left out.

    Args:
        run: a loaded run.
        number: which trial of each case.
    """
    return [
        {
            "instance_id": trial.id,
            "model_name_or_path": f"twinbench/{run.shown_router}",
            "model_patch": patch_text(recording),
        }
        for recording, trial in zip(run.recorded, run.trials, strict=True)
        if trial.trial == number and (trial.cause is None or CAUSES[trial.cause].counts is Counts.unresolved)
    ]


def attempt_rows(run: LoadedRun) -> list[dict[str, Any]]:
    """Return each HTTP request of a run as a flat row: answered or not, the agent's and the router's own, including
    those of trials that were stopped and started again.
    """
    return [
        {
            "run": run.name,
            "router": run.shown_router,
            "case": recording.case,
            "trial": recording.trial,
            "try": number,
            "step": step,
            "own": own,
            **_attempt(attempt),
        }
        for recording in run.recorded
        for number, each in tries(recording)
        for step in sorted(each.steps)
        for own, attempts in (
            *((own, call.attempts) for own, call in sorted(each.steps[step].own.items())),
            (None, each.steps[step].attempts),
        )
        for attempt in attempts
    ]


def _attempt(attempt: RecordedAttempt) -> dict[str, Any]:
    reserve, settle, usage, told = attempt.reserve, attempt.settle, attempt.usage, attempt.reported_usd
    buckets = dict.fromkeys(asdict(Usage())) if usage is None else asdict(usage)
    return {
        "attempt": reserve.attempt,
        "candidate": reserve.candidate,
        "answered": attempt.answered,
        "cause": None if settle is None else settle.cause,
        "detail": None if settle is None else settle.detail,
        "status": None if settle is None else settle.status,
        **buckets,
        "cost_usd": float(attempt.spent_usd),
        "at_reservation": settle is None or settle.at_reservation,
        "reported_cost_usd": None if told is None else float(told),
        "at": reserve.at,
        "latency_s": None if settle is None else settle.latency_s,
        "served_model": None if settle is None else settle.served_model,
        "served_by": None if settle is None else settle.served_by,
    }
