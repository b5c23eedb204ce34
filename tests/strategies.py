"""Hypothesis strategies for small banks and predictions that visit every sentence of the scoring protocol.

`banks()` gives rows as they come out of a file, `predictions(rows)` what a router may have answered. What can occur is
what `protocol/static.md` names in "Bank row", "Tokens of a message list" and "Semantic prefix". No text has a lone
surrogate: banks that must be refused are for the tests that refuse them.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests import oracle

Row = dict[str, Any]
Message = dict[str, Any]

TIERS = ("low", "mid", "mid_high", "high")

TEXTS = (
    "",
    "ok",
    "run the tests",
    "a\nb",
    "\n",
    " ",
    "trailing   ",
    "line\u2028separator",
    "nel\u0085x",
    "nul\u0000x",
    "e\u0301 z\u0335\u0321\u0322algo",  # combining marks
    "👩‍💻🇩🇪😀",
    "\ufeffbom \ufb01ne İıß",
    "<EOT>",
    "<META>",
    "<META_START> <SOS>",
    "<|endoftext|>",
    "<|fim_prefix|>",
    '{"cmd": "ls"}',
    "null",
    "\x1b[31mred\x1b[0m",
    "=" * 64,
)

LONG_TEXT = "𒀀" * 1500
"""So many tokens that prompts outweigh outputs: one cold prompt on high costs more than labels save elsewhere."""

ARGUMENTS: tuple[Any, ...] = (
    {"cmd": "ls"},
    {"b": 1, "a": 1.0},
    {"n": 1, "deep": {"b": {"c": {}}}},  # fewer tokens with its keys in one order than in the other
    {"path": "é😀", "n": 1e16},
    {"with space": [None, True, {}], "": ""},
    {"big": 9007199254740993, "z": -0.0},
    {"eot": "<EOT>", "end": "<|endoftext|>"},
    {},
    '{"cmd": "ls"}',
    '{"a":1}',
    "not json {",
    "",
    None,
)

FUNCTIONS: tuple[Any, ...] = (
    [],
    [{"name": "bash", "description": "Run a command", "parameters": {"type": "dict", "properties": {}}}],
)

METADATA: tuple[tuple[str, Any], ...] = (
    ("notes", None),
    ("notes", ""),
    ("notes", {"by": ["a", 1, 1.0, None]}),
    ("scenario", "nel\u0085x"),
    ("pipeline_stage", "eval"),
    ("target_model", "anthropic/claude-opus-4.6"),
)

# Some pairs meet when they are joined carelessly (a|b + c, a + b|c), and the same instance id is in several workloads.
TRAJECTORIES = (
    ("swebench", "i-1"),
    ("swebench", "i-2"),
    ("bfcl", "i-1"),
    ("a", "b|c"),
    ("a|b", "c"),
    ("a", "b_c"),
    ("a_b", "c"),
    ("odd name/é", "i 1\u2028"),
)

IGNORED_KEYS: tuple[tuple[str, Any], ...] = (
    ("cache_control", {"type": "ephemeral"}),
    ("reasoning", "because"),
    ("function_call", None),
    ("refusal", None),
)


# Strategies are cached: hypothesis validates each new one, which took two thirds of the time of making a bank.


@cache
def chance(percent: int) -> st.SearchStrategy[bool]:
    """True in about that many of 100 draws; shrinks to False, so that oddities fall away from a failing example."""
    return st.integers(0, 99).map(lambda drawn: drawn >= 100 - percent)


@cache
def texts() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(TEXTS), st.text(max_size=6))


@cache
def blocks() -> st.SearchStrategy[Any]:
    """A block of a content list: with a text, without one, one of Anthropic's, or a bare string."""
    return st.one_of(
        texts().map(lambda text: {"type": "text", "text": text}),
        texts(),
        anthropic_blocks(),
        st.sampled_from(
            (
                {"type": "image_url", "image_url": {"url": "x"}},
                {"type": "text", "text": None},
                {"type": "text"},
                {"type": "text", "text": "ok", "cache_control": {"type": "ephemeral"}},
            )
        ),
    )


@cache
def anthropic_blocks() -> st.SearchStrategy[dict[str, Any]]:
    """A block of Anthropic's Messages API in which more than a `text` counts."""
    inner = st.one_of(texts(), texts().map(lambda text: {"type": "text", "text": text}), st.just({"type": "image"}))
    return st.one_of(
        texts().map(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}),
        st.builds(
            lambda sort, name, given: {"type": sort, "id": "x", "name": name, "input": given},
            st.sampled_from(("tool_use", "server_tool_use", "mcp_tool_use")),
            st.sampled_from(("bash", "geté", "", None)),
            st.sampled_from(ARGUMENTS),
        ),
        st.builds(
            lambda sort, content: {"type": sort, "tool_use_id": "x", "content": content},
            st.sampled_from(("tool_result", "mcp_tool_result")),
            st.one_of(texts(), st.none(), st.lists(inner, max_size=2)),
        ),
    )


