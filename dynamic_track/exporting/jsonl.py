"""A run as JSON lines: its answered calls, its trials, or every single attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from dynamic_track.exporting.conversation import tries
from dynamic_track.results.loaded import LoadedRun, call_rows, case_rows
from twinbench.calls.completion import replace_surrogates
from twinbench.calls.recording import RecordedAttempt
from twinbench.routing.usage import Usage


class What(StrEnum):
    """What a line is of."""

    calls = "calls"
    trials = "trials"
    attempts = "attempts"


def json_lines(run: LoadedRun, what: What = What.calls) -> Iterator[str]:
    """A run, a JSON object a line; each says whether the run was a rehearsal.

    Args:
        run: loaded.
        what: a line is of. ``calls`` add up to what the answers cost the agents, ``trials`` to the whole score, and
            ``attempts`` to everything that was spent.
    """
    rows = {What.calls: call_rows, What.trials: case_rows, What.attempts: attempt_rows}[what]
    for row in rows(run):
        yield json.dumps(replace_surrogates({"simulated": run.simulated, **row}), allow_nan=False) + "\n"


def attempt_rows(run: LoadedRun) -> list[dict[str, Any]]:
    """Each HTTP request of a run as a flat row: answered or not, the agent's and the router's own, those of trials that
    were given up and begun anew among them.
    """
    return [
        {
            "run": str(run.path),
            "router": run.router,
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
