"""The headline as the released scorer finds it: every prefix tokenized again, for every row, on every path.

Written from the protocol alone (docs/scoring.md) as the alternative that scoring over stored counts is measured
against: ``python -m benchmarks.retokenizing BANK PREDICTIONS``. It shares the tokenizer files and the reading of a
message with the package, and nothing else: no count outlives the row and path that it was taken for, and the high
tier's tokenizer is asked text by text for its ids, as most code asks it (the import asks for counts in batches, which
is a quarter faster).
"""

from __future__ import annotations

import gzip
import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from tokenizers import Tokenizer

from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Prices
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.text.messages import Message, message_text, semantic_key
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

Row = Mapping[str, Any]
Path = Sequence[int | None]
"""A tier for each row of a trajectory; None where there is none."""


class RetokenizingScorer:
    """Scores rows, not counts."""

    def __init__(self, manifest: StaticManifest, tokenizers: TokenizerSet) -> None:
        self._manifest = manifest
        self._tokenizers = tokenizers
        self._loaded = tokenizers.tokenizers
        self._high = Tokenizer.from_file(str(tokenizers.files[tokenizers.tokenizer_name(Tier.HIGH)]))

    def headline(self, rows: Sequence[Row], predicted: Mapping[str, int | None]) -> dict[str, float]:
        """The four metrics and their mean, in percent.

        Args:
            rows: all rows of a bank.
            predicted: a tier for each row id; None for an error.
        """
        passing = exact = rows_of_passing = 0
        workload_rows: dict[str, int] = {}
        workload_d: dict[str, float] = {}
        workload_n: dict[str, float] = {}
        for (workload, _), group in groupby(sorted(rows, key=_place), key=_trajectory):
            steps = list(group)
            target = [step["target_tier_id"] for step in steps]
            pred = [predicted[step["id"]] for step in steps]
            passes = [tier is not None and tier >= wanted for tier, wanted in zip(pred, target, strict=True)]
            passing += sum(passes)
            exact += sum(tier == wanted for tier, wanted in zip(pred, target, strict=True))
            rows_of_passing += len(steps) if all(passes) else 0
            # The target path is in no metric of the headline; the released scorer bills it for its older blocks.
            high, _, spent = (sum(self._costs(steps, path, pred)) for path in ([Tier.HIGH] * len(steps), target, pred))
            workload_rows[workload] = workload_rows.get(workload, 0) + len(steps)
            workload_d[workload] = workload_d.get(workload, 0) + high
            workload_n[workload] = workload_n.get(workload, 0) + (high - spent if all(passes) else -spent)
        shares = {workload: count / len(rows) for workload, count in workload_rows.items()}
        scores = {
            "row_pass": 100 * passing / len(rows),
            "row_exact": 100 * exact / len(rows),
            "traj_pass": 100 * rows_of_passing / len(rows),
            "cost_save": sum(share * 100 * workload_n[of] / workload_d[of] for of, share in shares.items()),
        }
        return scores | {"combined": sum(scores.values()) / len(scores)}

    def _costs(self, steps: Sequence[Row], path: Path, pred: Path) -> list[float]:
        """USD of each row on a path; error rows are billed on none."""
        outputs = self._outputs(steps)
        last_billed: dict[int, int] = {}
        costs = []
        for position, step in enumerate(steps):
            tier = path[position]
            if tier is None or pred[position] is None:
                continue
            total = self._prompt_tokens(step["messages"], tier)
            expired = step["step_index"] - last_billed.get(tier, step["step_index"]) > self._manifest.cache_ttl_steps
            cached = 0
            if position > 0 and path[position - 1] == tier and not expired:
                previous = steps[position - 1]["messages"]
                if _is_prefix(previous, step["messages"]):
                    cached = self._prompt_tokens(previous, tier)
            rates: Prices = self._manifest.rates[Tier(tier)].prices()
            usd_per_million = (
                cached * float(rates.cache_read)
                + max(total - cached, 0) * float(rates.cache_write)
                + outputs[position] * float(rates.output)
            )
            costs.append(usd_per_million / 1e6)
            last_billed[tier] = step["step_index"]
        return costs

    def _outputs(self, steps: Sequence[Row]) -> list[int]:
        """Billed output tokens of each row, under its target tier's tokenizer."""
        counts = []
        for step, following in pairwise(steps):
            new = following["messages"][len(step["messages"]) :]
            said = [message for message in new if message.get("role") == "assistant"]
            counts.append(sum(self._message_tokens(message, step["target_tier_id"]) for message in said))
        positive = [count for count in counts if count > 0]
        last = sum(positive) // len(positive) if positive else self._manifest.fallback_output_tokens
        return [*counts, last]

    def _prompt_tokens(self, messages: Sequence[Message], tier: int) -> int:
        return sum(self._message_tokens(message, tier) for message in messages) + self._manifest.tokens_priming

    def _message_tokens(self, message: Message, tier: int) -> int:
        text = message_text(message)
        if tier == Tier.HIGH:
            count = len(self._high.encode(text, add_special_tokens=False).ids)
        else:
            [count] = self._loaded[self._tokenizers.tokenizer_name(Tier(tier))].count([text])
        return count + self._manifest.tokens_per_message


def _place(row: Row) -> tuple[str, str, int]:
    return (row["benchmark"], row["instance_id"], row["step_index"])


def _trajectory(row: Row) -> tuple[str, str]:
    return (row["benchmark"], row["instance_id"])


def _is_prefix(shorter: Sequence[Message], longer: Sequence[Message]) -> bool:
    pairs = zip(shorter, longer, strict=False)
    return len(shorter) <= len(longer) and all(semantic_key(one) == semantic_key(other) for one, other in pairs)


def main(bank: str, predictions: str) -> None:
    """Print the headline, and the seconds that it took once everything was read and loaded, as JSON."""
    with gzip.open(bank) as lines:
        rows = [json.loads(line) for line in lines]
    answers = map(json.loads, pathlib.Path(predictions).read_text("utf-8").splitlines())
    predicted = {answer["id"]: answer.get("tier_id") for answer in answers}
    manifest = static_manifest()
    scorer = RetokenizingScorer(manifest, find_tokenizer_set(manifest))
    started = time.perf_counter()
    headline = scorer.headline(rows, predicted)
    print(json.dumps({"headline": headline, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