@cache
def contents() -> st.SearchStrategy[Any]:
    """A string twice as often as a list of blocks; null among them."""
    return st.one_of(texts(), texts(), st.none(), st.lists(blocks(), max_size=3))


@cache
@st.composite
def tool_calls(draw: st.DrawFn) -> dict[str, Any]:
    """One tool call, some without `function`, name or arguments."""
    function: dict[str, Any] = {}
    if not draw(chance(10)):
        function["name"] = draw(st.sampled_from(("bash", "edit_file", "geté", "", None)))
    if not draw(chance(10)):
        function["arguments"] = draw(st.sampled_from(ARGUMENTS))
    if draw(chance(20)):
        return {"id": "call_1", **function}
    return {"id": "call_1", "type": "function", "function": function}


@cache
def call_lists() -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(tool_calls(), min_size=1, max_size=2)


@cache
def no_calls() -> st.SearchStrategy[list[Any] | None]:
    return st.one_of(st.none(), st.builds(list))


@cache
@st.composite
def messages(draw: st.DrawFn, role: str | None = None) -> Message:
    """A chat message of a role, or of any; any role may carry tool calls, and unknown keys occur."""
    if role is None:
        role = draw(st.sampled_from(("user", "assistant", "tool", "system")))
    message: Message = {"role": role}
    calling = draw(chance(45 if role == "assistant" else 6))
    if calling and draw(st.booleans()):
        message["content"] = draw(st.sampled_from((None, "")))  # alike in a prefix comparison, but not in tokens
    elif not draw(chance(6)):
        message["content"] = draw(contents())
    if calling:
        message["tool_calls"] = draw(no_calls() if draw(chance(15)) else call_lists())
    if role == "tool":
        message["tool_call_id"] = draw(st.sampled_from(("call_1", "call_2", None)))
    if draw(chance(12)):
        message["name"] = draw(st.sampled_from(("bash", "", None)))
    if draw(chance(12)):
        key, value = draw(st.sampled_from(IGNORED_KEYS))
        message[key] = value
    return message


# --- The same message written differently, and nearly the same message ----------------------------------------------


def joined(content: Any) -> str:
    """The text that prefix comparison sees in a content."""
    return "\n".join(oracle.content_parts(content))


def reversed_keys(value: Any) -> Any:
    """The same JSON value with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@st.composite
def restyled(draw: st.DrawFn, message: Message) -> Message:
    """The message in other words of JSON: another exact key, perhaps other tokens, but equal in a prefix comparison."""
    result = dict(message)
    if "content" in result:
        text = joined(result["content"])
        spellings: list[Any] = [text, [text], text.split("\n")]
        spellings += [[{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]] if text else [None, []]
        result["content"] = draw(st.sampled_from(spellings))
    if draw(st.booleans()):
        result = reversed_keys(result)
    key, value = draw(st.sampled_from(IGNORED_KEYS))
    if key in result:
        del result[key]
    else:
        result[key] = value
    return result


def one_as_float(value: Any) -> Any:
    """The same value with 1 and 1.0 exchanged throughout."""
    if isinstance(value, dict):
        return {key: one_as_float(item) for key, item in value.items()}
    if isinstance(value, list):
        return [one_as_float(item) for item in value]
    if value == 1 and not isinstance(value, bool):
        return 1 if isinstance(value, float) else 1.0
    return value


def arguments_as_text(call: dict[str, Any]) -> dict[str, Any]:
    """The call with its arguments as the JSON text of what they were."""
    function = call.get("function", call)
    changed = {**function, "arguments": json.dumps(function.get("arguments"), ensure_ascii=False)}
    return {**call, "function": changed} if "function" in call else changed


@st.composite
def edited(draw: st.DrawFn, message: Message) -> Message:
    """The message with a change that a prefix comparison must see."""
    options: list[Message] = [{**message, "role": "user" if message["role"] != "user" else "assistant"}]
    for key in ("name", "tool_call_id", "tool_calls", "content"):
        # Presence counts: a key on one side only differs, even if null.
        if key in message:
            options.append({name: value for name, value in message.items() if name != key})
        else:
            options.append({**message, key: None})
    options.append({**message, "content": joined(message.get("content")) + "."})
    calls = message.get("tool_calls")
    if calls:
        options += [{**message, "tool_calls": [arguments_as_text(calls[0]), *calls[1:]]}] * 2
        exchanged = one_as_float(calls)
        if json.dumps(exchanged) != json.dumps(calls):
            options += [{**message, "tool_calls": exchanged}] * 3
    return draw(st.sampled_from(options))


# --- Banks ----------------------------------------------------------------------------------------------------------


@cache
@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """What one step adds to a conversation: mostly an answer and what came back; sometimes two answers, or none."""
    answered = (("assistant", "tool"), ("assistant", "user"), ("assistant", "assistant", "tool"))
    roles = draw(st.sampled_from((*answered * 2, ("user",), ())))
    return [draw(messages(role)) for role in roles]


NEXT_STEPS = ("grown",) * 8 + ("restyled",) * 3 + ("only restyled",) * 3 + ("edited",) * 3 + ("shorter", "fresh")


@st.composite
def next_prefixes(draw: st.DrawFn, previous: list[Message]) -> list[Message]:
    """The messages of the step after one with these: mostly a continuation, sometimes a history written anew."""
    kind = draw(st.sampled_from(NEXT_STEPS))
    history = list(previous)
    if kind == "restyled":
        history = [draw(restyled(message)) for message in history]
    elif kind == "only restyled":
        # Nothing new, and sometimes fewer tokens than the previous row's: cache_write must not become negative.
        return [draw(restyled(message)) for message in history]
    elif kind == "edited":
        i = draw(st.integers(0, len(history) - 1))
        history[i] = draw(edited(history[i]))
    elif kind == "shorter":
        return history[: max(1, len(history) - 1)]
    elif kind == "fresh":
        return [draw(messages("user")), *draw(turns())]
    return history + draw(turns())


@st.composite
def trajectory_rows(draw: st.DrawFn, benchmark: str, instance_id: str, max_rows: int) -> list[Row]:
    """The rows of one trajectory by step_index, with gaps on both sides of the cache's three steps."""
    rows: list[Row] = []
    step = draw(st.sampled_from((1, 1, 1, 2, 7)))
    prefix = [draw(messages("system")), draw(messages("user")), *draw(turns())]
    target = draw(st.integers(0, 3))
    # Labels that leave high and return pay for cold prompts that always-high does not: D of some ablations is negative.
    swinging = draw(chance(25))
    if swinging or draw(chance(15)):
        prefix.append({"role": "user", "content": LONG_TEXT})
    for _ in range(draw(st.integers(1, max_rows))):
        if rows:
            step += draw(st.sampled_from((1, 1, 1, 1, 2, 3, 4, 5)))
            prefix = draw(next_prefixes(prefix))
            if swinging:
                target = draw(st.integers(0, 2)) if target == 3 else 3
            elif draw(chance(40)):
                target = draw(st.integers(0, 3))
        row: Row = {
            "id": f"{benchmark}/{instance_id}/{step}",
            "benchmark": benchmark,
            "instance_id": instance_id,
            "step_index": step,
            "messages": prefix,
            "target_tier": TIERS[target],
            "target_tier_id": target,
        }
        if draw(chance(15)):
            row["functions"] = draw(st.sampled_from(FUNCTIONS))
        if draw(chance(15)):
            key, value = draw(st.sampled_from(METADATA))
            row[key] = value
        rows.append(row)
    beyond = draw(st.integers(0, 2))
    return [{**row, "total_steps": step + beyond} for row in rows]


