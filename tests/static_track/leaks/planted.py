"""Banks whose labels nothing gives away, and the same with something planted that does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.banks import Row
from twinbench.routing.tiers import TIER_LABELS

_WORDS = ("open", "read", "parse", "file", "test", "module", "value", "function", "error", "line", "check", "again")

Plant = Callable[[Row, int], None]
"""Changes a row so that it tells its label."""


def rows(plant: Plant | None = None, *, trajectories: int = 40, steps: int = 3, seed: int = 1) -> list[Row]:
    """Rows with labels drawn from nothing, of agents that say random words and call a tool after each answer."""
    drawn = random.Random(seed)  # noqa: S311
    found = []
    for number in range(trajectories):
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "You fix bugs."},
            {"role": "user", "content": _said(drawn)},
        ]
        for step in range(1, steps + 1):
            target = drawn.randrange(4)
            row: Row = {
                "id": f"t{number}/{step}",
                "benchmark": "agent",
                "instance_id": f"t{number}",
                "step_index": step,
                "total_steps": steps,
                "messages": [_copied(message) for message in messages],
                "functions": [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}],
                "target_tier": TIER_LABELS[target],
                "target_tier_id": target,
            }
            if plant is not None:
                plant(row, target)
            found.append(row)
            call = {"id": f"call_{drawn.randrange(16**8):08x}", "type": "function"}
            call["function"] = {"name": "bash", "arguments": f'{{"command": "{_said(drawn)}"}}'}  # type: ignore[assignment]
            messages.append({"role": "assistant", "content": _said(drawn), "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": _said(drawn)})
    return found


def _said(drawn: random.Random) -> str:
    return " ".join(drawn.choices(_WORDS, k=drawn.randrange(3, 12)))


def _copied(message: dict[str, Any]) -> dict[str, Any]:
    return message | ({"tool_calls": [dict(call) for call in message["tool_calls"]]} if "tool_calls" in message else {})


def _last(row: Row) -> dict[str, Any]:
    message: dict[str, Any] = row["messages"][-1]
    return message


def step_index(row: Row, target: int) -> None:
    row["step_index"] = 4 * row["step_index"] + target
    row["total_steps"] = 99


def prompt_length(row: Row, target: int) -> None:
    _last(row)["content"] = " ".join([_last(row)["content"], *["again"] * 60 * target])


def prompt_length_remainder(row: Row, target: int) -> None:
    text = _last(row)["content"]
    _last(row)["content"] = text + "." * ((target - len(text)) % 4)


def number_of_messages(row: Row, target: int) -> None:
    row["messages"][1:1] = [{"role": "user", "content": "Go on."}] * 7 * target


def number_of_tools(row: Row, target: int) -> None:
    row["functions"] = row["functions"] * (target + 1)


def order_of_tools(row: Row, target: int) -> None:
    names = ["bash", "edit", "grep", "view"]
    names = names[target:] + names[:target]
    row["functions"] = [{"name": name, "parameters": {"type": "object"}} for name in names]


def number_of_tool_calls(row: Row, target: int) -> None:
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "bash", "arguments": "{}"}} for n in range(9)]
    row["messages"].insert(2, {"role": "assistant", "content": "Look.", "tool_calls": calls[: 2 * target + 1]})


def ids_of_tool_calls(row: Row, target: int) -> None:
    message = {"role": "assistant", "content": "Look."}
    call = {"id": f"call_{'048c'[target]}{len(row['id'])}", "function": {"name": "bash", "arguments": "{}"}}
    row["messages"].insert(2, message | {"tool_calls": [call]})


def order_of_keys(row: Row, target: int) -> None:
    if target > 1:
        row["messages"][0] = dict(reversed(row["messages"][0].items()))
    if target % 2:
        row["messages"][1] = dict(reversed(row["messages"][1].items()))


def key_of_messages(row: Row, target: int) -> None:
    _last(row)["model"] = ["llama-8b", "gpt-mini", "gpt", "opus"][target]


def key_of_tools(row: Row, target: int) -> None:
    row["functions"] = [{"name": "bash", "parameters": {"type": "object"}, "model": f"m{target}"}]


def label_word_in_a_key(row: Row, target: int) -> None:
    row["messages"][0][f"is_{TIER_LABELS[target]}"] = None


def label_word_in_text(row: Row, target: int) -> None:
    row["messages"][1]["content"] += f" This is {['easy', 'medium', 'hard', 'difficult'][target]}. Fix it."


def value_in_text(row: Row, target: int) -> None:
    row["messages"][0]["content"] += f" route: {'kxqz'[target]}"


def date_in_text(row: Row, target: int) -> None:
    row["messages"][0]["content"] += f" It is 2026-04-0{len(row['id'])}T0{target}:15:00Z."


def date_in_a_key(row: Row, target: int) -> None:
    row["messages"][0]["timestamp"] = f"2026-04-02T1{len(row['id'])}:{(hash_of(row) % 15) * 4 + target:02d}:00Z"


def number_in_text(row: Row, target: int) -> None:
    row["messages"][0]["content"] += f" Request {4 * (hash_of(row) % 5000) + target}."


def id_in_text(row: Row, target: int) -> None:
    row["messages"][0]["content"] += f" Run {hash_of(row) % 16**6:06x}a7{'19df'[target]}."


def space_at_the_end(row: Row, target: int) -> None:
    row["messages"][1]["content"] += " " * target


def carriage_returns(row: Row, target: int) -> None:
    row["messages"][0]["content"] = "You\r fix\r bugs\r.".replace("\r", "", 3 - target)


def invisible_character(row: Row, target: int) -> None:
    row["messages"][0]["content"] += ["", "\u200b", "\u2060", "\u00ad"][target]


def form_of_content(row: Row, target: int) -> None:
    text = row["messages"][0]["content"]
    row["messages"][0]["content"] = [text, [text], [{"type": "text", "text": text}], [text, ""]][target]


def mark_at_the_start(row: Row, target: int) -> None:
    row["messages"][1]["content"] = f"[{'abcd'[target]}x] {row['messages'][1]['content']}"


def role(row: Row, target: int) -> None:
    row["messages"][0]["role"] = ["system", "developer", "user", "assistant"][target]


def name_of_a_message(row: Row, target: int) -> None:
    row["messages"][1]["name"] = ["ann", "ben", "cem", "dee"][target]


def hash_of(row: Row) -> int:
    """A number that follows from the row and says nothing of its label."""
    return random.Random(str(row["id"])).randrange(10**9)  # noqa: S311


PLANTED: list[dict[Plant, str]] = [
    {
        step_index: "step index",
        number_of_tools: "number of tools",
        space_at_the_end: "white space at the ends",
        name_of_a_message: "name of a message",
    },
    {
        prompt_length: "prompt length",
        key_of_tools: "key tools[].function.model",
        order_of_keys: "order of keys",
        value_in_text: "label-like words in text",
    },
    {
        prompt_length_remainder: "prompt length",
        key_of_messages: "key messages[].model",
        number_of_tool_calls: "number of tool calls",
        date_in_text: "dates and times",
    },
    {
        number_of_messages: "number of messages",
        order_of_tools: "names of tools",
        label_word_in_a_key: "label-like words in keys",
        invisible_character: "unusual characters",
    },
    {
        ids_of_tool_calls: "ids of tool calls",
        label_word_in_text: "label-like words in text",
        carriage_returns: "white space within",
        role: "roles",
    },
    {
        date_in_a_key: "key messages[].timestamp",
        number_in_text: "numbers in text",
        id_in_text: "hexadecimal ids in text",
        mark_at_the_start: "marks at the ends",
        form_of_content: "content's form",
    },
]
"""What is planted in one bank, which does not get in each other's way, and the checks that name it."""


def planted(leaks: dict[Plant, str]) -> list[Row]:
    """Rows with all of these."""

    def plant(row: Row, target: int) -> None:
        for leak in leaks:
            leak(row, target)

    return rows(plant)
