"""Run directories written by hand, as a live run leaves them: for what needs no engine and no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinbench.calls.journal import Journal
from twinbench.fingerprint import sha256_text
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest

LOW = "deepseek/deepseek-v3.2"
HIGH = "anthropic/claude-opus-4.6"


@dataclass(frozen=True)
class Call:
    """One step: who answers, what it says, which command comes of it, and what that gives."""

    candidate: str = LOW
    says: str = "Let me look."
    command: str = "ls"
    gives: str = "README.md\n"
    rationale: str | None = None
    router_error: str | None = None
    failed: str | None = None
    """Why an attempt failed before the one that was answered."""
    usage: tuple[int, int, int, int] = (100, 900, 0, 50)
    hour: int = 0
    """Of what was written to a cache, for one hour."""
    cost_usd: str = "0.001"


@dataclass(frozen=True)
class Case:
    """One trial."""

    name: str = "a__a-1"
    calls: Sequence[Call] = (Call(), Call(HIGH))
    resolved: bool | None = True
    cause: str | None = None
    detail: str | None = None
    patch: str = "--- a/x\n+++ b/x\n"
    ended: bool = True


def write_live_run(
    folder: Path,
    cases: Sequence[Case] = (Case(),),
    *,
    router: str = "sticky",
    simulated: bool = False,
    pool: str = DEFAULT_LIVE,
    seed: str = "0",
) -> Path:
    """A run directory."""
    folder.mkdir(parents=True)
    identity = {
        "tasks": "0" * 64,
        "router": {"spec": router, "fingerprint": "1" * 64},
        "pool": {"name": pool, "fingerprint": live_manifest(pool).fingerprint},
        "agent": {"scaffold": "mini-swe-agent", "version": "2.4.6", "actions": "tool", "settings_sha256": "2" * 64},
        "grader": {"swebench": "5.0.2"},
        "overrides": {"network": False},
        "seed": seed,
        "trials": 1,
        **({"provider": {"simulation": "3" * 64}} if simulated else {}),
    }
    names = list(dict.fromkeys(case.name for case in cases))
    plan = {"identity": identity, "where": {"tasks": "rehearsal", "dataset": None, "pool": pool}, "cases": names}
    (folder / "plan.json").write_text(json.dumps(plan), "utf-8")
    with Journal.open(folder / "journal") as journal:
        journal.append("sitting", cases=names, trials=1, workers=1, graded=True, run_usd=None, at=1.0)
        for case in cases:
            _write_case(journal, case)
    return folder


def _write_case(journal: Journal, case: Case) -> None:
    request = {"request_key": "7" * 64, "request_sha256": "8" * 64}

    def write(kind: str, **fields: Any) -> None:
        journal.append(kind, case=case.name, trial=1, at=2.0, **fields)

    write("trial", task="4" * 64, image="5" * 64, pool="6" * 64, agent={})
    for step, call in enumerate(case.calls, 1):
        write(
            "decision",
            step=step,
            candidate=call.candidate,
            score=0.25,
            rationale=call.rationale,
            error=None,
            latency_ms=0.5,
            prompt_tokens={LOW: 1000},
            **({} if call.router_error is None else {"router_error": call.router_error}),
        )
        for attempt, failed in enumerate((True, False) if call.failed is not None else (False,), 1):
            write("reserve", step=step, attempt=attempt, candidate=call.candidate, reserved_usd="0.01", **request)
            counts = Usage(*call.usage, cache_write_1h=call.hour).to_json()
            answered = {"choices": [{"message": {"role": "assistant", "content": call.says}}]}
            write(
                "settle",
                step=step,
                attempt=attempt,
                cause="transport" if failed else None,
                detail=call.failed if failed else None,
                usage=None if failed else counts,
                cost_usd="0.0002" if failed else call.cost_usd,
                at_reservation=False,
                reported_cost_usd=None,
                served_model=call.candidate,
                served_by=None,
                latency_s=1.5,
                status=500 if failed else 200,
                response=None if failed else json.dumps(answered).encode(),
            )
        write("command", step=step, index=0, command=call.command)
        write(
            "observation",
            step=step,
            index=0,
            output=call.gives.encode("utf-8", "surrogatepass"),
            returncode=0,
            exception_info="",
            ended="exited",
            seconds=0.1,
        )
    if case.ended:
        patch = {"patch": case.patch.encode(), "patch_sha256": sha256_text(case.patch)}
        write("end", cause=case.cause, detail=case.detail, exit_status="Submitted", **patch)
        if case.cause is None:
            write("verdict", cause=None, detail=None, resolved=case.resolved, fingerprint=None)
