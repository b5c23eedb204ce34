"""The simulated provider: plays every candidate of a pool over real HTTP, free of charge.

Its answers follow from the seed, the model, the session and the conversation (without times and addresses). Its bills
follow from the token counts, and from what its caches contain by the session's own time. A request that comes twice in
a session is answered and billed in the same way both times, so that a run that was killed and continued ends like one
that was not interrupted.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.conversation import message_text
from dynamic_track.rehearsal.prompt_cache import PromptCache
from dynamic_track.rehearsal.refusals import OfferedModel
from dynamic_track.rehearsal.replies import (
    CutReply,
    MessageReply,
    Reply,
    ResetReply,
    TokenCounts,
    ToolCall,
    UsageFormat,
    invalid_json,
    rate_limit_reply,
    server_error,
    unavailable,
)
from dynamic_track.rehearsal.server import ProviderServer, ReceivedRequest, billed_tokens, json_reply
from dynamic_track.rehearsal.simulation import Draw, KnownTask, SimulatedAnswer, find_known_task, make_draw, next_answer
from dynamic_track.rehearsal.skills import SkillTable, read_skill_table
from dynamic_track.rehearsal.virtual_time import BEGINNING
from twinbench.calls.completion import SIMULATED
from twinbench.calls.normalise import normalise
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

_FIRST_TOKEN_S = 1.0
_PROMPT_TOKENS_PER_S = 4000.0
_UNKNOWN_TASK_ANSWER = SimulatedAnswer(
    "I am a simulated model: I know the rehearsal's tasks, and this conversation is about none of them."
)

FAULTS: Mapping[str, Callable[[], Reply]] = {
    "429": lambda: rate_limit_reply(2),
    "500": server_error,
    "503": lambda: unavailable(1),
    "cut": lambda: CutReply(json_reply({"id": "cut", "choices": [{"message": {"content": "this is cut short"}}]})),
    "reset": ResetReply,
    "unreadable": invalid_json,
}
"""The faults that an attempt may have, by name; a further attempt succeeds."""


@dataclass(frozen=True)
class Faults:
    """The share of attempts that fail, and the kinds of their faults."""

    share: float = 0.0
    kinds: tuple[str, ...] = ("429", "500")

    @classmethod
    def parse(cls, text: str | None) -> Faults:
        """Parse the value of ``--faults``: ``0.1``, or ``0.1:429,cut``.

        Raises:
            UsageError: the value has neither form.
        """
        if text is None:
            return cls()
        share, _, kinds = text.partition(":")
        chosen = tuple(kinds.split(",")) if kinds else cls.kinds
        try:
            number = float(share)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1 or not set(chosen) <= set(FAULTS):
            known = ", ".join(FAULTS)
            raise UsageError(f"--faults {text}: give a share below 1, such as 0.1 or 0.1:429,cut (of {known})")
        return cls(number, chosen)

    def draw(self, draw: Draw, attempt: int) -> Reply | None:
        """Return the fault of an attempt, or None if it has none."""
        if draw(f"fault {attempt}") >= self.share:
            return None
        return FAULTS[self.kinds[int(draw(f"which fault {attempt}") * len(self.kinds))]]()


@dataclass(frozen=True)
class BilledRequest:
    """A request that was answered, and what was billed for it."""

    session: str
    model: str
    request: str
    """The fingerprint of its body, without what differs from run to run."""
    prefix: str
    """The name of its prompt in the cache."""
    at: float
    """When it arrived, by the session's own time."""
    seconds: float
    """How long the answer took."""
    counts: Mapping[str, int]


