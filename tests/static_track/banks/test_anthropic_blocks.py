"""Banks of agents that speak Anthropic's Messages API: the text of their blocks counts, in old banks too."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from static_track.banks import importing, unique_messages
from static_track.banks.bank import Bank
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.bank_info import BankInfo, bank_info
from static_track.banks.importing import import_bank
from static_track.banks.opening import open_bank, validate_bank
from static_track.banks.splits import WHOLE_BANK
from static_track.evaluator import Evaluator
from tests import oracle
from tests.banks import Row, a_row, a_trajectory, import_rows
from tests.owner_only import as_owner_only
from twinbench.errors import TwinbenchError
from twinbench.routing.tiers import Tier
from twinbench.storage.store import STORE_VARIABLE, Store
from twinbench.text.messages import BLOCK_TEXT_RULES, PROTOCOL_TEXT_RULES, message_text, semantic_key

LONG = "a line of a file\n" * 200


def conversation(steps: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Fix it."}]}]
    for step in range(1, steps):
        thought = {"type": "thinking", "thinking": f"What is in file {step}?", "signature": "s" * 300}
        use = {"type": "tool_use", "id": f"x{step}", "name": "bash", "input": {"command": f"cat {step}"}}
        result = {"type": "tool_result", "tool_use_id": f"x{step}", "content": [{"type": "text", "text": LONG}]}
        messages += [{"role": "assistant", "content": [thought, use]}, {"role": "user", "content": [result]}]
    return messages


def rows_with_blocks() -> list[Row]:
    return [a_row(step % 4, step=step, messages=conversation(step)) for step in range(1, 5)]


def counts(bank: Bank) -> list[tuple[tuple[int, ...], tuple[int, ...] | None, int]]:
    """Tokens of each row's prompt, of what it has of the row before, and of its output."""
    found = bank.cursor().execute("SELECT prompt, reusable, output FROM base ORDER BY row_no").fetchall()
    return list(found)


def of_oracle(rows: list[Row]) -> list[tuple[int, ...]]:
    tiers = list(map(int, Tier))
    return [tuple(oracle.tokens_of_list(row["messages"], tier, oracle.CONSTANTS) for tier in tiers) for row in rows]


