"""The traits of each row: what a router sees besides the text, each trait with several measures.

Traits are extracted from the same prompts and session keys that routers get. A router may keep state per session, so a
row's measures may use earlier rows of its trajectory, but never later ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from static_track.banks.bank import Bank, PrefixStep, Trajectory
from static_track.banks.splits import WHOLE_BANK, BankPart
from static_track.leaks.lookup import Value
from static_track.leaks.messages import (
    LABEL_WORDS,
    MessageFeatures,
    id_values,
    message_features,
    text_times,
    time_values,
    tool_features,
    words_of_keys,
)
from static_track.predict import SESSION_SALT
from twinbench.display.progress import Progress, no_progress
from twinbench.routing.session import session_key
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import static_manifest

TRAITS = (
    "step index",
    "session key",
    "order of sessions",
    "prompt length",
    "number of messages",
    "roles",
    "number of tools",
    "names of tools",
    "number of tool calls",
    "ids of tool calls",
    "earlier answers",
    "message keys",
    "order of keys",
    "keys of tools",
    "name of a message",
    "content's form",
    "label-like words in keys",
    "label-like words in text",
    "dates and times",
    "numbers in text",
    "hexadecimal ids in text",
    "white space at the ends",
    "white space within",
    "marks at the ends",
    "unusual characters",
)
"""The traits that are examined in every bank."""

_KEY = "key "
"""Prefix of the traits of non-standard keys; each key has a trait, named after its path."""

_NO_REMAINDERS = (
    "step index",
    "number of messages",
    "roles",
    "number of tools",
    "number of tool calls",
    "earlier answers",
    "white space within",
    "unusual characters",
)
"""Traits whose numbers are small or coarse, so that remainders add nothing to values and ranges."""

_KEPT_MESSAGES = 20_000
_MOST_EXTRA_KEYS = 40
_ORDERED = 3
_NAMED_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Trait:
    """One feature that a router sees besides the text."""

    name: str
    measures: Mapping[str, Sequence[Value]]
    """Shape (rows,) each; None if a row has no value."""

    @property
    def has_remainders(self) -> bool:
        """Whether remainders of its integers may say more than the integers."""
        return self.name not in _NO_REMAINDERS


@dataclass(frozen=True)
class RowTraits:
    """The traits of a bank's rows, or of some of its trajectories."""

    row_nos: Sequence[int]
    traits: Sequence[Trait]


class _Measures:
    """Values by trait and measure, filled row by row."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[tuple[str, str], dict[int, Value]] = defaultdict(dict)

    def add(self, trait: str, measure: str, value: Value) -> None:
        """Add a value for the current row."""
        if value is not None:
            self._columns[trait, measure][self.rows - 1] = value

    def measures_of(self, trait: str) -> dict[str, list[Value]]:
        """Return all measures of a trait, with None for rows without a value."""
        return {
            measure: [values.get(row) for row in range(self.rows)]
            for (name, measure), values in self._columns.items()
            if name == trait
        }

    def traits_with_prefix(self, prefix: str) -> list[str]:
        """Return the traits whose names begin with ``prefix``, those on most rows first."""
        rows: dict[str, int] = defaultdict(int)
        for (trait, _), values in self._columns.items():
            if trait.startswith(prefix):
                rows[trait] = max(rows[trait], len(values))
        return sorted(rows, key=lambda trait: (-rows[trait], trait))


class _Reader:
    """Extracts the features of prompts; each message is processed once, however many prompts repeat it."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[object, MessageFeatures]] = {}
        self._tools: dict[int, tuple[object, MessageFeatures]] = {}

    def messages(self, step: PrefixStep) -> list[MessageFeatures]:
        """Return the features of a prompt's messages."""
        found = []
        for message in step.prompt.messages:
            known = self._messages.get(id(message))
            if known is None:
                known = self._messages[id(message)] = message, message_features(message)
            found.append(known[1])
        return found

    def tools(self, step: PrefixStep) -> MessageFeatures:
        """Return the features of a prompt's tools."""
        tools = step.prompt.tools
        if id(tools) not in self._tools:
            self._tools[id(tools)] = tools, tool_features(tools)
        return self._tools[id(tools)][1]

    def forget(self) -> None:
        """Limit the cache, between trajectories."""
        if len(self._messages) > _KEPT_MESSAGES:
            self._messages.clear()


