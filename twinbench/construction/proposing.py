"""Proposers: what says of each step of a seed which tier is worth trying first.

A hint only prunes. A wrong one costs executions, or leaves a label higher than it had to be; it never makes a label
that no execution bears out. Source: construction.md, stage 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Protocol

from twinbench.construction.execution import ConstructionTask, Execution

NOT_DOWNGRADEABLE = "not_downgradeable"
"""The hint that no tier below the strongest is worth a try."""


class Proposer(Protocol):
    """Gives hints; asked by one thread at a time."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its hints depend on, as JSON."""
        ...

    @property
    def spent_usd(self) -> Decimal:
        """What it paid in this sitting, if anything."""
        ...

    def propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:
        """A hint for each step of a seed: the lowest tier worth trying first, or ``NOT_DOWNGRADEABLE``.

        Args:
            task: whose seed it is.
            seed: an execution in which the strongest tier answered every step, and which passed.

        Raises:
            CausedError: infrastructure or a cap keeps it from answering; the task stays open.

        Returns:
            Labels of tiers; steps beyond the last hint are tried from the lowest tier on.
        """
        ...


class ProposerFactory(Protocol):
    """Opens a proposer; registered as an entry point of the group ``twinbench.proposers``, or named by path."""

    def __call__(
        self, settings: Mapping[str, Any], tiers: Mapping[str, Sequence[str]]
    ) -> AbstractContextManager[Proposer]:
        """Open the proposer that a build's configuration names.

        Args:
            settings: the table ``[proposer]``, empty where there is none; checked by the proposer.
            tiers: the candidates of each tier, as the executor has them.

        Raises:
            UsageError: a setting is unknown or wrong; its message names the key.
        """
        ...
