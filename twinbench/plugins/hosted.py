"""A router in a process of its own, as an object that can be asked like any other.

What a router does to its process costs that router's row and no more: a crash, an exit, a hang, memory without end or a
broken pipe ends the process; the next call gets a new one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from twinbench.errors import TwinbenchError, UsageError
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
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.local_process import LocalProcess
from twinbench.plugins.process import RouterProcess, Serve
from twinbench.plugins.runtime import runtime_folder
from twinbench.plugins.wire import (
    FrameError,
    call_head,
    candidate_to_json,
    outcome_to_json,
    reply_to_json,
    shared_prefix,
)
from twinbench.routing.asking import RemoteRouter
from twinbench.routing.llm import LlmError
from twinbench.routing.own_calls import NoCalls, OwnCalls
from twinbench.routing.router import Call, Candidate, Decision, Outcome, RouterError

_MOST_REACHED = 1_000


@dataclass
class _Sent:
    """What of a session's conversation crossed already."""

    messages: Sequence[Mapping[str, Any]] = ()
    tools: Sequence[Mapping[str, Any]] | None = None
    generation: int = -1
    """Which life of the process it was sent to."""
    complaint: str | None = None
    """What ``start`` raised, until a row can be blamed."""


@dataclass
class HostedRouter(RemoteRouter):
    """A router of somebody else's, asked over a pipe; use as a context manager, which loads it.

    One process serves all sessions. Where it was ended, the next call starts another: ``start`` is told again and the
    conversation is sent in full.
    """

    name: str
    place: Mapping[str, Any]
    """``kind``, ``target``, ``attribute``, ``arguments``, ``path`` and ``folder``, as ``host.load`` takes them."""
    candidates: tuple[Candidate, ...]
    limits: PluginLimits
    models: Mapping[str, str]
    """The model name that a published live router knows each candidate by."""
    llm: OwnCalls = field(default_factory=NoCalls)
    """What the router asks an LLM through, where it wants to."""
    last_decision_ms: float | None = None
    last_route_ms: float | None = None
    """How long the last decision took without the way there and back, by the account of the router's own process."""
    mutations: int = 0
    """Decisions that changed the conversation they were shown (only counted when watched)."""
    _process: RouterProcess | None = None
    _generation: int = 0
    _hooks: frozenset[str] = frozenset()
    _sent: dict[str, _Sent] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _folder: Path | None = None
    _reached: dict[str, None] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._folder = self._stack.enter_context(runtime_folder())
        try:
            self._loaded()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._process is not None:
            if error is not None:  # an impatient person, say: no decision is waited for
                self._process.kill("twinbench was interrupted")
            self._process.close()
            self._process = None
        self._stack.close()

    @property
    def reached(self) -> list[str]:
        """What decisions reached for outside their process, each once (only noted when watched)."""
        return [*self._reached]

    def memory_mib(self) -> float:
        """The resident memory of the router's process and all that it started."""
        return 0.0 if self._process is None else self._process.tree_mib()

    def start(self, session: str) -> None:
        """Begin a session."""
        self._sent[session] = _Sent()

    def end(self, session: str) -> None:
        """End a session."""
        try:
            self._hook("end", session, session)
        finally:
            self._sent.pop(session, None)

    def observe(self, outcome: Outcome) -> None:
        """Tell what came of a call."""
        if "observe" in self._hooks:
            self._hook("observe", outcome_to_json(outcome), outcome.session)

    def route(self, call: Call) -> Decision:
        """The router's decision.

        Raises:
            RouterError: it gave none; the text says why.
        """
        self.last_decision_ms = self.last_route_ms = None
        process = self._restarted()
        sent = self._sent.setdefault(call.session, _Sent())
        if sent.generation != self._generation:
            sent = self._sent[call.session] = _Sent(generation=self._generation)
            if "start" in self._hooks:
                told = self._ask(process, HOOK, "start", {"do": "hook", "hook": "start", "argument": call.session})
                sent.complaint = told.error if isinstance(told, HookFailure) else None
        kept = shared_prefix(sent.messages, call.messages)
        request: dict[str, Any] = {
            "do": "route",
            "head": call_head(call),
            "keep": kept,
            "append": call.messages[kept:],
        }
        if sent.tools is not call.tools and sent.tools != call.tools:
            request["tools"] = call.tools
        try:
            answer = self._ask(process, DECISION, "the decision", request, self._served)
        finally:
            self.last_decision_ms = process.took_ms
        sent.messages, sent.tools = call.messages, call.tools
        self.last_route_ms = answer.route_ms
        self.mutations += answer.mutated
        for each in answer.reached[: _MOST_REACHED - len(self._reached)]:
            self._reached[each] = None
        complaint, sent.complaint = sent.complaint, None
        if complaint is not None:
            raise RouterError(complaint)
        if isinstance(answer, RouteFailure):
            raise RouterError(answer.error)
        return Decision(answer.candidate, answer.score, answer.rationale)

    def _served(self, question: QuestionContent) -> dict[str, Any]:
        """The reply to a router's question, which may be anything."""
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

    def _hook(self, hook: str, argument: object, session: str) -> None:
        """Tell of a session that this life of the process knows; another's hooks would not know what is meant."""
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
        serve: Serve | None = None,
    ) -> Answer | Failure:
        try:
            return process.ask(request, kind, self.limits.decision_s, what, serve)
        except FrameError as error:
            raise RouterError(str(error)) from None
        except RouterError:
            process.close()
            self._process = None
            raise

    def _restarted(self) -> RouterProcess:
        """The process; where the last one was ended, a new one."""
        try:
            return self._loaded()
        except TwinbenchError as failure:
            raise RouterError(f"its process ended and cannot be started again: {failure}") from None

    def _loaded(self) -> RouterProcess:
        """The process, a new one where the last was ended."""
        if self._process is not None:
            return self._process
        assert self._folder is not None  # noqa: S101 - used as a context manager
        request = {
            "do": "load",
            **self.place,
            "candidates": [candidate_to_json(candidate) for candidate in self.candidates],
            "models": dict(self.models),
            "watch": self.limits.watch,
        }
        try:
            if self.limits.isolation is None:
                process: RouterProcess = LocalProcess(self._folder, self.limits)
            else:
                process = self.limits.isolation.start(self.place, self._folder, self.limits)
        except OSError as error:
            raise RouterLoadError(f"router {self.name!r}: its process cannot be started ({error})") from None
        try:
            answer = process.ask(request, LOADING, self.limits.load_s, "loading it")
        except RouterError as failure:
            process.close()
            raise RouterLoadError(f"router {self.name!r} could not be loaded: {failure}") from None
        if isinstance(answer, LoadFailure):
            process.close()
            if answer.usage:
                raise UsageError(f"router {self.name!r}: {answer.error}")
            raise RouterLoadError(f"router {self.name!r} could not be loaded: {answer.error}")
        self._process = process
        self._generation += 1
        self._hooks = frozenset(answer.hooks)
        return process
