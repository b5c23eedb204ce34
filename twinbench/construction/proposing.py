"""The interface of proposers, which suggest for each step of a seed trajectory the tier to try first.

A suggestion only prunes the search. A wrong one costs executions or leaves a label higher than necessary, but every
label is still confirmed by an execution. Source: construction.md, stage 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Protocol

from twinbench.construction.execution import ConstructionTask, Execution

NOT_DOWNGRADEABLE = "not_downgradeable"
"""The suggestion that no tier below the strongest is worth trying."""


class Proposer(Protocol):
    """Suggests tiers; called by one thread at a time."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that its suggestions depend on, as JSON."""
        ...

    @property
    def spent_usd(self) -> Decimal:
        """The amount that it has paid since it was opened."""
        ...

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:
        """Suggest for each step of a seed the lowest tier worth trying, or ``NOT_DOWNGRADEABLE``.

        Args:
            task: the task of the seed.
            seed: an execution that passed and in which the strongest tier answered every step.

        Raises:
            CausedError: infrastructure or a cap prevents an answer; the task stays open.

        Returns:
            Tier labels by step. Steps beyond the last one are tried from the lowest tier on.
        """
        ...


class ProposerFactory(Protocol):
    """Opens a proposer; registered as an entry point of the group ``twinbench.proposers``, or named by path."""

    def __call__(
        self, settings: Mapping[str, Any], tiers: Mapping[str, Sequence[str]]
    ) -> AbstractContextManager[Proposer]:
        """Open the proposer that a build's configuration names.

        Args:
            settings: the table ``[proposer]``, empty if there is none; validated by the proposer.
            tiers: the ids of the candidates of each tier, from ``TaskExecutor.tiers``.

        Raises:
            UsageError: a setting is unknown or invalid; the message names the key.
        """
        ...