class SimulatedModels:
    """Decides what the models of a pool answer and what is billed for it.

    Args:
        tasks: the tasks that they know.
        pool: the pool whose candidates they are.
        seed: seed of their random choices.
        faults: which attempts fail, and how.
        skills: their skills, by tier.
        memory: a file that records what was billed, so that the caches survive a killed run.
    """

    def __init__(
        self,
        tasks: Sequence[KnownTask],
        pool: LiveManifest,
        *,
        seed: str = "0",
        faults: Faults | None = None,
        skills: SkillTable | None = None,
        memory: Path | None = None,
    ) -> None:
        self._tasks = tasks
        self._seed = seed
        self._faults = faults or Faults()
        self._skills = skills or read_skill_table()
        self._tiers = {candidate.model: Tier.from_label(candidate.tier) for candidate in pool.candidates}
        self._tokenizers = _tokenizers()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._served: dict[tuple[str, str], BilledRequest] = {}
        self._now: dict[str, float] = {}
        self._lock = threading.Lock()
        self.cache = PromptCache(pool.wallclock_ttl_seconds, tokens=lambda model, text: self._tokens(model, text))
        self._memory = memory
        for served in _read_memory(memory):
            self._remember(served)

    def answer(self, asked: ReceivedRequest) -> Reply:
        """Return the answer to a well-formed request."""
        body = normalise(asked.body)
        model, session, request = str(body["model"]), asked.session, fingerprint(body)
        draw = make_draw(self._seed, model, session, fingerprint(_readable_parts(body["messages"])))
        with self._lock:
            self._attempts[session, request] += 1
            if (fault := self._faults.draw(draw, self._attempts[session, request])) is not None:
                return fault
            said = self._next_answer(model, asked.body, draw)
            message = _message(said, draw, tools=bool(body.get("tools")))
            served = self._served.get((session, request)) or self._bill(session, request, body, message, draw)
        shape = UsageFormat.for_model(model)
        counts = TokenCounts(**served.counts)
        told = {
            "id": f"sim-{request[:24]}",
            "created": int(served.at),
            SIMULATED: {"seconds": served.seconds, "note": "a simulation: no model answered"},
        }
        return replace(message, usage=counts.to_usage(shape), response_fields=told)

    def _next_answer(self, model: str, body: Mapping[str, Any], draw: Draw) -> SimulatedAnswer:
        messages = body["messages"]
        task = find_known_task(self._tasks, messages)
        if task is None:
            return _UNKNOWN_TASK_ANSWER
        return next_answer(
            task, self._skills.for_tier(self._tiers[model]), messages, draw, several=bool(body.get("tools"))
        )

    def _bill(
        self, session: str, request: str, body: Mapping[str, Any], message: MessageReply, draw: Draw
    ) -> BilledRequest:
        model = str(body["model"])
        skill = self._skills.for_tier(self._tiers[model])
        at = self._now.get(session, BEGINNING)
        counts = self.cache.count(session, body, UsageFormat.for_model(model), at)
        spoken = message.text or ""
        said = self._tokens(model, spoken) + sum(
            self._tokens(model, json.dumps(call.arguments)) for call in message.calls
        )
        output = billed_tokens(body.get("max_tokens"), said + int(skill.thinking_tokens * (0.5 + draw("thinks"))))
        uncached = counts.prompt - counts.read
        seconds = round(_FIRST_TOKEN_S + uncached / _PROMPT_TOKENS_PER_S + output / skill.tokens_per_second, 3)
        plain = {name: value for name, value in asdict(replace(counts, output=output)).items() if value is not None}
        served = BilledRequest(session, model, request, self.cache.prefix_name(body), at, seconds, plain)
        self._remember(served)
        if self._memory is not None:
            with self._memory.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(served)) + "\n")
        return served

    def _remember(self, served: BilledRequest) -> None:
        self._served[served.session, served.request] = served
        self._now[served.session] = served.at + served.seconds
        self.cache.remember(served.session, served.model, served.prefix, served.at)

    def _tokens(self, model: str, text: str) -> int:
        return _count(self._tokenizers.tokenizer_name(self._tiers[model]), text)


def simulated_provider(
    models: SimulatedModels, pool: LiveManifest, *, api_key: str | None = None, port: int = 0
) -> ProviderServer:
    """Return a server of simulated models that refuses what a real provider refuses.

    Args:
        models: answers the requests.
        pool: the pool whose candidates are offered, at its prices.
        api_key: the only key that is accepted; None: any.
        port: 0 means any free port.
    """
    offered = [
        OfferedModel(
            candidate.model,
            pricing={
                name: f"{price / 1_000_000:f}"
                for name, price in (
                    ("prompt", candidate.prices.input),
                    ("completion", candidate.prices.output),
                    ("input_cache_read", candidate.prices.cache_read),
                    ("input_cache_write", candidate.prices.cache_write),
                )
            },
            context_length=candidate.context_window,
        )
        for candidate in pool.candidates
    ]
    return ProviderServer(models.answer, models=offered, api_key=api_key, cache=models.cache, port=port)


@cache
def _tokenizers() -> TokenizerSet:
    return find_tokenizer_set(static_manifest())


@lru_cache(maxsize=32768)
def _count(tokenizer: str, text: str) -> int:
    """Count the tokens of a text; cached, because the runs of a rehearsal contain the same texts again and again."""
    return _tokenizers().tokenizers[tokenizer].count([text])[0]


def _message(said: SimulatedAnswer, draw: Draw, *, tools: bool) -> MessageReply:
    thought = f"THOUGHT: {said.thought}"
    if tools:
        calls = [
            ToolCall({"command": command}, id=f"call_{int(draw(f'call {number}') * 10**9)}")
            for number, command in enumerate(said.commands)
        ]
        return MessageReply(thought, calls=calls)
    blocks = [f"```mswea_bash_command\n{command}\n```" for command in said.commands]
    return MessageReply("\n\n".join((thought, *blocks)))


def _readable_parts(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the parts of the messages that a model reads: roles, texts and tool calls."""
    return [
        [message.get("role"), message_text(message), message.get("tool_calls"), message.get("tool_call_id")]
        for message in messages
    ]


def _read_memory(memory: Path | None) -> list[BilledRequest]:
    """Read the records of a memory file; a line that was cut short by a kill was never answered."""
    if memory is None or not memory.exists():
        return []
    whole = memory.read_bytes().split(b"\n")[:-1]
    with memory.open("r+b") as file:
        file.truncate(sum(len(line) + 1 for line in whole))
    return [BilledRequest(**json.loads(line)) for line in whole]
