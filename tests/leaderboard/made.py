"""Submissions that are listed in tests: documents as a verification makes them, with results that are drawn."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from twinbench.checks import Status
from twinbench.fingerprint import sha256_text
from twinbench.leaderboard.protocols import CurrentProtocols
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.manifest import (
    ArchivedFile,
    Contact,
    Division,
    JournalHead,
    LivePart,
    StaticPart,
    SubmissionManifest,
    SubmittedRouter,
)
from twinbench.submissions.report import (
    Doubt,
    Level,
    ReportedCheck,
    SignatureFound,
    SubmissionFile,
    VerificationReport,
    VerifiedResult,
)

PROTOCOLS = CurrentProtocols(static=sha256_text("static"), live=sha256_text("live"))
NOW = "2026-11-30T08:00:00Z"
CONSTANTS = {"always-low": 31.0, "always-high": 53.0, "cost-optimal": 87.0}


def static_score(router: str, combined: float, spread: float | None) -> dict[str, JsonValue]:
    """A router's object in the JSON of ``static score``, as far as the leaderboard reads it."""
    names = ("combined", "row_pass", "row_exact", "traj_pass", "cost_save")
    return {
        "router": router,
        "reference": router in CONSTANTS,
        "scores": dict.fromkeys(names, combined),
        "counts": {"rows": 970, "errors": 0, "trajectories": 520, "passed_trajectories": 100},
        "cost_usd": 40 - combined / 5,
        "above_best_constant": combined - 53,
        "intervals": {
            name: None if spread is None else [max(combined - spread, 0), min(combined + spread, 100)] for name in names
        },
    }


def static_result(
    title: str = "mine",
    combined: float = 60.0,
    *,
    spread: float | None = 3.0,
    bank: str = "official",
    protocol: str = PROTOCOLS.static,
    in_sample: bool = False,
    caveat: str | None = None,
    ranks_nothing: bool = False,
) -> VerifiedResult:
    """A verified result on a bank."""
    about: dict[str, JsonValue] = {"name": bank, "sha256": sha256_text(bank), "split": None, "rows": 970}
    if caveat is not None:
        about["caveat"] = caveat
    if ranks_nothing:
        about["ranks_nothing"] = True
    return VerifiedResult(
        division=Division.static,
        kind="static",
        subject=f"static/{bank}/predictions.jsonl",
        comparable=sha256_text(f"{bank} {protocol}"),
        in_sample=in_sample,
        setting={
            "bank": about,
            "protocol": protocol,
            "order_seed": 0,
            "resampling": {"resamples": 2000, "level": 0.95, "seed": 0},
        },
        score=static_score(title, combined, spread),
        references=tuple(static_score(name, value, 4) for name, value in CONSTANTS.items()),
    )


def live_result(
    resolved: int = 70,
    *,
    division: Division = Division.live,
    subject: str = "runs/mine",
    commitments: tuple[str, ...] = (),
    pool: str = PROTOCOLS.live,
) -> VerifiedResult:
    """A verified run of 100 cases."""
    bill = 20 + 0.6 * (100 - resolved)
    return VerifiedResult(
        division=division,
        kind="live",
        subject=subject,
        comparable=sha256_text(f"{division} {pool}"),
        simulated=division is Division.rehearsal,
        setting={"pool": {"name": "live-2026-04", "fingerprint": pool}, "cases": 100, "penalty_usd": 0.6},
        score={
            "cases": 100,
            "resolved": resolved,
            "unresolved": 100 - resolved,
            "infra": 0,
            "cap": 0,
            "cost_usd": 20.0,
            "bill_usd": bill,
            "give_up_usd": 60.0,
            "avg_steps": 31.5,
            "router_failure": None,
            "intervals": {
                "bill_usd": [bill - 5, bill + 5],
                "cost_usd": [18, 22],
                "resolved": [resolved - 9, resolved + 9],
            },
        },
        commitments=commitments,
    )


