"""The score of a run: the bill of its cases (dynamic.md, "Bill")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dynamic_track.running.trial import TrialOutcome
from twinbench.display.wording import format_count, shorten
from twinbench.storage.manifests import LiveManifest

_SHOWN_CHARACTERS = 300
_MEANINGS = {
    "LimitsExceeded": "the pool's step or cost limit",
    "RepeatedFormatError": "too many answers in a row without a readable command",
}
"""Meanings of mini-swe-agent's exit statuses."""


@dataclass(frozen=True)
class RunScore:
    """The score of a run's trials; money is in USD.

    The bill covers the cases with a verdict, including those with cause ``router``; cases that infrastructure or the
    cap ended are counted separately.
    """

    trials: tuple[TrialOutcome, ...]
    """The trials that ended."""
    penalty_usd_each: Decimal
    begun_usd: Decimal = Decimal(0)
    """What was spent on trials that have not ended; they have no bill yet."""
    not_loaded: str | None = None
    """Why the router could not be loaded the last time; None if it was."""

    def count(self, what: str) -> int:
        """Count the trials that are counted as ``what``."""
        return sum(trial.outcome_class == what for trial in self.trials)

    @property
    def cost_usd(self) -> Decimal:
        """The cost of the answers that agents and routers received."""
        return sum((trial.cost_usd for trial in self.trials), Decimal(0))

    @property
    def spend_usd(self) -> Decimal:
        """The cost of all attempts, including those of trials that have not ended."""
        return sum((trial.spend_usd for trial in self.trials), self.begun_usd)

    @property
    def penalty_usd(self) -> Decimal:
        """The total penalty of unresolved cases."""
        return self.penalty_usd_each * self.count("unresolved")

    @property
    def bill_usd(self) -> Decimal:
        """Cost plus penalty of the cases that have a verdict."""
        return sum((trial.bill_usd for trial in self.trials if trial.bill_usd is not None), Decimal(0))

    @property
    def avg_steps(self) -> float | None:
        """Mean answered calls per trial; None without any trial."""
        return sum(trial.steps for trial in self.trials) / len(self.trials) if self.trials else None

    @property
    def router_errors(self) -> int:
        """The number of failed decisions of the router."""
        return sum(trial.router_errors for trial in self.trials)

    @property
    def first_router_error(self) -> str | None:
        """The first error of the router, with case and step; None if there was none."""
        if not self.trials:
            return self.not_loaded
        return next((f"{each.id}, {told}" for each in self.trials if (told := each.first_router_error)), None)

    @property
    def router_failure(self) -> str | None:
        """How the router failed as a whole, as the end of a sentence; None if it did not.

        Cases that infrastructure or the cap ended are ignored.
        """
        if self.not_loaded is not None and not self.trials:
            return "could not be loaded"
        telling = [trial for trial in self.trials if trial.outcome_class in ("resolved", "unresolved", "ungraded")]
        return "failed in every case" if telling and all(trial.router_failed for trial in telling) else None

    @property
    def is_ranked(self) -> bool:
        """Whether it can be compared with others: it has a verdict, and its router did not fail as a whole."""
        return self.router_failure is None and any(trial.bill_usd is not None for trial in self.trials)

    @property
    def agent_ends(self) -> dict[str, int]:
        """Counts of mini-swe-agent's exit statuses, for agents that neither submitted nor were ended by a cause."""
        return dict(Counter(end for trial in self.trials if (end := trial.agent_end) is not None))

    @property
    def models(self) -> dict[str, int]:
        """Answered calls by candidate."""
        counts: Counter[str] = Counter()
        for trial in self.trials:
            counts.update(trial.models)
        return dict(counts)

    def tier_shares(self, pool: LiveManifest) -> dict[str, float]:
        """Return each tier's share of answered calls; empty if there were none."""
        tiers = {candidate.id: candidate.tier for candidate in pool.candidates}
        total = sum(self.models.values())
        shares: dict[str, float] = dict.fromkeys(tiers.values(), 0.0)
        for candidate, calls in self.models.items():
            shares[tiers[candidate]] += calls / total
        return shares if total else {}

    def to_json(self) -> dict[str, Any]:
        """The score as a JSON object, without the cases."""
        return {
            "cases": len(self.trials),
            **{what: self.count(what) for what in ("resolved", "unresolved", "infra", "cap")},
            "cost_usd": float(self.cost_usd),
            "spend_usd": float(self.spend_usd),
            "penalty_usd": float(self.penalty_usd),
            "bill_usd": float(self.bill_usd),
            "avg_steps": self.avg_steps,
            "models": self.models,
            **self.failures(),
        }

    def failures(self) -> dict[str, Any]:
        """Return failures and their reasons as a JSON object: the router's decisions, and agents that did not
        submit.
        """
        return {
            "router_errors": self.router_errors,
            "first_router_error": self.first_router_error,
            "router_failure": self.router_failure,
            "agent_ends": self.agent_ends,
        }

    def failure_notes(self, router: str, *, bill_usd: float | None = None) -> list[str]:
        """Return the failures as notes below a table; empty if nothing failed.

        Args:
            router: the name at the beginning of each note.
            bill_usd: the bill of a router that failed as a whole and so has no rank in a table of several; None: the
            table is of
                this router alone.
        """
        if self.not_loaded is not None and not self.trials:
            return [f"{self.not_loaded}; no case was run"]
        of = f"{router}: "
        notes = []
        if self.first_router_error is not None:
            first = shorten(" ".join(self.first_router_error.split()), _SHOWN_CHARACTERS)
            number = format_count(self.router_errors, "router failure")
            told = f"{number}, the first: {first}" if self.router_errors > 1 else f"{number}: {first}"
            whole = ""
            if self.router_failure is not None:
                bill = "" if bill_usd is None else f"; its bill is {bill_usd:.4f} USD, without a rank or tests"
                whole = f"{self.router_failure}{bill}; "
            notes.append(f"{of}{whole}{told}")
        if self.agent_ends:
            ends = ", ".join(
                f"{number:,} by {name}" + (f" ({_MEANINGS[name]})" if name in _MEANINGS else "")
                for name, number in self.agent_ends.items()
            )
            cases = format_count(sum(self.agent_ends.values()), "case")
            notes.append(f"{of}the agent ended without submitting in {cases}: {ends}")
        return notes


def score_trials(
    trials: Sequence[TrialOutcome], pool: LiveManifest, begun_usd: Decimal = Decimal(0), not_loaded: str | None = None
) -> RunScore:
    """Score trials under a pool's penalty.

    Args:
        trials: the trials that ended.
        pool: the pool, with the penalty.
        begun_usd: what was spent on trials that have not ended, in USD.
        not_loaded: why the router could not be loaded the last time; None where it was.
    """
    return RunScore(tuple(trials), pool.unresolved_penalty_usd, begun_usd, not_loaded)


def give_up_usd(cases: int, pool: LiveManifest) -> Decimal:
    """Return the bill of submitting nothing, which costs only penalties."""
    return pool.unresolved_penalty_usd * cases