def read_traits(bank: Bank, split: BankPart = WHOLE_BANK, progress: Progress = no_progress) -> RowTraits:
    """Extract the traits of a bank's rows, or of a part's, as routers see them.

    Args:
        bank: an opened bank.
        split: the part.
        progress: called after each trajectory.
    """
    measures, reader, row_nos = _Measures(), _Reader(), []
    total = bank.info.rows if split.trajectories is None else None
    for number, trajectory in enumerate(bank.trajectories(static_manifest().candidates(), split)):
        key = session_key(SESSION_SALT, trajectory.workload, trajectory.instance_id)
        for position, step in enumerate(trajectory.steps):
            measures.rows += 1
            row_nos.append(step.row_no)
            _add_session_measures(measures, key, number)
            _of_history(measures, trajectory, position)
            _of_prompt(measures, step, reader.messages(step), reader.tools(step))
        reader.forget()
        progress("reading what a router sees", len(row_nos), total)
    traits = [Trait(name, measures.measures_of(name)) for name in TRAITS]
    traits += [Trait(name, measures.measures_of(name)) for name in measures.traits_with_prefix(_KEY)[:_MOST_EXTRA_KEYS]]
    return RowTraits(row_nos, traits)


def _add_session_measures(measures: _Measures, key: str, number: int) -> None:
    measures.add("session key", "first digit", key[0])
    measures.add("session key", "last digit", key[-1])
    measures.add("session key", "key as a number", int(key[:8], 16))
    measures.add("order of sessions", "sessions before", number)


def _of_history(measures: _Measures, trajectory: Trajectory, position: int) -> None:
    """Add the positions of the rows so far, and the lengths of the answers between them."""
    steps = trajectory.steps[: position + 1]
    here = steps[-1].prompt
    measures.add("step index", "step index", here.step_index)
    if position:
        measures.add("step index", "step index of the second row", steps[1].prompt.step_index)
    measures.add("step index", "rows before", position)
    if not position:
        return
    before = steps[-2]
    measures.add("step index", "steps since the row before", here.step_index - before.prompt.step_index)
    measures.add("earlier answers", "continues the row before", int(here.extends(before.prompt)))
    answers = [int(step.visible_tokens[Tier.HIGH]) for step in steps[:-1] if step.visible_tokens is not None]
    if answers:
        measures.add("earlier answers", "tokens of the last", answers[-1])
        measures.add("earlier answers", "mean tokens", sum(answers) / len(answers))


def _of_prompt(
    measures: _Measures, step: PrefixStep, messages: Sequence[MessageFeatures], tools: MessageFeatures
) -> None:
    for (trait, measure), value in tools.values.items():
        measures.add(trait, measure, value)
    measures.add("prompt length", "tokens", max(step.prompt.tokens.values()))
    measures.add("prompt length", "characters", sum(_length(facts) for facts in messages))
    measures.add("number of messages", "messages", len(messages))
    _of_roles(measures, [facts.role for facts in messages])
    for place, facts in _places(messages):
        for (trait, measure), value in facts.values.items():
            measures.add(trait, f"{measure}, {place}", value)
        for trait, word in facts.counts:
            if trait == "label-like words in text":
                measures.add(trait, f"{word!r}, {place}", "present")
        measures.add("number of tool calls", f"calls, {place}", facts.counts["number of tool calls", "calls"])
        measures.add("message keys", f"keys, {place}", ", ".join(sorted(facts.keys)))
        measures.add("order of keys", f"order, {place}", "; ".join(facts.orders))
    for trait, measure, amount in _sums(messages):
        measures.add(trait, f"{measure}, all messages", amount)
    _of_keys(measures, messages, tools)
    _of_ids(measures, messages)
    _of_times(measures, messages)


def _length(facts: MessageFeatures) -> int:
    value = facts.values["prompt length", "characters"]
    return value if isinstance(value, int) else 0


def _places(messages: Sequence[MessageFeatures]) -> Iterator[tuple[str, MessageFeatures]]:
    """Yield messages at positions that every prompt has."""
    if not messages:
        return
    users = [facts for facts in messages if facts.role == "user"]
    assistants = [facts for facts in messages if facts.role == "assistant"]
    yield "first message", messages[0]
    yield "last message", messages[-1]
    if users:
        yield "first message of a user", users[0]
        yield "last message of a user", users[-1]
    if assistants:
        yield "last message of the assistant", assistants[-1]


