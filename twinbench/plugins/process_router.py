"""A router in a process of its own, presented as an ordinary router object.

Whatever happens to the process costs the current row only: a crash, an exit, a hang, unlimited memory use or a broken
pipe ends the process, and the next call starts a new one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from twinbench.errors import TwinbenchError
from twinbench.plugins.answers import (
    DECISION,
    HOOK,
    LOADING,
    Answer,
    AnswerKind,
    Failure,
    HookFailure,
    LoadFailure,
    QuestionContent,
    RouteFailure,
)
from twinbench.plugins.limits import PluginLimits, RouterLoadError, RouterRefusedError
from twinbench.plugins.local_process import LocalProcess
from twinbench.plugins.process import AnswerQuestion, RouterProcess
from twinbench.plugins.runtime import runtime_folder
from twinbench.plugins.wire import (
    FrameError,
    call_head_to_json,
    candidate_to_json,
    outcome_to_json,
    reply_to_json,
    shared_prefix,
)
from twinbench.routing.asking import RemoteRouter
from twinbench.routing.llm import LlmError
from twinbench.routing.router import Call, Candidate, Decision, Outcome, RouterError
from twinbench.routing.router_llm import NoRouterLlm, RouterLlm

_MOST_REACHED = 1_000

_FIRST_IS_LATE = (
    ", the first of its process: what takes long to load belongs in the constructor or in warm_up(), for which there "
    "is --load-timeout"
)


@dataclass
class _SentConversation:
    """Which part of a session's conversation was sent to the process already."""

    messages: Sequence[Mapping[str, Any]] = ()
    tools: Sequence[Mapping[str, Any]] | None = None
    generation: int = -1
    """The process that it was sent to: the how-manieth that was started."""
    start_error: str | None = None
    """Error of the ``start`` hook, reported with the next row."""


