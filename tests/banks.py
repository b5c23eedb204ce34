"""Small banks made by hand, and their way into a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import import_bank
from twinbench.fingerprint import sha256_file
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store

Row = dict[str, Any]
Message = dict[str, Any]


def a_row(target: int = 0, *, workload: str = "swebench", instance: str = "i-1", step: int = 1, **fields: Any) -> Row:
    """A valid row of a bank; its messages grow with the step, so that a step's prompt extends the one before."""
    row: Row = {
        "id": f"{workload}/{instance}/{step}",
        "benchmark": workload,
        "instance_id": instance,
        "step_index": step,
        "total_steps": max(step, 9),
        "messages": conversation(step),
        "target_tier": Tier(target).label,
        "target_tier_id": target,
    }
    return row | fields


def conversation(step: int) -> list[Message]:
    """What an agent has said and seen before it takes its ``step``-th step."""
    messages: list[Message] = [{"role": "system", "content": "You fix bugs."}, {"role": "user", "content": "Fix it."}]
    for done in range(1, step):
        call = {"id": f"call_{done}", "type": "function", "function": {"name": "bash", "arguments": f'{{"n":{done}}}'}}
        messages.append({"role": "assistant", "content": f"Step {done}: look at the file.", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{done}", "content": f"line {done}\n" * done})
    return messages


def a_trajectory(targets: Sequence[int], *, workload: str = "swebench", instance: str = "i-1") -> list[Row]:
    """The rows of one trajectory with these labels, in order."""
    steps = enumerate(targets, 1)
    total = len(targets)
    return [a_row(target, workload=workload, instance=instance, step=step, total_steps=total) for step, target in steps]


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records))
    return path


def import_rows(
    rows: Iterable[Mapping[str, Any]], store: Store, name: str = "bank", *, replace: bool = False
) -> BankInfo:
    """Rows as a bank of ``store``, by way of a file beside it."""
    path = write_jsonl(store.root.parent / f"{store.root.name}-{name}.jsonl", rows)
    return import_bank(str(path), name, store, replace=replace)


def a_manifest(path: Path, content: Path, **fields: Any) -> Path:
    """A manifest of one's own in which the bank ``official`` is ``content``, published in the data set some/bank."""
    bank: dict[str, Any] = {"name": "official", "hub": "some/bank", "file": content.name, "rows": 1, "trajectories": 1}
    bank |= {"sha256": sha256_file(content), "labels": [1, 0, 0, 0], **fields}
    labels = json.dumps(bank.pop("labels"))
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in bank.items())
    head = 'kind = "banks"\nname = "mine"\nversion = 1\ndated = 2026-04-23\nsource = "a test"\n[[banks]]\n'
    path.write_text(f"{head}{lines}labels.swebench = {labels}\n", "utf-8")
    return path