def submission(
    name: str = "mine",
    *results: VerifiedResult,
    title: str | None = None,
    content: str = "",
    contact: str = "A. Person",
    key: str | None = None,
    levels: tuple[Level, ...] = (Level.verify,),
    failed: str | None = None,
    checks: int = 12,
    **more: Any,
) -> tuple[bytes, VerificationReport]:
    """A manifest as bytes, and the report on a file that has it.

    Without ``results`` there is one static result. Another ``content`` makes another file. ``failed`` is the name of a
    check that failed, ``checks`` how many passed, ``more`` are fields of the manifest.
    """
    found = results or (static_result(name),)
    digest = sha256_text(f"{name} {content}")
    manifest = SubmissionManifest(
        name=name,
        title=title or f"Router {name}",
        contact=Contact(name=contact, email="person@example.org"),
        licence="Apache-2.0",
        twinbench="0.1.0",
        router=SubmittedRouter(spec="my_router.py:Mine", fingerprint=digest, files=("router/my_router.py",)),
        static=tuple(static_part(each) for each in found if each.kind == "static"),
        live=tuple(live_part(each, content) for each in found if each.kind == "live"),
        files={"router/my_router.py": ArchivedFile(sha256=digest, bytes=100)},
        **more,
    )
    data = manifest.text().encode()
    told = [
        ReportedCheck(
            name=f"check {number}", subject="runs/mine", status=Status.passed, reason="as an honest run has it"
        )
        for number in range(checks)
    ]
    told.append(
        ReportedCheck(name="commitment", subject="runs/mine", status=Status.warned, reason="none was posted before it")
    )
    if failed is not None:
        told.append(ReportedCheck(name=failed, subject="runs/mine", status=Status.failed, reason="it cannot be true"))
    report = VerificationReport(
        name=name,
        file=SubmissionFile(name=f"{name}.zip", sha256=digest, bytes=12_345),
        manifest=hashlib.sha256(data).hexdigest(),
        twinbench="0.1.0",
        verified_at=NOW,
        nonce="7b1c",
        levels=levels,
        samples={level: 9 for level in levels if level is not Level.verify},
        signature=SignatureFound(signed=key is not None, key=key),
        checks=tuple(told),
        results=found,
        doubts=(Doubt(what="Answers of models that were never called.", closed_by="--rerun N"),),
    )
    return data, report


def static_part(result: VerifiedResult) -> StaticPart:
    """What the manifest claims of a static result."""
    bank = result.setting["bank"]
    assert isinstance(bank, dict)
    return StaticPart(
        predictions=f"static/{bank['name']}/predictions.jsonl",
        bank=str(bank["name"]),
        bank_sha256=str(bank["sha256"]),
        protocol=str(result.setting["protocol"]),
        rows=970,
        scores={},
        in_sample=result.in_sample,
    )


def live_part(result: VerifiedResult, content: str) -> LivePart:
    """What the manifest claims of a run; another content makes another run."""
    return LivePart(
        run=result.subject,
        spec="my_router.py:Mine",
        plan=sha256_text("plan"),
        pool="live-2026-04",
        pool_fingerprint=PROTOCOLS.live,
        cases=100,
        trials=100,
        resolved=70,
        unresolved=30,
        infra=0,
        cost_usd=20.0,
        bill_usd=38.0,
        head=JournalHead(line=1000, sha256=sha256_text(f"head {content}")),
        commitments=result.commitments,
        division=result.division,
    )


def commitment(results: Path, number: int = 0) -> str:
    """Post a commitment; returns its digest."""
    fields: dict[str, Any] = {
        "plan": sha256_text("plan"),
        "router": "my_router.py:Mine",
        "router_fingerprint": None,
        "pool": "live-2026-04",
        "pool_fingerprint": PROTOCOLS.live,
        "tasks": None,
        "cases": ("a__a-1", "b__b-2"),
        "trials": 1,
        "made_at": NOW,
        "nonce": sha256_text(f"nonce {number}"),
    }
    blank = Commitment.model_construct(digest="", **fields)
    found = Commitment(digest=blank.made_digest, **fields)
    folder = results / "commitments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / found.file_name).write_text(found.text(), "utf-8")
    return found.digest


def many(count: int) -> list[tuple[bytes, VerificationReport]]:
    """Submissions of all divisions, most of them static ones on one bank."""
    draw = random.Random(27)  # noqa: S311 - the same draws each time
    found = []
    for number in range(count):
        name, kind = f"router-{number:04}", number % 10
        if kind < 7:
            bank = "official" if kind < 6 else f"bank-{number % 40}"
            result = static_result(name, draw.uniform(20, 80), bank=bank)
        else:
            division = (Division.live, Division.open, Division.rehearsal)[kind - 7]
            result = live_result(draw.randrange(40, 90), division=division)
        found.append(submission(name, result, checks=60))
    return found
