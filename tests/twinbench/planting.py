"""Banks with a planted signal in the text: what is best possible on them is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tests.banks import Row
from twinbench.routing.tiers import Tier

KINDS = 8
SYNONYMS = 3
SHARES = (0.35, 0.3, 0.2, 0.15)
"""Of the tiers among kinds of trouble."""
SURE = 0.85
"""The chance that a call of a kind has the label of its kind; else any of the other three."""


@dataclass(frozen=True)
class Planted:
    """Rows of a bank, with the label that the best possible router gives each."""

    rows: Sequence[Row]
    best: Sequence[int]


def plant(seed: int, count: int, *, shuffled: bool = False) -> Planted:
    """Make rows whose labels go by one word of the last message, which names a kind of trouble by a synonym.

    Kinds are drawn anew with the seed: their words, their places and their tiers. All other words are noise with the
    frequencies of a language, and so are the number of steps and the length of what was seen.

    Args:
        seed: of everything.
        count: how many rows, one or two a trajectory.
        shuffled: deal the labels anew, so that nothing can be learned.
    """
    rng = random.Random(seed)  # noqa: S311 - a seeded test
    noise = [_word(rng) for _ in range(1500)]
    summed = [*accumulate(1 / (rank + 3) for rank in range(len(noise)))]
    kinds = [[_word(rng) for _ in range(SYNONYMS)] for _ in range(KINDS)]
    tier_of = [0, 1, 2, 3, *rng.choices(range(4), SHARES, k=KINDS - 4)]
    rng.shuffle(tier_of)
    rows: list[Row] = []
    best: list[int] = []
    task = 0
    while len(rows) < count:
        task += 1
        steps = rng.choice((1, 2, 2))
        messages = [
            {"role": "user", "content": " ".join(rng.choices(noise, cum_weights=summed, k=30)) + f" task {task}"}
        ]
        for step in range(1, min(steps, count - len(rows)) + 1):
            kind = rng.randrange(KINDS)
            words = rng.choices(noise, cum_weights=summed, k=rng.randrange(20, 90))
            words.insert(rng.randrange(len(words)), rng.choice(kinds[kind]))
            messages = [
                *messages,
                {"role": "assistant", "content": "look"},
                {"role": "user", "content": " ".join(words)},
            ]
            right = rng.random() < SURE
            label = tier_of[kind] if right else rng.choice([tier for tier in range(4) if tier != tier_of[kind]])
            best.append(tier_of[kind])
            rows.append(
                {
                    "id": f"w/{task}/{step}",
                    "benchmark": "w",
                    "instance_id": f"i{task}",
                    "step_index": step,
                    "total_steps": steps,
                    "messages": messages,
                    "target_tier": Tier(label).label,
                    "target_tier_id": label,
                }
            )
    if shuffled:
        labels = [row["target_tier_id"] for row in rows]
        rng.shuffle(labels)
        for row, label in zip(rows, labels, strict=True):
            row |= {"target_tier_id": label, "target_tier": Tier(label).label}
    return Planted(rows, best)


def _word(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(4, 10)))