@st.composite
def banks(draw: st.DrawFn, max_trajectories: int = 5, max_rows: int = 14) -> list[Row]:
    """A bank that may be scored: 1 to `max_trajectories` trajectories, at most `max_rows` rows, in any order."""
    keys = draw(st.lists(st.sampled_from(TRAJECTORIES), min_size=1, max_size=max_trajectories, unique=True))
    rows: list[Row] = []
    for benchmark, instance_id in keys:
        room = max_rows - len(rows)
        if room > 0:
            rows += draw(trajectory_rows(benchmark, instance_id, min(5, room)))
    # Through JSON, as from a file: no two rows share an object that a test might change.
    copied: list[Row] = json.loads(json.dumps(draw(scrambled(rows))))
    return copied


def scrambled(rows: Sequence[Row]) -> st.SearchStrategy[list[Row]]:
    """The same bank with its rows in another order, which no score may notice."""
    return st.permutations(rows)


# --- Predictions ----------------------------------------------------------------------------------------------------


@st.composite
def predictions(draw: st.DrawFn, rows: Sequence[Row]) -> dict[str, int | None]:
    """What a router may have answered on a bank: tiers by row id, None for an error, some ids missing.

    Chosen tiers stay or change along a trajectory, pass everywhere or not; errors come alone, in runs, over a whole
    workload (whose D is then 0) or everywhere.
    """
    passing = draw(st.booleans())
    workloads = sorted({row["benchmark"] for row in rows})
    lost = draw(st.sampled_from(("nothing",) * 3 + ("runs",) * 5 + ("workload", "everything")))
    lost_workload = draw(st.sampled_from(workloads)) if lost == "workload" else None

    result: dict[str, int | None] = {}
    previous: tuple[str, str] | None = None
    tier, failing = 0, False
    for row in sorted(rows, key=lambda row: (row["benchmark"], row["instance_id"], row["step_index"])):
        trajectory = (row["benchmark"], row["instance_id"])
        if trajectory != previous or draw(chance(35)):
            tier = draw(st.integers(0, 3))
        previous = trajectory
        if lost == "runs":
            failing = draw(chance(45 if failing else 25))
        if failing or lost == "everything" or row["benchmark"] == lost_workload:
            if not draw(chance(30)):
                result[row["id"]] = None
            continue
        result[row["id"]] = max(tier, row["target_tier_id"]) if passing else tier
    return result