@dataclass
class ProcessRouter(RemoteRouter):
    """A user router that is called over a pipe; use it as a context manager, which loads it.

    One process serves all sessions. If it ended, the next call starts another one, calls ``start`` again and sends the
    conversation in full.
    """

    name: str
    location: Mapping[str, Any]
    """``kind``, ``target``, ``attribute``, ``arguments``, ``path`` and ``folder``, as for ``construct_router``."""
    candidates: tuple[Candidate, ...]
    limits: PluginLimits
    models: Mapping[str, str]
    """The model name by which a published TwinRouterBench live router knows each candidate."""
    llm: RouterLlm = field(default_factory=NoRouterLlm)
    """The handle through which the router may ask an LLM."""
    last_decision_ms: float | None = None
    last_route_ms: float | None = None
    """How long ``route`` took for the last decision, as measured in the router's own process."""
    mutations: int = 0
    """How many decisions modified the conversation they were given (counted by ``router check`` only)."""
    _process: RouterProcess | None = None
    _decided: bool = False
    """Whether this life of the process has answered a decision."""
    _generation: int = 0
    _hooks: frozenset[str] = frozenset()
    _sent: dict[str, _SentConversation] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _folder: Path | None = None
    _reached: dict[str, None] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._folder = self._stack.enter_context(runtime_folder())
        try:
            self._load_process()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._process is not None:
            if error is not None:  # for example Ctrl-C: do not wait for a decision
                self._process.kill("twinbench was interrupted")
            self._hear(self._process, failed=False)
            self._process.close()
            self._process = None
        self._stack.close()

    @property
    def accesses(self) -> list[str]:
        """Files, sockets and processes that decisions used, each once (noted by ``router check`` only)."""
        return [*self._reached]

    def memory_mib(self) -> float:
        """Return the resident memory of the router's process and all its descendants, in MiB."""
        return 0.0 if self._process is None else self._process.tree_mib()

    def start(self, session: str) -> None:
        """Start a session."""
        self._sent[session] = _SentConversation()

    def end(self, session: str) -> None:
        """End a session."""
        try:
            self._call_hook("end", session, session)
        finally:
            self._sent.pop(session, None)

    def observe(self, outcome: Outcome) -> None:
        """Call the router's ``observe`` hook."""
        if "observe" in self._hooks:
            self._call_hook("observe", outcome_to_json(outcome), outcome.session)

    def route(self, call: Call) -> Decision:
        """Ask the router for a decision.

        Raises:
            RouterError: the router gave no decision; the text says why.
        """
        self.last_decision_ms = self.last_route_ms = None
        process = self._ensure_process()
        sent = self._sent.setdefault(call.session, _SentConversation())
        if sent.generation != self._generation:
            sent = self._sent[call.session] = _SentConversation(generation=self._generation)
            if "start" in self._hooks:
                told = self._ask(process, HOOK, "start", {"do": "hook", "hook": "start", "argument": call.session})
                sent.start_error = told.error if isinstance(told, HookFailure) else None
        kept = shared_prefix(sent.messages, call.messages)
        request: dict[str, Any] = {
            "do": "route",
            "head": call_head_to_json(call),
            "keep": kept,
            "append": call.messages[kept:],
        }
        if sent.tools is not call.tools and sent.tools != call.tools:
            request["tools"] = call.tools
        try:
            answer = self._ask(process, DECISION, "the decision", request, self._answer_question)
        finally:
            self.last_decision_ms = process.took_ms
        sent.messages, sent.tools = call.messages, call.tools
        self.last_route_ms = answer.route_ms
        self.mutations += answer.mutated
        for each in answer.accesses[: _MOST_REACHED - len(self._reached)]:
            self._reached[each] = None
        complaint, sent.start_error = sent.start_error, None
        if complaint is not None:
            raise RouterError(complaint)
        if isinstance(answer, RouteFailure):
            raise RouterError(answer.error)
        return Decision(answer.candidate, answer.score, answer.rationale)

    def _answer_question(self, question: QuestionContent) -> dict[str, Any]:
        """Answer an LLM question of the router, whose values may be anything."""
        try:
            reply = self.llm.ask(  # which checks each
                question.messages,
                candidate=question.candidate,
                max_tokens=question.max_tokens,
                temperature=question.temperature,
            )
        except LlmError as error:
            return {"error": str(error)}
        return reply_to_json(reply)

    def _call_hook(self, hook: str, argument: object, session: str) -> None:
        """Call a hook for a session that the current process knows; a new process does not know earlier sessions."""
        process = self._process
        if process is None or session not in self._sent or self._sent[session].generation != self._generation:
            return
        answer = self._ask(process, HOOK, hook, {"do": "hook", "hook": hook, "argument": argument})
        if isinstance(answer, HookFailure):
            raise RouterError(answer.error)

    def _ask(
        self,
        process: RouterProcess,
        kind: AnswerKind[Answer, Failure],
        what: str,
        request: Mapping[str, Any],
        serve: AnswerQuestion | None = None,
    ) -> Answer | Failure:
        late = _FIRST_IS_LATE if kind is DECISION and not self._decided else ""
        try:
            answer = process.ask(request, kind, self.limits.decision_s, what, serve, late)
        except FrameError as error:
            raise RouterError(str(error)) from None
        except RouterError:
            self._hear(process, failed=True)
            process.close()
            self._process = None
            raise
        self._decided = self._decided or kind is DECISION
        self._hear(process, failed=isinstance(answer, kind.failure))
        return answer

    def _hear(self, process: RouterProcess, *, failed: bool) -> None:
        """Keep what the process printed."""
        output = self.limits.output
        output.add(self.name, process.read_new_stderr(wait=failed and not output.has_failed(self.name)))
        if failed:
            output.note_failure(self.name)

    def _ensure_process(self) -> RouterProcess:
        """Return the running process, or start a new one if it ended."""
        try:
            return self._load_process()
        except TwinbenchError as failure:
            raise RouterError(f"its process ended and cannot be restarted: {failure}") from None

    def _load_process(self) -> RouterProcess:
        """Return the process with the router loaded; start a new one if there is none."""
        if self._process is not None:
            return self._process
        assert self._folder is not None  # noqa: S101 - used as a context manager
        request = {
            "do": "load",
            **self.location,
            "candidates": [candidate_to_json(candidate) for candidate in self.candidates],
            "models": dict(self.models),
            "watch": self.limits.watch,
        }
        try:
            if self.limits.isolation is None:
                process: RouterProcess = LocalProcess(self._folder, self.limits)
            else:
                process = self.limits.isolation.start(self.location, self._folder, self.limits)
        except OSError as error:
            raise RouterLoadError(f"router {self.name!r}: its process cannot be started ({error})") from None
        try:
            answer = process.ask(request, LOADING, self.limits.load_s, "loading it")
        except RouterError as failure:
            self._hear(process, failed=True)
            process.close()
            raise RouterLoadError(f"router {self.name!r} could not be loaded: {failure}") from None
        self._hear(process, failed=isinstance(answer, LoadFailure))
        if isinstance(answer, LoadFailure):
            process.close()
            if answer.usage:
                raise RouterRefusedError(f"router {self.name!r}: {answer.error}")
            # What is missing, the container's Python says; where it could come from is known here.
            missing = self.limits.isolation is not None and "ModuleNotFoundError" in answer.error
            advice = "; in strict isolation modules come from wheels: --plugin-wheels DIR, or wheels/ in its folder"
            raise RouterLoadError(
                f"router {self.name!r} could not be loaded: {answer.error}{advice if missing else ''}"
            )
        self._process = process
        self._decided = False
        self._generation += 1
        self._hooks = frozenset(answer.hooks)
        return process
