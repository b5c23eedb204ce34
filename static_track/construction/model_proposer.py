"""A model as a proposer: shown the whole seed once, it says for each step the lowest tier worth trying.

It is called through the metered handle, at the locked prices of a pool and under a cap of its own. What it answers that
is not a hint prunes nothing; a failed call leaves the task open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from static_track.construction.ladder import Ladder
from twinbench.calls.metered import MeteredLlm
from twinbench.construction.execution import ConstructionTask, Execution
from twinbench.construction.proposing import NOT_DOWNGRADEABLE
from twinbench.display.html.page import shorten_middle
from twinbench.errors import UsageError
from twinbench.providers.metering import open_metered_llm
from twinbench.reading.strict_json import parse_json
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.routing.llm import LlmError
from twinbench.routing.router_llm import DecisionContext
from twinbench.storage.manifest_files import DEFAULT_LIVE
from twinbench.text.messages import message_text

PROMPT_VERSION = 1
"""Version of the instructions below; another version may give other hints."""

_MOST_CHARACTERS = 4000
"""How much of a message is shown: its beginning and its end."""
_TOKENS_A_STEP = 16
_TOKENS_AROUND = 64
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)

_INSTRUCTIONS = """\
You see the transcript of a task that a strong model solved in {steps} steps; a step is one answer of the assistant. \
Cheaper models stand in tiers, from the weakest to the strongest: {tiers}. Say for each step the lowest tier that is \
worth trying there, or {never} where no tier below {strongest} could do it. \
Answer with one JSON object and nothing else: {{"hints": [...]}}, with exactly {steps} entries, one for each step."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    api_base: str
    api_key_env: str | None = None
    pool: str = DEFAULT_LIVE
    candidate: str
    usd: str | float | int | None = None


class ModelProposer:
    """Asks a model once a seed."""

    def __init__(self, llm: MeteredLlm, candidate: str, ladder: Ladder) -> None:
        self._llm = llm
        self._candidate = candidate
        self._ladder = ladder
        self._spent_usd = Decimal(0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Pool, candidate and instructions."""
        return {"model": self._candidate, "pool": self._llm.pool.fingerprint, "prompt": PROMPT_VERSION}

    @property
    def spent_usd(self) -> Decimal:
        """The cost of its answers since the build was started, in USD."""
        return self._spent_usd

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:
        """Return the model's hints about a seed; empty if its answer has none.

        Raises:
            CausedError: the provider fails, or the cap is reached.
        """
        steps = len(seed.steps)
        with self._llm.within_decision(DecisionContext(f"proposer-{task.id}", 1)) as deciding:
            try:
                said = self._llm.ask(
                    [
                        {"role": "system", "content": self._instructions(steps)},
                        {"role": "user", "content": _transcript(seed)},
                    ],
                    candidate=self._candidate,
                    max_tokens=steps * _TOKENS_A_STEP + _TOKENS_AROUND,
                ).text
            except LlmError:
                said = ""
        self._spent_usd += deciding.spent_usd
        if deciding.failures:
            raise deciding.failures[0]
        return self._hints(said)

    def _instructions(self, steps: int) -> str:
        labels = [tier.label for tier, _ in self._ladder.rungs]
        return _INSTRUCTIONS.format(steps=steps, tiers=", ".join(labels), never=NOT_DOWNGRADEABLE, strongest=labels[-1])

    def _hints(self, said: str) -> list[str]:
        """Return the hints in an answer; invalid ones become the lowest tier, which prunes nothing."""
        try:
            found = _OBJECT.search(said)
            hints = parse_json(found[0] if found else said)["hints"]
        except (ValueError, TypeError, KeyError):
            return []
        lowest, strongest = (self._ladder.rungs[place][0].label for place in (0, -1))
        known = {tier.label: tier.label for tier, _ in self._ladder.rungs}
        known |= {NOT_DOWNGRADEABLE: NOT_DOWNGRADEABLE, strongest: NOT_DOWNGRADEABLE}
        listed = hints if isinstance(hints, list) else []
        return [known.get(hint, lowest) if isinstance(hint, str) else lowest for hint in listed]


def _transcript(seed: Execution) -> str:
    """The conversation of a seed's last step, each answer of the assistant numbered as the step that it is."""
    last = seed.steps[-1]
    begins = [len(step.messages) for step in seed.steps]
    parts = []
    for place, message in enumerate(last.messages):
        step = f" (step {begins.index(place) + 1})" if place in begins else ""
        parts.append(f"[{message['role']}{step}]\n{shorten_middle(message_text(message), _MOST_CHARACTERS)[0]}")
    parts.append(f"[assistant (step {len(begins)})]\n(the last answer, after which the task was solved)")
    return "\n\n".join(parts)


@contextmanager
def open_model(settings: Mapping[str, Any], ladder: Ladder) -> Iterator[ModelProposer]:
    """A model as the proposer.

    Args:
        settings: the table ``[proposer]``: ``api_base``, ``api_key_env``, ``pool``, ``candidate`` and ``usd``, the most
            that it may spend each time the build is started.
        ladder: the tiers of the build.

    Raises:
        UsageError: a setting is refused; names it.
    """
    try:
        read = _Settings.model_validate(dict(settings))
    except ValidationError as error:
        details = error.errors()[0]
        raise UsageError(
            f"[proposer], field {field_path(details['loc'])}: {describe_validation_error(details)}"
        ) from None
    with open_metered_llm(read.api_base, read.api_key_env, read.usd, read.pool, option="proposer.usd", who="it") as llm:
        assert llm is not None  # noqa: S101 - there is an address
        candidates = [each.id for each in llm.pool.candidates]
        if read.candidate not in candidates:
            raise UsageError(f"[proposer], field candidate: pool {llm.pool.name} has {', '.join(candidates)}")
        yield ModelProposer(llm, read.candidate, ladder)