def _of_roles(measures: _Measures, roles: Sequence[str]) -> None:
    for role in _NAMED_ROLES:
        measures.add("number of messages", f"of role {role}", roles.count(role))
    changes = [role for before, role in zip(["", *roles], roles, strict=False) if role != before]
    measures.add("roles", "first two", ", ".join(roles[:2]))
    measures.add("roles", "last two", ", ".join(roles[-2:]))
    measures.add("roles", "all that occur", ", ".join(sorted(set(roles))))
    measures.add("roles", "changes", len(changes))


def _sums(messages: Sequence[MessageFeatures]) -> Iterator[tuple[str, str, int]]:
    """Yield what is summed over all messages of a prompt."""
    calls = sum(facts.counts["number of tool calls", "calls"] for facts in messages)
    yield "number of tool calls", "calls", calls
    yield (
        "number of tool calls",
        "calls at once",
        max((facts.counts["number of tool calls", "calls"] for facts in messages), default=0),
    )
    for word in LABEL_WORDS:
        named = ("label-like words in text", word)
        if number := sum(facts.counts.get(named, 0) for facts in messages):
            yield named[0], f"{word!r}", min(number, _ORDERED)
    for measure in ("carriage returns", "tabs", "two spaces", "spaces at ends of lines", "empty lines"):
        yield "white space within", measure, _sum(messages, ("white space within", measure))
    yield (
        "white space at the ends",
        "trailing characters",
        _sum(messages, ("white space at the ends", "trailing characters")),
    )
    yield "unusual characters", "not ASCII", _sum(messages, ("unusual characters", "not ASCII"))
    yield (
        "content's form",
        "empty",
        sum(facts.values["content's form", "content"] in ("absent", "null", "empty") for facts in messages),
    )


def _sum(messages: Sequence[MessageFeatures], named: tuple[str, str]) -> int:
    values = [facts.values[named] for facts in messages]
    return sum(value for value in values if isinstance(value, int))


def _of_keys(measures: _Measures, messages: Sequence[MessageFeatures], tools: MessageFeatures) -> None:
    keys = frozenset[str]().union(*(facts.keys for facts in messages))
    measures.add("message keys", "all keys", ", ".join(sorted(keys)))
    orders = sorted({order for facts in messages for order in facts.orders})
    measures.add("order of keys", "all orders", "; ".join(orders))
    measures.add("order of keys", "different orders", len(orders))
    measures.add("order of keys", "tools", "; ".join(tools.orders))
    measures.add("keys of tools", "all keys", ", ".join(sorted(tools.keys)))
    words = words_of_keys(keys | tools.keys)
    measures.add("label-like words in keys", "words", ", ".join(words))
    for word in words:
        measures.add("label-like words in keys", f"{word!r}", "present")
    extra: dict[str, list[Value]] = defaultdict(list)
    for facts in (*messages, tools):
        for path, value in facts.extra.items():
            extra[path].append(value)
    for path, values in extra.items():
        trait = f"{_KEY}{path}"
        measures.add(trait, "how often it occurs", len(values))
        for place, value in (("first", values[0]), ("last", values[-1])):
            _of_value(measures, trait, place, value)


def _of_value(measures: _Measures, trait: str, place: str, value: Value) -> None:
    """Add a key's value, and what may be hidden in it."""
    measures.add(trait, f"{place} value", str(value))
    if isinstance(value, int | float):
        measures.add(trait, f"{place} number", value)
        return
    if isinstance(value, str):
        measures.add(trait, f"length of the {place}", len(value))
        measures.add(trait, f"first character of the {place}", value[:1])
        measures.add(trait, f"last character of the {place}", value[-1:])
        for moment in text_times(value)[:1]:
            for part, number in time_values(moment):
                measures.add(trait, f"{part} of the {place}", number)


def _of_ids(measures: _Measures, messages: Sequence[MessageFeatures]) -> None:
    calls = [one for facts in messages for one in facts.call_ids]
    answered = {one for facts in messages for one in facts.answered_ids}
    for measure, value in id_values(calls) if calls else ():
        measures.add("ids of tool calls", measure, value)
    if calls or answered:
        measures.add("ids of tool calls", "without an answer", len(set(calls) - answered))
        measures.add("ids of tool calls", "answers without a call", len(answered - set(calls)))


def _of_times(measures: _Measures, messages: Sequence[MessageFeatures]) -> None:
    moments = [moment for facts in messages for moment in facts.times]
    if not moments:
        return
    for place, moment in (("first", moments[0]), ("last", moments[-1])):
        for part, value in time_values(moment):
            measures.add("dates and times", f"{part} of the {place}", value)
    measures.add("dates and times", "from first to last", moments[-1] - moments[0])
