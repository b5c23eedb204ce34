"""Rehearsals without a container for every case, exact: what a container answered once is remembered.

A simulated model edits, tests and lists; in one state of a project a command always gives the same, up to times and
addresses, which no model reads. So what each command gives in each state is asked of a real container once, and what
each patch is worth is asked of the real grader once. Everything else (agent, router, models, caches, bills, clock) is
the rehearsal's own code. The tests of the skill tables hold this against rehearsals in containers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamic_track.grading.verdict import GradingLimits, Verdict, grade
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.rehearsal.provider import SimulatedModels, simulated_provider
from dynamic_track.rehearsal.rehearsal_runs import Rehearsal
from dynamic_track.rehearsal.replies import RawReply
from dynamic_track.rehearsal.server import COMPLETIONS, ProviderServer
from dynamic_track.rehearsal.virtual_time import DeclaredTimeSource, VirtualClocks
from dynamic_track.running.agent import AgentSettings, run_agent
from dynamic_track.running.trial import TrialContext, make_routed_call
from dynamic_track.running.workplace import CommandRunner
from dynamic_track.tasks.task import Task
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import Request, Response
from twinbench.calls.lines import End, Line, VerdictLine
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import Recording
from twinbench.calls.routed import RouterDecider
from twinbench.causes import Cause, CausedError
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.shell import CommandResult, Ended
from twinbench.fingerprint import sha256_text
from twinbench.plugins.loading import LoadedRouter
from twinbench.routing.session import SESSION_HEADER
from twinbench.storage.files import atomic_write
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.storage.store import Store
from twinbench.text.tokens import find_tokenizer_set

_UNTOUCHED = ""
"""The state of a project as a container begins with it."""
_PATCH = "patch.txt"
_STATE = f"git diff; test -e {_PATCH} && echo {_PATCH} && cat {_PATCH}"
"""What tells one state of a project from another, as far as a simulated model's commands read it."""
_BACK = f"git checkout -q -- . && rm -f {_PATCH}"
_MEMORY_MIB = 1024
_COMMAND_S = 600.0
_TESTS_S = 300.0
_TRIES = 3
"""For a command or a verdict, where infrastructure fails."""


@dataclass
class Container:
    """What commands give in one task's container, asked of the container once for each state of the project."""

    engine: Engine
    task: Task
    settings: AgentSettings
    file: Path
    """Where answers are kept between processes."""
    asked: int = 0
    """How many commands a real container ran."""
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _paths: dict[str, list[str]] = field(default_factory=lambda: {_UNTOUCHED: []})
    """Commands that lead to a state from the untouched project."""
    _sandbox: Sandbox | None = None

    def __post_init__(self) -> None:
        if self.file.exists():
            kept = json.loads(self.file.read_text("utf-8"))
            self._answers, self._paths = kept["answers"], kept["paths"]

    def answer(self, state: str, command: str) -> tuple[str, int, str]:
        """What a command prints in a state, its exit code, and the state that it leaves behind."""
        key = sha256_text(f"{state}\0{command}")
        if key not in self._answers:
            self._answers[key] = self._ask(state, command)
        found = self._answers[key]
        return found["output"], found["code"], found["state"]

    def _ask(self, state: str, command: str) -> dict[str, Any]:
        for tried in range(1, _TRIES + 1):
            try:
                return self._asked_once(state, command)
            except CausedError:
                self._leave()
                if tried == _TRIES:
                    raise
        raise AssertionError

    def _asked_once(self, state: str, command: str) -> dict[str, Any]:
        self.asked += 1
        for earlier in (_BACK, *self._paths[state]):
            self._run(earlier)
        result = self._run(command)
        if result.ended is not Ended.exited or result.exit_code is None:
            raise RuntimeError(f"{self.task.id}: {command} ended as {result.ended}")
        now = self._run(_STATE).output
        left = _UNTOUCHED if not now else sha256_text(now)
        if left not in self._paths:
            self._paths[left] = [*self._paths[state], command]
        return {"output": result.output, "code": result.exit_code, "state": left}

    def _run(self, command: str) -> CommandResult:
        if self._sandbox is None:
            self._sandbox = Sandbox(
                self.engine,
                self.task.image,
                "case",
                case=self.task.id,
                limits=ContainerLimits(memory_mib=_MEMORY_MIB),
                interpreter=self.settings.interpreter,
                environment=self.settings.environment,
            )
            self._sandbox.__enter__()
        return self._sandbox.run_command(command, directory=self.settings.directory, timeout_s=_COMMAND_S)

    def _leave(self) -> None:
        if self._sandbox is not None:
            self._sandbox.__exit__()
            self._sandbox = None

    def close(self) -> None:
        """Remove the container, and keep what it answered."""
        if self._sandbox is not None:
            self._leave()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.file) as file:
                file.write_text(json.dumps({"answers": self._answers, "paths": self._paths}), "utf-8")


@dataclass
class _Remembering:
    """A sandbox in which commands run as they ran before; for one trial."""

    container: Container
    state: str = _UNTOUCHED

    def run_command(self, command: str, **_: Any) -> CommandResult:
        """Run a command as ``Sandbox.run_command`` does."""
        output, code, self.state = self.container.answer(self.state, command)
        return CommandResult(output, code, Ended.exited, len(output), 0.0)


