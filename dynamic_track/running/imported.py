"""Runs of mini-swe-agent that were made elsewhere: what their calls cost, and recordings of them that replay.

The recording is made by our own pipeline: every call is asked again of the file, in a RoutedCall, so that it is judged,
priced and written as any other. What stands in it of a request is what *this* pool would have sent; what was sent then
no file tells. A replay goes through the model's side alone: each recorded response is judged and priced anew, its
commands are found anew by the package's parsers, and the conversation is put together from the responses and compared,
message by message, with the one that the file holds. No command runs, since prompts and containers of that run are not
those of ours.
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

from dynamic_track.running.agent import ActionStyle, commands_said
from dynamic_track.running.run_dir import RunDirectory, write_plan
from dynamic_track.running.trial import concluded
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.billing import BillError, reported_cost_usd, served_by, served_model, usage_of
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import Request, Response, ResponseSource
from twinbench.calls.journal import Journal
from twinbench.calls.mini_swe_agent import BASH_TOOL, ModelCall, Trajectory, read_trajectories, trajectory_files
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import DivergedError, Recording, TrialLog
from twinbench.calls.routed import Decider, RecordingDecides, RoutedCall, TrialClock
from twinbench.calls.translation import Utterance, plain_message
from twinbench.causes import CausedError
from twinbench.display.progress import Progress
from twinbench.display.wording import counted
from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.fingerprint import sha256_text
from twinbench.routing.cache_policy import WallClockTtl
from twinbench.routing.router import Call, Limits
from twinbench.routing.session import Session, session_key
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate, LiveManifest, static_manifest
from twinbench.text.messages import semantic_key
from twinbench.text.tokens import tokenizer_set

_TRIAL = 1
_SALT = "imported"
_MOST_NAME = 200


@dataclass(frozen=True)
class CallCost:
    """What one call of a run cost: computed here, and as the gateway had it."""

    case: str
    call: int
    """From 1."""
    served_model: str | None
    served_by: str | None
    candidate: str | None
    """Whose locked prices count; None where the pool has none for this model."""
    usage: Usage | None
    cost_usd: Decimal | None
    """None where usage or price is not known: never zero."""
    reported_cost_usd: Decimal | None
    problem: str | None = None
    """Why there is no computed cost."""

    @property
    def difference_usd(self) -> Decimal | None:
        """Computed less reported; None where one of them is not known."""
        if self.cost_usd is None or self.reported_cost_usd is None:
            return None
        return self.cost_usd - self.reported_cost_usd

    def to_json(self) -> dict[str, Any]:
        """The call as a JSON object."""
        return {
            "case": self.case,
            "call": self.call,
            "served_model": self.served_model,
            "served_by": self.served_by,
            "candidate": self.candidate,
            "usage": None if self.usage is None else self.usage.to_json(),
            **_money(self.cost_usd, self.reported_cost_usd, self.difference_usd),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class ImportedRun:
    """One run: its calls, and how much of it is recorded."""

    case: str
    source: str
    version: str | None
    """Of mini-swe-agent."""
    calls: tuple[CallCost, ...]
    recorded: int
    """How many of them are in the recording, with their response."""
    exit_status: str
    why: str | None
    """Why not all are."""

    @property
    def sums(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        """Computed, reported and their difference, over all calls; None where one of them is not known."""
        return sums(self.calls)

    def to_json(self) -> dict[str, Any]:
        """The run as a JSON object."""
        return {
            "case": self.case,
            "source": self.source,
            "mini_version": self.version,
            "calls": len(self.calls),
            "recorded": self.recorded,
            **_money(*self.sums),
            "exit_status": self.exit_status,
            "why": self.why,
            "by_call": [call.to_json() for call in self.calls],
        }


@dataclass(frozen=True)
class ImportedRuns:
    """What an import brought in."""

    path: str | None
    """The run directory; None where there is none, because no call is recorded."""
    pool: str
    runs: tuple[ImportedRun, ...]
    problems: tuple[Problem, ...]
    """What is wrong with the files that were left out."""

    @property
    def whole(self) -> bool:
        """Whether every call of every file is recorded."""
        return not self.problems and all(run.why is None for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """The import as a JSON object."""
        return {
            "run": self.path,
            "pool": self.pool,
            "runs": [run.to_json() for run in self.runs],
            "problems": [problem.to_json() for problem in self.problems],
        }


@dataclass(frozen=True)
class ReplayedRun:
    """One imported run gone through again."""

    case: str
    calls: tuple[CallCost, ...]
    """Those whose recorded response repeats itself."""
    recorded: int
    """How many are in the recording."""
    of: int
    """How many calls the run had."""
    commands: int
    """Commands found in the responses, equal to those of the file."""
    answers: int
    """Answers in the responses, equal to those in the file's conversation; 2.x keeps none that did not parse."""
    step: int | None = None
    """Where it first differs; None where it does not."""
    what: str | None = None
    recorded_value: Any = None
    replayed_value: Any = None

    @property
    def equal(self) -> bool:
        """Whether all that is recorded repeats itself."""
        return self.what is None

    def to_json(self) -> dict[str, Any]:
        """The replayed run as a JSON object."""
        difference = {"step": self.step, "what": self.what, "recorded": self.recorded_value}
        return {
            "case": self.case,
            "equal": self.equal,
            "calls": self.of,
            "recorded": self.recorded,
            "replayed": len(self.calls),
            "commands": self.commands,
            "answers": self.answers,
            **_money(*sums(self.calls)),
            "difference": None if self.equal else {**difference, "replayed": self.replayed_value},
            "by_call": [call.to_json() for call in self.calls],
        }


