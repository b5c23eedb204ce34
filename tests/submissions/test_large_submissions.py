"""Submissions of the size of heldout100: verified in minutes, and in memory that a file's claims do not stretch."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.submission.reading import MOST_JOURNAL_BYTES
from dynamic_track.tasks.task import Task
from tests.cli.commands import SCRIPT, twinbench
from tests.dynamic_track.live import EASY, KEY, KEY_VARIABLE, gold, named, said, step_of
from tests.scripted.server import ScriptedServer
from tests.submissions.handing_in import contents, forge, pack, write_router
from twinbench.fingerprint import sha256_text

pytestmark = pytest.mark.acceptance

CASES = 100
LOOKS = 25
"""Commands that look around before a case is solved; runs on SWE-bench have 30 steps in the mean."""
MOST_SECONDS = 120
MOST_MIB = 2048
_LIMIT_BYTES = 12 * 2**30
"""Of address space: what takes more fails instead of ending the machine."""
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stdout, done.stderr, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


@dataclass(frozen=True)
class Verified:
    """A verification in a process of its own."""

    code: int
    report: dict[str, Any]
    error: str
    cpu_s: float
    wall_s: float
    peak_mib: float

    @property
    def failed(self) -> set[str]:
        return {check["name"] for check in self.report["checks"] if check["status"] == "fail"}

    def told(self, what: str, file: Path) -> str:
        """A line of evidence."""
        size = file.stat().st_size / 2**20
        used = f"{self.cpu_s:.1f} s of CPU, {self.wall_s:.1f} s, {self.peak_mib:,.0f} MiB at most"
        failed = ", ".join(sorted(self.failed)) or "none"
        return f"evidence: {what} ({size:.1f} MiB packed): {used}; failed checks: {failed}"


def verified(file: Path, *more: str | Path) -> Verified:
    """Verify a submission, and measure what that takes."""
    command = [SCRIPT, "submit", "verify", file, "--ask", "none", "--json", *more]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES)),
    )
    wall = time.monotonic() - begun
    code, out, error, cpu, peak = json.loads(done.stdout)
    return Verified(code, json.loads(out) if out else {"checks": []}, error, cpu, wall, peak)


def looking_around(task: Task) -> Callable[[ReceivedRequest], Reply]:
    """A script that looks at files for a while, and then solves its task."""
    _, *solution = gold(task)
    looks = [f"echo look {number}; git log --stat | head -40; seq {number} {number + 400}" for number in range(LOOKS)]
    commands = [*looks, *solution]
    return lambda asked: said(commands[step_of(asked) - 1])


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> tuple[Path, Path]:
    """A run of a hundred cases, all of them of one problem under other names; the tasks, and the submission."""
    folder = tmp_path_factory.mktemp("large")
    router = write_router(folder / "router")
    task = named(rehearsal, EASY)
    tasks = folder / "tasks.jsonl"
    rows = [replace(task, id=f"own__case-{number:03}").to_row() for number in range(CASES)]
    tasks.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    run = folder / "run"
    with pytest.MonkeyPatch.context() as patch, ScriptedServer(looking_around(task)) as server:
        patch.setenv(KEY_VARIABLE, KEY)
        asked = ("dynamic", "run", router, "--tasks", tasks, "--run", run, "--api-base", server.api_base)
        more = ("--api-key-env", KEY_VARIABLE, "--run-usd", "1000", "--workers", str(2 * (os.cpu_count() or 1)))
        twinbench(*asked, *more, "--json").succeeded()
    file = folder / "large.zip"
    pack(router, file, "--run", run).succeeded()
    return tasks, file


def test_a_hundred_cases_are_verified_in_two_minutes(handed_in: tuple[Path, Path]) -> None:
    tasks, file = handed_in
    journal = len(contents(file)["runs/run-1/journal/journal.jsonl"]) / 2**20
    found = verified(file, "--tasks", tasks, "--commitments", file.parent / "run" / "commitments")
    print(found.told(f"verify of {CASES} cases of {LOOKS + 2} steps, a journal of {journal:.1f} MiB", file))
    # All are copies of one case, and that is seen: the answers are the same, and so is what the verdicts were made of.
    assert found.failed <= {"reused-trace", "verdict"}
    assert found.report["results"]
    assert found.cpu_s <= MOST_SECONDS
    assert found.peak_mib <= MOST_MIB


def test_memory_is_bounded_whatever_a_file_claims(handed_in: tuple[Path, Path], tmp_path: Path) -> None:
    tasks, file = handed_in
    journal = "runs/run-1/journal/journal.jsonl"
    lines = contents(file)[journal].splitlines(keepends=True)
    honest = b"".join(lines)
    again = honest * (MOST_JOURNAL_BYTES // len(honest))
    short = b'{"kind":"x","fields":{}}\n' * 900_000
    nested = b'{"kind":"x","fields":' + b"[" * 500_000 + b"]" * 500_000 + b"}\n"
    tall = b'{"kind":"x","fields":{"a":[' + b"1," * (20 * 2**20) + b"1]}}\n"
    for what, content in {
        "a journal as long as it may be": again,
        "900,000 short lines": honest + short,
        "lines that are nested": honest + nested * 20,
        "a line of 20 million numbers": honest + tall,
    }.items():
        forged = forge(file, tmp_path / "forged.zip", files={journal: content})
        found = verified(forged, "--tasks", tasks)
        print(found.told(what, forged))
        assert (found.code, bool(found.failed)) == (1, True), found.error[-2000:]
        assert found.peak_mib <= 2 * MOST_MIB


def test_a_router_that_has_seen_much_is_recognised_within_bounds(tmp_path: Path) -> None:
    """What trained routers say that they have seen may be as large as it may be, and alike throughout."""
    from tests.submissions.test_trained_submissions import FOLDER, LEARNER  # whose helpers make such folders

    router = write_router(tmp_path / "router", LEARNER)
    twinbench("bank", "split", "rehearsal", "--parts", "train=60,test=40").succeeded()
    model = tmp_path / "model"
    train = ("router", "train", router.replace(":Mine", ":Learns"), "--bank", "rehearsal", "--split", "train")
    twinbench(*train, "--out", model).succeeded()
    file = tmp_path / "mine.zip"
    pack(str(model), file, "--bank", "rehearsal:test", info=tmp_path / "router" / "submission.toml").succeeded()
    sketch = list(range(256))
    seen = {"groups": [f"g/{number}" for number in range(100_000)], "sketches": [sketch] * 20_000, "templates": {}}
    data = json.dumps(seen, separators=(",", ":")).encode()
    artefact = json.loads(contents(file)[f"{FOLDER}/artefact.json"])
    artefact["files"]["seen.json"] = sha256_text(data.decode())
    told = json.dumps(artefact).encode()
    forged = forge(file, tmp_path / "seen.zip", files={f"{FOLDER}/seen.json": data, f"{FOLDER}/artefact.json": told})
    found = verified(forged)
    print(found.told(f"a router that has seen 20,000 texts, {len(data) / 2**20:.1f} MiB", forged))
    assert {"router-files", "training"} <= found.failed
    assert found.peak_mib <= 2 * MOST_MIB
    assert found.cpu_s <= MOST_SECONDS
