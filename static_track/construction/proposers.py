"""The proposers that there are without any plugin: one that never prunes, routers, and a model."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

from static_track.banks.bank import PrefixStep, Trajectory
from static_track.banks.token_base import StepMessages, base_rows
from static_track.banks.tools import as_openai_tools
from static_track.banks.unique_messages import UniqueMessages
from static_track.construction.ladder import Ladder
from static_track.trajectory_walk import TrajectoryWalk
from twinbench.construction.execution import ConstructionTask, Execution
from twinbench.construction.finding import PROPOSERS, find_factory
from twinbench.construction.proposing import NOT_DOWNGRADEABLE, Proposer
from twinbench.errors import TwinbenchError, UsageError
from twinbench.plugins.loading import load_router
from twinbench.routing.cache_policy import Prompt
from twinbench.routing.router import Choice, Router
from twinbench.routing.tiers import TIER_LABELS
from twinbench.storage.manifest_files import static_manifest
from twinbench.text.messages import message_text
from twinbench.text.tokens import find_tokenizer_set

AGGRESSIVE = "aggressive"
MODEL = "model"
_ROUTER = "router:"


class AggressiveProposer:
    """Never prunes: every step is tried from the lowest tier on."""

    def __init__(self, lowest: str) -> None:
        self._lowest = lowest

    @property
    def identity(self) -> Mapping[str, Any]:
        """The proposer's name."""
        return {"name": AGGRESSIVE}

    @property
    def spent_usd(self) -> Decimal:
        """Nothing."""
        return Decimal(0)

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:  # noqa: ARG002 - asks about none
        """Propose the lowest tier for every step."""
        return [self._lowest] * len(seed.steps)


class RouterProposer:
    """Asks a router about the steps of a seed, as the static track would: the tier that it picks is the hint.

    If the router fails on a step, that step is tried from the lowest tier on.
    """

    def __init__(self, router: Router, identity: Mapping[str, Any], ladder: Ladder) -> None:
        self._router = router
        self._identity = identity
        self._lowest = ladder.rungs[0][0]
        self._strongest = ladder.rungs[-1][0]

    @property
    def identity(self) -> Mapping[str, Any]:
        """The router's spec, and the fingerprint of what its decisions depend on."""
        return self._identity

    @property
    def spent_usd(self) -> Decimal:
        """Nothing."""
        return Decimal(0)

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:
        """Propose the tier that the router picks for each step."""
        manifest = static_manifest()
        trajectory = to_trajectory(task, seed)
        walk = TrajectoryWalk(
            self._router, trajectory, manifest.candidates(), salt="construction", ttl_steps=manifest.cache_ttl_steps
        )
        picked = [walk.ask(step).choice for step in trajectory.steps]
        walk.end()
        tiers = [choice.candidate.tier if isinstance(choice, Choice) else self._lowest for choice in picked]
        return [NOT_DOWNGRADEABLE if tier >= self._strongest else tier.label for tier in tiers]


def to_trajectory(task: ConstructionTask, execution: Execution) -> Trajectory:
    """Convert an execution to a trajectory of a bank, as routers see it."""
    manifest = static_manifest()
    tokenizers = find_tokenizer_set(manifest)
    candidates = manifest.candidates()
    messages = UniqueMessages()
    steps = list(execution.steps)
    numbers = [[messages.add(message) for message in step.messages] for step in steps]
    rows = [StepMessages(number, 0, number + 1, None, each) for number, each in enumerate(numbers)]
    base = base_rows(rows, messages, messages.count_tokens(tokenizers), manifest, tokenizers)
    spoken = [_assistant_text(later.messages[len(earlier.messages) :]) for earlier, later in pairwise(steps)]
    return Trajectory(
        task.workload,
        task.id,
        [
            PrefixStep(
                counts.row_no,
                Prompt(
                    messages=tuple(step.messages),
                    tools=as_openai_tools(step.functions),
                    step_index=counts.step_index,
                    tokens={candidate.id: counts.prompt[candidate.tier] for candidate in candidates},
                    semantic_keys=[messages.semantic_ids[each] for each in of_step],
                ),
                counts.visible,
                text,
            )
            for step, of_step, counts, text in zip(steps, numbers, base, [*spoken, ""], strict=True)
        ],
    )


def _assistant_text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(message_text(message) for message in messages if message.get("role") == "assistant")


@contextmanager
def open_proposer(name: str, settings: Mapping[str, Any], ladder: Ladder) -> Iterator[Proposer]:
    """Open the proposer that a configuration names.

    Args:
        name: ``aggressive``, ``router:SPEC``, ``model``, an entry point, ``module:attr`` or ``file.py:attr``.
        settings: the table ``[proposer]``.
        ladder: the tiers of the build.

    Raises:
        UsageError: the proposer is not found, or a setting is invalid.
    """
    with _open(name, settings, ladder) as proposer:
        yield proposer


def _open(name: str, settings: Mapping[str, Any], ladder: Ladder) -> AbstractContextManager[Proposer]:
    if name == MODEL:
        from static_track.construction.model_proposer import open_model  # which has an HTTP client

        return open_model(settings, ladder)
    if name != AGGRESSIVE and not name.startswith(_ROUTER):
        found: AbstractContextManager[Proposer] = find_factory(PROPOSERS, name)(settings, ladder.to_json())
        return found
    if settings:
        raise UsageError(f"proposer.{next(iter(settings))}: the proposer {name!r} takes no settings")
    if name == AGGRESSIVE:
        return _aggressive(ladder)
    return _router(name.removeprefix(_ROUTER), ladder)


@contextmanager
def _aggressive(ladder: Ladder) -> Iterator[Proposer]:
    yield AggressiveProposer(ladder.rungs[0][0].label)


@contextmanager
def _router(spec: str, ladder: Ladder) -> Iterator[Proposer]:
    loaded = load_router(spec)
    with loaded.open(static_manifest().candidates()) as router:
        yield RouterProposer(router, {"router": spec, "fingerprint": loaded.fingerprint}, ladder)


class HintSource:
    """Asks a proposer, one thread at a time, and validates its hints."""

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer
        self._lock = threading.Lock()

    def ask(self, task: ConstructionTask, seed: Execution) -> tuple[tuple[str, ...], Decimal]:
        """The hints for a seed, and what was paid for them.

        Raises:
            TwinbenchError: what the proposer answers is none.
        """
        with self._lock:
            before = self._proposer.spent_usd
            hints = tuple(self._proposer.propose(task, seed))
            paid = self._proposer.spent_usd - before
        for step, hint in enumerate(hints[: len(seed.steps)], 1):
            if hint not in (*TIER_LABELS, NOT_DOWNGRADEABLE):
                known = ", ".join((*TIER_LABELS, NOT_DOWNGRADEABLE))
                raise TwinbenchError(f"the hint for step {step} of {task.id} is {hint!r}; hints are {known}")
        return hints[: len(seed.steps)], paid
