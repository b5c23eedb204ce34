"""Makes the golden vectors in this folder: ``python -m tests.vectors.make``.

What is scored is drawn once and then committed: a folder that has its files keeps them (remove the folder to draw
another). What the scores must be is written anew each time, by the oracle in tests/oracle.py and not by the SQL.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import oracle, strategies
from tests.banks import write_jsonl

HERE = Path(__file__).parent
SEEDS = {"drawn_a": 1, "drawn_b": 2}
NAMES = (*SEEDS, "starter")
"""The last was written by hand, and cannot be drawn again."""

_DRAWS = 400
_MOST_BYTES = 40_000

Row = dict[str, Any]
Answers = Mapping[str, int | None]


def bank_path(name: str) -> Path:
    """The bank of a vector."""
    return HERE / name / "question_bank.jsonl"


def prediction_files(name: str) -> dict[str, Path]:
    """The prediction files of a vector, by the name of the set."""
    paths = sorted((HERE / name).glob("predictions.*.jsonl"))
    return {path.name.split(".")[1]: path for path in paths}


def expected(name: str) -> dict[str, Any]:
    """What the oracle says of each prediction set."""
    rows = oracle.read_jsonl(bank_path(name))
    return {each: oracle.score(rows, oracle.read_predictions(path)) for each, path in prediction_files(name).items()}


def draw_bank(start: int) -> list[Row]:
    """The bank with the most varied rows among some hundred that hypothesis draws from a seed."""
    drawn: list[tuple[int, list[Row]]] = []

    @seed(start)
    @settings(max_examples=_DRAWS, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(strategies.banks(max_trajectories=8, max_rows=32))
    def collect(rows: list[Row]) -> None:
        if len(json.dumps(rows).encode()) < _MOST_BYTES:
            drawn.append((len(shapes(rows)), rows))

    collect()
    return max(drawn, key=lambda pair: pair[0])[1]


def shapes(rows: Sequence[Row]) -> set[str]:
    """The different kinds of things in a bank: keys with their types, labels, distances between steps."""
    found: set[str] = set()
    previous: Row | None = None
    for row in sorted(rows, key=lambda row: (row["benchmark"], row["instance_id"], row["step_index"])):
        found.add(f"workload {row['benchmark']}")
        found.add(f"label {row['target_tier']}")
        found |= {f"field {key} {type(value).__name__}" for key, value in row.items()}
        if previous is not None and previous["instance_id"] == row["instance_id"]:
            found.add(f"distance {row['step_index'] - previous['step_index']}")
            found.add(f"prefix {oracle.is_semantic_prefix(previous['messages'], row['messages'])}")
            found.add(f"labels {previous['target_tier_id']} {row['target_tier_id']}")
        previous = row
        for message in row["messages"]:
            found |= {f"{message['role']} {key} {type(value).__name__}" for key, value in message.items()}
            found |= {f"text {text}" for text in strategies.TEXTS if oracle.text_of_message(message) == text}
            found |= {f"call {json.dumps(call)}" for call in message.get("tool_calls") or ()}
    return found


def draw_predictions(rows: Sequence[Row], start: int) -> dict[str, Answers]:
    """Constants, labels, the cheapest, one workload and everything lost, and some that are drawn."""
    drawn: list[Answers] = []

    @seed(start)
    @settings(max_examples=60, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(strategies.predictions(rows))
    def collect(answers: Answers) -> None:
        lost = len(rows) - sum(tier is not None for tier in answers.values())
        if 0.1 < lost / len(rows) < 0.6:
            drawn.append(answers)

    collect()
    lost = rows[0]["benchmark"]
    labels = oracle.labels(rows)
    return {
        "low": oracle.always(rows, oracle.LOW),
        "high": oracle.always(rows, oracle.HIGH),
        "labels": labels,
        "cost_optimal": oracle.cost_optimal(rows),
        "lost_workload": {row["id"]: None if row["benchmark"] == lost else labels[row["id"]] for row in rows},
        "all_errors": dict.fromkeys(labels),
        **{f"errors_{number}": answers for number, answers in enumerate(drawn[-3:])},
    }


def write_predictions(path: Path, answers: Answers) -> None:
    """A prediction file; an id without an answer has no line."""
    errors = {"error": "no decision"}
    write_jsonl(
        path, ({"id": row_id, **(errors if tier is None else {"tier_id": tier})} for row_id, tier in answers.items())
    )


def main() -> None:
    """Draw what is not there, then let the oracle score everything."""
    for number, name in enumerate(NAMES):
        folder = HERE / name
        if not folder.is_dir():
            rows = draw_bank(SEEDS[name])
            folder.mkdir()
            write_jsonl(bank_path(name), rows)
            for prediction_set, answers in draw_predictions(rows, number).items():
                write_predictions(folder / f"predictions.{prediction_set}.jsonl", answers)
        text = json.dumps(expected(name), indent=1, ensure_ascii=False)
        (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
        sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
