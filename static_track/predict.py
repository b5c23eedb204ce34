"""Ask a router about every row of a bank, trajectory by trajectory, as a running agent would."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from static_track.banks.bank import Bank
from static_track.banks.splits import WHOLE_BANK, BankPart
from static_track.predictions import Predictions
from static_track.trajectory_walk import TrajectoryWalk
from twinbench.display.progress import Progress, no_progress
from twinbench.routing.router import Choice, Router
from twinbench.routing.router_llm import DecisionContext, RouterLlm
from twinbench.storage.manifests import StaticManifest

_Value = TypeVar("_Value")

MAX_FAILURES_IN_A_ROW = 10
"""After this many failures in a row a router is stopped."""

_NOT_ASKED = f"not asked: the router was stopped after {MAX_FAILURES_IN_A_ROW} failures in a row"

SESSION_SALT = "static"


class _Answers:
    """The answers so far."""

    def __init__(self) -> None:
        self.row_nos: list[int] = []
        self.tier_ids: list[int | None] = []
        self.errors: dict[int, str] = {}
        self.latencies_ms: list[float | None] = []
        self.scores: list[float | None] = []
        self.rationales: list[str | None] = []
        self.router_usd: list[Decimal | None] = []
        self.unanswered: str | None = None
        self._failures_in_a_row = 0
        self._failures_before_last = 0

    @property
    def is_stopped(self) -> bool:
        return self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW

    @property
    def spent_usd(self) -> Decimal:
        """The cost of the router's own LLM calls so far."""
        return sum((usd for usd in self.router_usd if usd is not None), Decimal(0))

    def add(
        self, row_no: int, choice: Choice | str, latency_ms: float | None, deciding: DecisionContext | None = None
    ) -> None:
        """Add a row's choice, or its error message."""
        self.row_nos.append(row_no)
        self.router_usd.append(deciding.spent_usd if deciding is not None and deciding.calls else None)
        if self.unanswered is None and deciding is not None and deciding.failures:
            self.unanswered = str(deciding.failures[0])
        self.latencies_ms.append(latency_ms)
        self._failures_before_last = self._failures_in_a_row
        if isinstance(choice, Choice):
            self._failures_in_a_row = 0
            self.tier_ids.append(int(choice.candidate.tier))
            self.scores.append(choice.score)
            self.rationales.append(choice.rationale)
        else:
            self._failures_in_a_row += 1
            self.errors[row_no] = choice
            self.tier_ids.append(None)
            self.scores.append(None)
            self.rationales.append(None)

    def predictions(self) -> Predictions:
        """Return all answers in the order of the bank's rows; errors of rows that were not decided come last."""
        places = sorted(range(len(self.row_nos)), key=self.row_nos.__getitem__)

        def in_order(values: Sequence[_Value]) -> list[_Value]:
            return [values[place] for place in places]

        errors = sorted(self.errors.items(), key=lambda error: (error[1] == _NOT_ASKED, error[0]))
        return Predictions(
            row_nos=in_order(self.row_nos),
            tier_ids=in_order(self.tier_ids),
            errors=dict(errors),
            latencies_ms=[each for each in in_order(self.latencies_ms) if each is not None],
            scores=in_order(self.scores),
            rationales=in_order(self.rationales),
            router_usd=None if set(self.router_usd) <= {None} else in_order(self.router_usd),
            llm_failure=self.unanswered,
            stopped=self.is_stopped,
        )

    def fail_last_row(self, complaint: str) -> None:
        """Turn the last row's answer into an error, because its session could not be ended."""
        if self.tier_ids[-1] is None:
            return
        self.errors[self.row_nos[-1]] = complaint
        self.tier_ids[-1] = self.scores[-1] = self.rationales[-1] = None
        self._failures_in_a_row = self._failures_before_last + 1


def predict(
    router: Router,
    bank: Bank,
    manifest: StaticManifest,
    *,
    split: BankPart = WHOLE_BANK,
    base_file: Path | None = None,
    salt: str = SESSION_SALT,
    order_seed: int = 0,
    llm: RouterLlm | None = None,
    progress: Progress = no_progress,
) -> Predictions:
    """Ask ``router`` about every row of a part of a bank.

    A failed decision is an error of its row only; after ten failures in a row the router is stopped, and the remaining
    rows are errors that say so.

    Args:
        router: the router, with its optional hooks.
        bank: an opened bank.
        manifest: the manifest with the candidates' rates and the cache TTL.
        split: the part of the bank.
        base_file: a sidecar file with the token counts of another tokenizer set.
        salt: the salt of the session keys.
        order_seed: the seed of the order of trajectories.
        llm: the LLM handle that the router was given.
        progress: called after each trajectory.
    """
    [found] = predict_side_by_side(
        [router],
        bank,
        manifest,
        split=split,
        base_file=base_file,
        salt=salt,
        order_seed=order_seed,
        llm=llm,
        progress=progress,
    )
    return found


def predict_side_by_side(
    routers: Sequence[Router],
    bank: Bank,
    manifest: StaticManifest,
    *,
    split: BankPart = WHOLE_BANK,
    base_file: Path | None = None,
    salt: str = SESSION_SALT,
    order_seed: int = 0,
    llm: RouterLlm | None = None,
    progress: Progress = no_progress,
) -> list[Predictions]:
    """Ask several routers, as ``predict`` asks one; each trajectory is read once for all of them."""
    candidates = manifest.candidates()
    each_answers = [_Answers() for _ in routers]
    total = bank.info.rows if split.trajectories is None else None
    for trajectory in bank.trajectories(candidates, split, base_file, order_seed=order_seed):
        for router, answers in zip(routers, each_answers, strict=True):
            walk = TrajectoryWalk(
                router, trajectory, candidates, salt=salt, ttl_steps=manifest.cache_ttl_steps, llm=llm
            )
            for step in trajectory.steps:
                if answers.is_stopped:
                    answers.add(step.row_no, _NOT_ASKED, None)
                    continue
                found = walk.ask(step)
                answers.add(step.row_no, found.choice, found.latency_ms, found.decision_context)
            if not answers.is_stopped and (complaint := walk.end()) is not None:
                answers.fail_last_row(complaint)
        spent_usd = sum((answers.spent_usd for answers in each_answers), Decimal(0))
        spent = f" ({spent_usd:.4f} USD spent)" if spent_usd else ""
        asked = "the router" if len(routers) == 1 else f"{len(routers)} routers"
        progress(f"asking {asked}{spent}", len(each_answers[0].row_nos), total)
    return [answers.predictions() for answers in each_answers]