def sums(calls: Sequence[CallCost]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Computed, reported and their difference, over all calls; None where one of them is not known."""
    costs = [call.cost_usd for call in calls]
    reported = [call.reported_cost_usd for call in calls]
    computed_usd, reported_usd = _sum(costs), _sum(reported)
    difference = None if computed_usd is None or reported_usd is None else computed_usd - reported_usd
    return computed_usd, reported_usd, difference


def call_costs(trajectory: Trajectory, pool: LiveManifest) -> tuple[CallCost, ...]:
    """What each call of a run cost at the pool's locked prices, beside what the gateway said."""
    return tuple(_call_cost(trajectory.instance_id, call, pool) for call in trajectory.calls)


def import_runs(paths: Sequence[str], run: Path, pool: LiveManifest, where: str, progress: Progress) -> ImportedRuns:
    """Make a run directory of trajectory files: all that have recorded responses of models of the pool.

    Args:
        paths: trajectory files, and folders of them.
        run: the directory, which must not exist or be empty.
        pool: whose prices and names count.
        where: how the pool was named, for a replay.
        progress: told after each file.

    Raises:
        UsageError: there is no such file, or the directory holds something.
        ContentError: no file is a trajectory.
        TwinbenchError: the directory cannot be written.
    """
    if run.exists() and not (run.is_dir() and not any(run.iterdir())):
        raise UsageError(f"{run} exists: choose another --run, an import begins a run and continues none")
    files = trajectory_files(paths)
    runs: list[ImportedRun] = []
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    with _aside(run) as folder:
        directory = RunDirectory(folder)
        with Journal.open(directory.journal) as journal:
            for done, found in enumerate(read_trajectories(files), 1):
                if isinstance(found, ContentError):
                    problems += found.problems
                elif not _is_name(found.instance_id):
                    what = f"{found.instance_id[:60]!r} is no name for a folder: a recording needs one"
                    problems.append(Problem(found.source, None, "instance_id", what))
                else:
                    runs.append(_imported(found, pool, directory, journal))
                    taken[found.instance_id] = found.sha256
                progress("recording runs", done, len(files))
            journal.sync()
        if not runs:
            raise ContentError(problems, hint="Nothing was imported.")
        _write_plan(folder, pool, taken, where)
        path = _kept(folder, run) if any(each.recorded for each in runs) else None
    return ImportedRuns(path, pool.name, tuple(runs), tuple(problems))


def is_imported(plan: Mapping[str, Any]) -> bool:
    """Whether a run directory's plan is of runs that were imported."""
    return plan["identity"].get("imported") is not None


def replay_imported(pool: LiveManifest, recorded: Sequence[Recording], progress: Progress) -> tuple[ReplayedRun, ...]:
    """Go through the model's side of imported runs again, and compare with what their files hold."""
    replayed = []
    for done, recording in enumerate(recorded):
        progress(f"replaying {recording.case}", done, len(recorded))
        replayed.append(_replayed(pool, recording))
    return tuple(replayed)


class _FromFile(ResponseSource):
    """Answers as the file does."""

    def __init__(self) -> None:
        self.response: Mapping[str, Any] = {}

    def fetch(self, _request: Request, _within_s: float) -> Response:
        """The response that the file holds of the call."""
        return Response(200, json.dumps(self.response).encode(), None, 0.0)


class _FileDecides(RecordingDecides):
    """Picks the candidate that answered."""

    def __init__(self) -> None:
        self.candidate: str | None = None

    def decide(self, _call: Call, _recorded: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Whoever answered was asked."""
        return {"candidate": self.candidate, "score": None, "rationale": None, "error": None, "latency_ms": None}


class _FileClock:
    """The time at which the file says that calls were answered."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """Seconds since 1970; 0 where the file has not told of any time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Nothing waits."""


class _ImportLog(TrialLog):
    """Writes no latencies, which no file tells."""

    def write(self, kind: str, *, sync: bool = False, **fields: Any) -> None:
        """Write a line."""
        if kind == "settle":
            fields["latency_s"] = None
        super().write(kind, sync=sync, **fields)


def _imported(trajectory: Trajectory, pool: LiveManifest, run: RunDirectory, journal: Journal) -> ImportedRun:
    costs = call_costs(trajectory, pool)
    clock, source, decides = _FileClock(), _FromFile(), _FileDecides()
    log = _ImportLog(Recording(trajectory.instance_id, _TRIAL), journal, clock)
    clock.at = next((call.at for call in trajectory.calls if call.at is not None), 0.0)
    log.write(
        "trial",
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
    routed = _routed(pool, log, decides, source, clock)
    ended: CausedError | None = None
    why: str | None = None
    for call, cost in zip(trajectory.calls, costs, strict=True):
        if call.response is None or cost.candidate is None:
            why = f"call {call.number}: {cost.problem}"
            break
        clock.at = clock.at if call.at is None else call.at
        source.response, decides.candidate = call.response, cost.candidate
        conversation = [Utterance(message) for message in trajectory.messages[: call.prefix]]
        try:
            routed.ask(conversation, trajectory.tools)
        except CausedError as error:
            ended, why = error, f"call {call.number}: {error.cause}: {error}"
            break
        for index, command in enumerate(_commands(trajectory, call)):
            log.write("command", step=call.number, index=index, command=command)
        log.write("conversation", step=call.number, messages=_following(trajectory, call))
    log.write(
        "end",
        exit_status=trajectory.exit_status,
        patch=trajectory.submission.encode(),
        patch_sha256=sha256_text(trajectory.submission),
        cause=None if ended is None else ended.cause,
        detail=why,
    )
    recording = log.recording
    run.write(recording.case, _TRIAL, "patch.diff", trajectory.submission)
    trial = concluded(pool, recording).to_json()
    run.write(recording.case, _TRIAL, "case.json", json.dumps(trial, indent=1, default=str) + "\n")
    return ImportedRun(
        trajectory.instance_id,
        trajectory.source,
        trajectory.version,
        costs,
        len(recording.answers),
        trajectory.exit_status,
        why,
    )


def _routed(
    pool: LiveManifest, log: TrialLog, decider: Decider, source: ResponseSource | None, clock: _FileClock
) -> RoutedCall:
    trial_clock = TrialClock(clock)
    name = (log.recording.case, str(log.recording.trial))
    return RoutedCall(
        session=Session(
            session_key(_SALT, *name),
            tuple(candidate.candidate() for candidate in pool.candidates),
            WallClockTtl(pool.wallclock_ttl_seconds, trial_clock),
            Limits(steps=pool.agent.step_limit, cost_usd=float(pool.agent.cost_limit_usd)),
        ),
        session_header=session_key(_SALT, "header", *name),
        decider=decider,
        source=source,
        log=log,
        budget=Budget(None),
        clock=trial_clock,
        pool={candidate.id: candidate for candidate in pool.candidates},
        counter=PromptCounter(pool.candidates, tokenizer_set(static_manifest())),
        limits=RetryLimits(attempts=1),
    )


def _commands(trajectory: Trajectory, call: ModelCall) -> Sequence[str]:
    """The commands of a call that the run's agent found: as the file says, else in the conversation that it holds."""
    if call.actions is not None:
        return call.actions
    if not call.kept or (trajectory.style == "text" and trajectory.pattern is None):
        return []
    answer = trajectory.messages[call.prefix]
    return commands_said(answer, ActionStyle(trajectory.style), trajectory.pattern or "") or []


def _following(trajectory: Trajectory, call: ModelCall) -> list[Mapping[str, Any]]:
    answer = trajectory.messages[call.prefix : call.prefix + call.kept]
    return [*answer, *trajectory.heard(call)]


def _replayed(pool: LiveManifest, recording: Recording) -> ReplayedRun:
    start = recording.start or {}
    told = start.get("imported") or {}
    calls: list[CallCost] = []
    commands = answers = 0
    routed = _routed(pool, TrialLog(recording, None), RecordingDecides(), None, _FileClock())
    style = ActionStyle(told.get("actions", ActionStyle.text))
    tools = [BASH_TOOL] if style is ActionStyle.tool else []
    conversation = [dict(message) for message in start.get("opening") or ()]
    difference: DivergedError | None = None
    try:
        if start.get("pool") != pool.fingerprint:
            raise DivergedError(0, "pool", start.get("pool"), pool.fingerprint)
        for number in sorted(recording.steps):
            step = recording.steps[number]
            if step.answer is None:
                break  # here the recorded responses end
            answer = routed.ask([Utterance(message) for message in conversation], tools)
            said = answer.utterance.plain
            following = list(step.conversation or ())
            kept = following[:1] if following and following[0].get("role") == "assistant" else []
            if kept and semantic_key(kept[0]) != semantic_key(plain_message(answer.message)):
                raise DivergedError(number, "answer", kept[0], said)
            answers += len(kept)
            recorded_commands = [each.command for each in step.commands]
            if style is ActionStyle.tool or told.get("pattern") is not None:
                found = commands_said(said, style, told.get("pattern") or "") or []
                if found != recorded_commands:
                    raise DivergedError(number, "command", recorded_commands, found)
                commands += len(found)
            conversation += [dict(message) for message in following]
            calls.append(_recorded_cost(recording, number))
    except DivergedError as diverged:
        difference = diverged
    except CausedError as error:
        difference = DivergedError(len(calls) + 1, "cause", None, f"{error.cause}: {error}")
    return ReplayedRun(
        recording.case,
        tuple(calls),
        len(recording.answers),
        int(told.get("calls") or len(recording.answers)),
        commands,
        answers,
        *(() if difference is None else (difference.step, difference.what, difference.recorded, difference.replayed)),
    )


def _recorded_cost(recording: Recording, step: int) -> CallCost:
    answer = recording.steps[step].answer
    assert answer is not None  # noqa: S101 - it was just replayed
    assert answer.settle is not None  # noqa: S101 - an answer is settled
    settle = answer.settle
    reported = settle.get("reported_cost_usd")
    return CallCost(
        recording.case,
        step,
        settle.get("served_model"),
        settle.get("served_by"),
        answer.reserve["candidate"],
        Usage(**settle["usage"]),
        Decimal(settle["cost_usd"]),
        None if reported is None else Decimal(reported),
    )


def _call_cost(case: str, call: ModelCall, pool: LiveManifest) -> CallCost:
    body = call.response
    if body is None:
        return CallCost(case, call.number, None, None, None, None, None, None, "the file does not hold its response")
    model = served_model(body)
    candidate, problem = _candidate(pool, model)
    usage: Usage | None = None
    try:
        if candidate is None:
            usage = usage_of(body)
        else:  # as it is judged where it is recorded
            priced = candidate.prices.cache_write_1h is not None
            usage = usage_of(body, max_tokens=candidate.max_tokens, one_hour_writes=priced)
    except BillError as error:
        problem = f"{call.field}: {error}"
    cost = None if usage is None or candidate is None else usage.cost_usd(candidate.prices.prices())
    return CallCost(
        case,
        call.number,
        model,
        served_by(body),
        None if candidate is None else candidate.id,
        usage,
        cost,
        reported_cost_usd(body),
        problem,
    )


def _candidate(pool: LiveManifest, model: str | None) -> tuple[LiveCandidate | None, str | None]:
    """Who answers under this name, or why there is no locked price."""
    if model is None:
        return None, "the response does not name its model, so there is no locked price"
    found = [candidate for candidate in pool.candidates if model in candidate.served_as]
    if len(found) == 1:
        return found[0], None
    if not found:
        return None, f"no candidate of the pool {pool.name} is served as {model[:80]!r}: no locked price (--pool FILE)"
    ids = ", ".join(candidate.id for candidate in found)
    return None, f"{counted(len(found), 'candidate')} of the pool {pool.name} are served as {model[:80]!r}: {ids}"


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
    write_plan(folder, identity, found, list(taken))


@contextmanager
def _aside(run: Path) -> Iterator[Path]:
    """A folder beside ``run`` to write to, removed in the end unless it became ``run``."""
    target = run.absolute()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise TwinbenchError(f"cannot write {run} ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _kept(folder: Path, run: Path) -> str:
    if run.is_dir():
        run.rmdir()  # it is empty
    folder.replace(run)
    return str(run)


def _is_name(text: str) -> bool:
    """Whether a text from a file can name a folder and leads nowhere else."""
    if not text.isprintable() or text.startswith(".") or set(text) & set("/\\:"):
        return False
    return len(text.encode()) <= _MOST_NAME


def _sum(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(values) else None


def _money(cost: Decimal | None, reported: Decimal | None, difference: Decimal | None) -> dict[str, float | None]:
    named = {"cost_usd": cost, "reported_cost_usd": reported, "difference_usd": difference}
    return {name: None if usd is None else float(usd) for name, usd in named.items()}