@dataclass(frozen=True)
class _InProcess:
    """The simulated provider without a socket between."""

    server: ProviderServer

    def fetch(self, request: Request, within_s: float) -> Response:  # noqa: ARG002 - it never hangs
        """Ask once."""
        headers = {SESSION_HEADER.lower(): request.session}
        reply = self.server.reply_to("POST", COMPLETIONS, headers, json.dumps(request.body).encode())
        assert isinstance(reply, RawReply)
        return Response(reply.status, reply.body, None, 0.0)


class _NoJournal:
    """A journal that keeps nothing: a trial's recording is all that is read."""

    def write(self, _line: Line, *, sync: bool = False) -> int:  # noqa: ARG002 - there is nothing to sync
        """Take a line."""
        return 0


@dataclass
class Emulation:
    """Rehearses cases of one set of tasks."""

    engine: Engine
    folder: Path
    """Where answers of containers and verdicts are kept."""
    _containers: dict[str, Container] = field(default_factory=dict)
    _resolved: dict[tuple[str, str], bool] = field(default_factory=dict)
    _counters: dict[str, PromptCounter] = field(default_factory=dict)
    """One a pool for all trials: they see the same texts again and again."""
    graded: int = 0

    def recordings(self, rehearsal: Rehearsal, router: LoadedRouter, seed: str) -> Iterator[Recording]:
        """Play every task under a router and a seed; what a run's journal would tell of each."""
        models = SimulatedModels(rehearsal.known, rehearsal.pool, seed=seed, skills=rehearsal.skills)
        clocks = VirtualClocks()
        candidates = tuple(candidate.to_candidate() for candidate in rehearsal.pool.candidates)
        with simulated_provider(models, rehearsal.pool) as server, router.open(candidates) as opened:
            bench = TrialContext(
                pool=rehearsal.pool,
                settings=rehearsal.settings,
                decider=RouterDecider(opened),
                source=DeclaredTimeSource(_InProcess(server), clocks),
                budget=Budget(None),
                salt=seed,
                clocks=clocks,
            )
            for task in rehearsal.tasks:
                yield self._played(bench, task, self._counter(rehearsal.pool))

    def _played(self, bench: TrialContext, task: Task, counter: PromptCounter) -> Recording:
        """As ``dynamic_track.running.trial.run_trial_agent`` and the runner after it, without a container and files."""
        log = bench.make_log(Recording(task.id, 1), _NoJournal())  # type: ignore[arg-type]
        routed = make_routed_call(bench, task, log, counter)
        routed.start()
        commands = _Remembering(self._container(bench.settings, task))
        workplace = CommandRunner(commands, log, routed, bench.settings.command_timeout_s)
        ended = run_agent(bench.settings, task.problem_statement, routed, workplace)
        routed.end()
        if ended.error is not None:
            raise ended.error
        patch = {"patch": b"", "patch_sha256": sha256_text("")}
        log.write(End(**log.stamp(), exit_status=ended.exit_status, **patch, cause=None, detail=None))
        resolved = self._is_resolved(task, ended.patch)
        cause = None if ended.patch.strip() else Cause.empty
        log.write(VerdictLine(**log.stamp(), resolved=resolved, cause=cause, detail=None, fingerprint=None))
        return log.recording

    def _counter(self, pool: LiveManifest) -> PromptCounter:
        if pool.fingerprint not in self._counters:
            self._counters[pool.fingerprint] = PromptCounter(pool.candidates, find_tokenizer_set(static_manifest()))
        return self._counters[pool.fingerprint]

    def _container(self, settings: AgentSettings, task: Task) -> Container:
        if task.id not in self._containers:
            image = self.engine.image_identity(task.image)
            name = sha256_text(f"{image}\0{settings.identity}")[:16]
            self._containers[task.id] = Container(self.engine, task, settings, self.folder / f"{task.id}-{name}.json")
        return self._containers[task.id]

    def _is_resolved(self, task: Task, patch: str) -> bool:
        key = (task.id, patch)
        if key not in self._resolved:
            limits = GradingLimits(tests_s=_TESTS_S, memory_mib=_MEMORY_MIB)
            verdict = self._grade(task, patch, limits)
            if verdict.resolved is None:
                raise RuntimeError(f"{task.id}: no verdict ({verdict.detail})")
            self.graded += not verdict.from_cache
            self._resolved[key] = verdict.resolved
        return self._resolved[key]

    def _grade(self, task: Task, patch: str, limits: GradingLimits) -> Verdict:
        verdicts = VerdictStore(Store(self.folder))
        verdict = grade(self.engine, task, patch, verdicts, limits)
        for _ in range(1, _TRIES):
            if verdict.resolved is None:
                verdict = grade(self.engine, task, patch, verdicts, limits)
        return verdict

    @property
    def asked(self) -> int:
        """How many commands real containers ran."""
        return sum(each.asked for each in self._containers.values())

    def close(self) -> None:
        """Remove the containers, and keep what they answered."""
        for container in self._containers.values():
            container.close()


@contextmanager
def emulation(folder: Path) -> Iterator[Emulation]:
    """An emulation whose answers are kept in a folder."""
    with Engine.connect() as engine:
        emulated = Emulation(engine, folder)
        try:
            yield emulated
        finally:
            emulated.close()
