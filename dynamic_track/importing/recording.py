"""Records runs of mini-swe-agent that were made elsewhere, so that they can be replayed.

The recording is made by our own pipeline: every call is answered from the file, in a RoutedCall, so that it is
classified, priced and written like any other. The recorded requests are those that *this* pool would have sent; no file
tells which requests were really sent.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track.importing.costs import CallCost, call_costs, sum_costs, sums_to_json
from dynamic_track.running.agent import ActionFormat, parse_commands
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.runner import write_case
from dynamic_track.running.trial import summarise_trial
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import Request, Response, ResponseSource
from twinbench.calls.journal import Journal
from twinbench.calls.lines import (
    CommandLine,
    Conversation,
    DecisionLine,
    DecisionResult,
    End,
    Settle,
    TrialBegins,
    TrialLine,
)
from twinbench.calls.mini_swe_agent import ModelCall, Trajectory, read_trajectories, trajectory_files
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import Recording
from twinbench.calls.routed import Decider, RecordingDecider, RoutedCall, TrialClock
from twinbench.calls.translation import ConversationMessage
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import CausedError
from twinbench.display.progress import Progress
from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.fingerprint import sha256_text
from twinbench.routing.cache_policy import WallClockTtl
from twinbench.routing.router import Call, Limits
from twinbench.routing.session import Session, session_key
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.text.tokens import find_tokenizer_set

_TRIAL = 1
_SALT = "imported"
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class ImportedRun:
    """One run: its calls, and how many of them are recorded."""

    case: str
    source: str
    version: str | None
    """The version of mini-swe-agent."""
    calls: tuple[CallCost, ...]
    recorded: int
    """How many of the calls are in the recording, with their response."""
    exit_status: str
    incomplete_reason: str | None
    """Why not all calls are recorded."""

    @property
    def sums(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        """The sums of the computed costs, of the reported costs and of their differences; None for a sum with an
        unknown part.
        """
        return sum_costs(self.calls)

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON object."""
        return {
            "case": self.case,
            "source": self.source,
            "mini_version": self.version,
            "calls": len(self.calls),
            "recorded": self.recorded,
            **sums_to_json(*self.sums),
            "exit_status": self.exit_status,
            "why": self.incomplete_reason,
            "by_call": [call.to_json() for call in self.calls],
        }