def import_as_before(rows: list[Row], store: Store, name: str = "bank") -> BankInfo:
    """Import rows as releases up to schema 2 did, which counted the ``text`` of blocks alone."""

    def only_texts(message: dict[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        if isinstance(content, list):
            kept = [block if isinstance(block, str) else {"text": block.get("text")} for block in content]
            return {**message, "content": kept}
        return message

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unique_messages, "message_text", lambda message: message_text(only_texts(message)))
        patch.setattr(unique_messages, "semantic_key", lambda message: semantic_key(only_texts(message)))
        patch.setattr(unique_messages, "text_rules_version", lambda _: PROTOCOL_TEXT_RULES)
        patch.setattr(importing, "SCHEMA_VERSION", 2)
        import_rows(rows, store, name)
    pointer = store.bank_dir(name) / "bank.json"
    content = json.loads(pointer.read_text("utf-8"))
    del content["text_rules"]
    pointer.write_text(json.dumps(content), "utf-8")
    return bank_info(name, store)


def test_their_text_is_in_the_tokens_of_prompts_and_answers(store: Store) -> None:
    rows = rows_with_blocks()
    import_rows(rows, store)
    with open_bank("bank", store) as bank:
        assert bank.info.text_rules == BLOCK_TEXT_RULES
        found = counts(bank)
    assert [prompt for prompt, _, _ in found] == of_oracle(rows)
    assert found[1][0][0] > 1000
    said = [
        oracle.tokens_of_message(following["messages"][-2], row["target_tier_id"], oracle.CONSTANTS)
        for row, following in pairwise(rows)
    ]
    assert [output for _, _, output in found[:-1]] == said
    assert min(said) > 10  # the thought, and the use of the tool
    assert [reusable for _, reusable, _ in found] == [None, *(prompt for prompt, _, _ in found[:-1])]


def test_a_bank_without_them_is_known_by_the_same_fingerprints_as_before(store: Store) -> None:
    rows = a_trajectory([0, 1, 2])
    import_rows(rows, store)
    before = import_as_before(rows, store, "before")
    with open_bank("bank", store) as bank, Bank.open("before", store) as earlier:
        assert bank.info.text_rules == PROTOCOL_TEXT_RULES
        assert bank.info.base == before.base == earlier.info.base
        assert Evaluator(bank)._key({}) == Evaluator(earlier)._key({})


def test_the_bank_of_an_earlier_release_is_written_anew_where_it_has_them(store: Store) -> None:
    rows = rows_with_blocks()
    before = import_as_before(rows, store)
    with Bank(store, before, store.bank_dir("bank") / before.file_name) as stale:
        assert [prompt for prompt, _, _ in counts(stale)] != of_oracle(rows)
        stale_scores = {entry["router"]: entry["scores"] for entry in Evaluator(stale).board([]).to_json()["routers"]}
    import_rows(rows, store, "fresh")

    with open_bank("bank", store) as bank, Bank.open("fresh", store) as fresh:
        assert counts(bank) == counts(fresh)
        assert (bank.info.sha256, bank.info.source_sha256) == (before.sha256, before.source_sha256)
        assert (bank.info.schema, bank.info.text_rules) == (SCHEMA_VERSION, BLOCK_TEXT_RULES)
        assert bank.info.base == fresh.info.base != before.base
        scores = {entry["router"]: entry["scores"] for entry in Evaluator(bank).board([]).to_json()["routers"]}
    assert scores.keys() == stale_scores.keys()
    assert scores["labels"] != stale_scores["labels"]  # which the store still holds, under another fingerprint
    assert bank_info("bank", store).schema == SCHEMA_VERSION
    assert validate_bank("bank", store) == (len(rows), [])


def test_splits_of_a_bank_that_is_written_anew_stay(store: Store) -> None:
    rows = [row for instance in "ab" for row in a_trajectory([0, 1], instance=instance)]
    rows = [{**row, "messages": conversation(row["step_index"])} for row in rows]
    before = import_as_before(rows, store)
    with Bank(store, before, store.bank_dir("bank") / before.file_name) as stale:
        plan = stale.make_split("mine", "left=1,right=1", seed=0, near_duplicates=False)
    with open_bank("bank", store) as bank:
        assert list(bank.split("left").trajectories or ()) == list(plan.parts["left"])
        assert len(bank.row_nos(WHOLE_BANK)) == 4


def test_the_bank_of_an_earlier_release_without_them_is_not_written_anew(store: Store) -> None:
    before = import_as_before(a_trajectory([0, 1]), store)
    file = store.bank_dir("bank") / before.file_name
    inode, changed = file.stat().st_ino, file.stat().st_mtime_ns
    with open_bank("bank", store) as bank:
        assert bank.info.schema == SCHEMA_VERSION
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (inode, changed)
    assert bank_info("bank", store).schema == SCHEMA_VERSION  # so that it is looked through once


@pytest.mark.parametrize("has_blocks", [False, True])
def test_in_a_store_that_can_only_be_read_it_is_read_or_the_reason_is_told(store: Store, *, has_blocks: bool) -> None:
    import_as_before(rows_with_blocks() if has_blocks else a_trajectory([0, 1]), store)
    for folder in (store.root, *(path for path in store.root.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    try:
        ran = as_owner_only("bank", "validate", "bank", environment={STORE_VARIABLE: str(store.root)})
    finally:
        for folder in (store.root, *(path for path in store.root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    if has_blocks:
        assert ran.code == 1
        assert "did not count the text of Anthropic's blocks, and cannot be rewritten: cannot write " in ran.err
    else:
        assert ran.succeeded().text == "bank: 2 valid rows, 0 problems\n"


def test_a_bank_that_cannot_be_written_anew_is_as_it_was(store: Store) -> None:
    before = import_as_before(rows_with_blocks(), store)
    folder = store.bank_dir("bank")
    pointer = (folder / "bank.json").read_bytes()
    (folder / before.file_name).write_bytes(b"damaged")
    with pytest.raises(TwinbenchError, match="cannot read the bank 'bank'"):
        open_bank("bank", store)
    assert (folder / "bank.json").read_bytes() == pointer


def test_the_small_input_that_once_failed(shared: Path, store: Store) -> None:
    path = shared / "found" / "banks" / "anthropic_blocks.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}")
    import_bank(str(path), "bank", store)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with open_bank("bank", store) as bank:
        assert [prompt for prompt, _, _ in counts(bank)] == of_oracle(rows)
        assert all(tokens > 100 for tokens in counts(bank)[0][0])