@dataclass(frozen=True)
class ImportResult:
    """The result of an import."""

    path: str | None
    """The run directory; None if none was made, because no call is recorded."""
    pool: str
    runs: tuple[ImportedRun, ...]
    problems: tuple[Problem, ...]
    """The problems of the files that were left out."""

    @property
    def is_complete(self) -> bool:
        """Whether every call of every file is recorded."""
        return not self.problems and all(run.incomplete_reason is None for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the import as a JSON object."""
        return {
            "run": self.path,
            "pool": self.pool,
            "runs": [run.to_json() for run in self.runs],
            "problems": [problem.to_json() for problem in self.problems],
        }


def import_runs(paths: Sequence[str], run: Path, pool: LiveManifest, where: str, progress: Progress) -> ImportResult:
    """Make a run directory from trajectory files, with all calls that have recorded responses of models in the pool.

    Args:
        paths: trajectory files, and folders of them.
        run: the directory, which must not exist or be empty.
        pool: the pool whose prices and model names apply.
        where: how the pool was named, for a replay.
        progress: called after each file.

    Raises:
        UsageError: there is no such file, or the directory is not empty.
        ContentError: no file is a trajectory.
        TwinbenchError: the directory cannot be written.
    """
    if run.exists() and not (run.is_dir() and not any(run.iterdir())):
        raise UsageError(f"{run} exists: choose another --run; an import cannot continue a run")
    files = trajectory_files(paths)
    runs: list[ImportedRun] = []
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    with _temporary_folder(run) as folder:
        directory = RunDirectory(folder)
        with Journal.open(directory.journal) as journal:
            for done, found in enumerate(read_trajectories(files), 1):
                if isinstance(found, ContentError):
                    problems += found.problems
                elif not _is_folder_name(found.instance_id):
                    what = f"{found.instance_id[:60]!r} cannot name a folder, which a recording needs"
                    problems.append(Problem(found.source, None, "instance_id", what))
                else:
                    runs.append(_import_run(found, pool, directory, journal))
                    taken[found.instance_id] = found.sha256
                progress("recording runs", done, len(files))
            journal.sync()
        if not runs:
            raise ContentError(problems, hint="Nothing was imported.")
        _write_plan(folder, pool, taken, where)
        path = _move_into_place(folder, run) if any(each.recorded for each in runs) else None
    return ImportResult(path, pool.name, tuple(runs), tuple(problems))


class _FileSource(ResponseSource):
    """Answers calls with the responses in the file."""

    def __init__(self) -> None:
        self.response: Mapping[str, Any] = {}

    def fetch(self, _request: Request, _within_s: float) -> Response:
        """Return the response to the call that the file contains."""
        return Response(200, json.dumps(self.response).encode(), None, 0.0)


class _FileDecider(RecordingDecider):
    """Decides for the candidate that answered."""

    def __init__(self) -> None:
        self.candidate: str | None = None

    def decide(self, _call: Call, _recorded: DecisionLine | None) -> DecisionResult:
        """Return the candidate that answered, which must have been called."""
        return DecisionResult(candidate=self.candidate, score=None, rationale=None, error=None, latency_ms=None)


class FileClock:
    """A clock that shows the time at which, according to the file, calls were answered."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """Return seconds since 1970; 0 if the file has given no time yet."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Return at once."""


class _ImportLog(TrialLog):
    """A log that writes no latencies, because the file does not contain any."""

    def write(self, line: TrialLine, *, sync: bool = False) -> None:
        """Write a line."""
        if isinstance(line, Settle):
            line = line.model_copy(update={"latency_s": None})
        super().write(line, sync=sync)


def _import_run(trajectory: Trajectory, pool: LiveManifest, run: RunDirectory, journal: Journal) -> ImportedRun:
    costs = call_costs(trajectory, pool)
    clock, source, decides = FileClock(), _FileSource(), _FileDecider()
    log = _ImportLog(Recording(trajectory.instance_id, _TRIAL), journal, clock)
    clock.at = next((call.at for call in trajectory.calls if call.at is not None), 0.0)
    log.write(
        TrialBegins(
            **log.stamp(),
            pool=pool.fingerprint,
            imported={
                "scaffold": "mini-swe-agent",
                "version": trajectory.version,
                "format": trajectory.format,
                "sha256": trajectory.sha256,
                "actions": trajectory.style,
                "pattern": trajectory.pattern,
                "calls": len(trajectory.calls),
            },
            opening=list(trajectory.messages[: trajectory.calls[0].prefix]),
        )
    )
    asking = routed_call(pool, log, decides, source, clock)
    ended: CausedError | None = None
    why: str | None = None
    for call, cost in zip(trajectory.calls, costs, strict=True):
        if call.response is None or cost.candidate is None:
            why = f"call {call.number}: {cost.problem}"
            break
        clock.at = clock.at if call.at is None else call.at
        source.response, decides.candidate = call.response, cost.candidate
        conversation = [ConversationMessage(message) for message in trajectory.messages[: call.prefix]]
        try:
            asking.ask(conversation, trajectory.tools)
        except CausedError as error:
            ended, why = error, f"call {call.number}: {error.cause}: {error}"
            break
        for index, command in enumerate(_commands(trajectory, call)):
            log.write(CommandLine(**log.stamp(), step=call.number, index=index, command=command))
        log.write(Conversation(**log.stamp(), step=call.number, messages=_messages_after(trajectory, call)))
    log.write(
        End(
            **log.stamp(),
            exit_status=trajectory.exit_status,
            patch=trajectory.submission.encode(),
            patch_sha256=sha256_text(trajectory.submission),
            cause=None if ended is None else ended.cause,
            detail=why,
        )
    )
    recording = log.recording
    run.write(recording.case, _TRIAL, "patch.diff", trajectory.submission)
    write_case(run, summarise_trial(pool, recording))
    return ImportedRun(
        trajectory.instance_id,
        trajectory.source,
        trajectory.version,
        costs,
        len(recording.answers),
        trajectory.exit_status,
        why,
    )


def routed_call(
    pool: LiveManifest, log: TrialLog, decider: Decider, source: ResponseSource | None, clock: FileClock
) -> RoutedCall:
    """Return the RoutedCall for the calls of an imported trial: without the salt, budget or retries of a run of our
    own.
    """
    trial_clock = TrialClock(clock)
    name = (log.recording.case, str(log.recording.trial))
    return RoutedCall(
        session=Session(
            session_key(_SALT, *name),
            tuple(candidate.to_candidate() for candidate in pool.candidates),
            WallClockTtl(pool.wallclock_ttl_seconds, trial_clock),
            Limits(steps=pool.agent.step_limit, cost_usd=float(pool.agent.cost_limit_usd)),
        ),
        session_header=session_key(_SALT, "header", *name),
        decider=decider,
        source=source,
        trial_log=log,
        budget=Budget(None),
        clock=trial_clock,
        pool={candidate.id: candidate for candidate in pool.candidates},
        counter=PromptCounter(pool.candidates, find_tokenizer_set(static_manifest())),
        limits=RetryLimits(attempts=1),
    )


def _commands(trajectory: Trajectory, call: ModelCall) -> Sequence[str]:
    """Return the commands of a call that the run's agent found: those noted in the file, otherwise those in its
    conversation.
    """
    if call.actions is not None:
        return call.actions
    if not call.kept or (trajectory.style == "text" and trajectory.pattern is None):
        return []
    answer = trajectory.messages[call.prefix]
    return parse_commands(answer, ActionFormat(trajectory.style), trajectory.pattern or "") or []


def _messages_after(trajectory: Trajectory, call: ModelCall) -> list[Mapping[str, Any]]:
    answer = trajectory.messages[call.prefix : call.prefix + call.kept]
    return [*answer, *trajectory.messages_after(call)]


def _write_plan(folder: Path, pool: LiveManifest, taken: Mapping[str, str], where: str) -> None:
    identity = {
        "imported": "mini-swe-agent",
        "tasks": dict(taken),
        "router": {"spec": "imported", "fingerprint": None},
        "pool": {"name": pool.name, "fingerprint": pool.fingerprint},
        "agent": {"scaffold": "mini-swe-agent"},
        "grader": None,
        "overrides": {},
        "seed": _SALT,
        "trials": 1,
    }
    found = {"tasks": None, "dataset": None, "pool": where, "division": pool.division}
    RunPlan.make(identity, found, list(taken)).write(folder)


@contextmanager
def _temporary_folder(run: Path) -> Iterator[Path]:
    """Provide a folder beside ``run`` to write to, which is removed in the end unless it became ``run``."""
    target = run.absolute()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise TwinbenchError(f"cannot write {run} ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(folder: Path, run: Path) -> str:
    if run.is_dir():
        run.rmdir()  # the folder is empty
    folder.replace(run)
    return str(run)


def _is_folder_name(text: str) -> bool:
    """Return whether an untrusted string is a safe folder name (no path traversal)."""
    if not text.isprintable() or text.startswith(".") or set(text) & set("/\\:"):
        return False
    return len(text.encode()) <= _MAX_NAME_LENGTH
