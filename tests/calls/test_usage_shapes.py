"""Usage in every provider's shape is read into the buckets that it was printed from; what does not add up is refused.

Mutants are drawn from the seed of the test session; a failure shows its mutant.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls.usage_shapes import SHAPES, Counts, Printed
from tests.examples import number_of
from twinbench.calls.billing import BillError, read_usage
from twinbench.calls.response_json import RepeatedKeys, decode_response
from twinbench.routing.usage import Prices, Usage

MUTANTS = number_of(2_500, 10_000)
PRICES = Prices(
    input=Decimal(5),
    cache_read=Decimal("0.5"),
    cache_write=Decimal("6.25"),
    output=Decimal(25),
    cache_write_1h=Decimal(10),
)

TOKENS = st.integers(0, 200_000)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    write, output = draw(TOKENS), draw(TOKENS)
    found = Counts(
        input=draw(TOKENS),
        read=draw(TOKENS),
        write=write,
        hour=draw(st.integers(0, write)),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )
    return found if found.input else Counts(**{**found.__dict__, "input": 1})


@given(shape=st.sampled_from(sorted(SHAPES)), counted=counts())
def test_every_provider_reads_back_to_the_counts_that_it_printed(shape: str, counted: Counts) -> None:
    told = SHAPES[shape].told(counted)
    assert read_usage(SHAPES[shape].body(counted), one_hour_writes=True) == told.usage
    if not told.hour:
        assert read_usage(SHAPES[shape].body(counted)) == told.usage


@given(shape=st.sampled_from(sorted(SHAPES)), counted=counts())
def test_a_limit_of_the_answer_holds_for_all_but_reasoning_beside_it(shape: str, counted: Counts) -> None:
    told, body = SHAPES[shape].told(counted), SHAPES[shape].body(counted)
    beside = told.reasoning if shape in ("xAI", "Gemini", "Gemini's library") else 0
    limited = told.output - beside
    assert read_usage(body, one_hour_writes=True, max_tokens=limited) == told.usage
    if limited:
        with pytest.raises(BillError, match=f"an answer of {limited} tokens where max_tokens allows {limited - 1}"):
            read_usage(body, one_hour_writes=True, max_tokens=limited - 1)


@given(shape=st.sampled_from(sorted(SHAPES)), counted=counts())
def test_writes_for_an_hour_are_refused_where_they_have_no_price(shape: str, counted: Counts) -> None:
    told = SHAPES[shape].told(counted)
    if told.hour:
        with pytest.raises(BillError, match=f"{told.hour} tokens were written to a cache for one hour"):
            read_usage(SHAPES[shape].body(counted))


@pytest.mark.parametrize("label", [None, 5, ["1h"]])
def test_a_lifetime_that_is_no_text_is_refused(label: Any) -> None:
    usage = {"inputTokens": 10, "outputTokens": 5, "cacheDetails": [{"ttl": label, "inputTokens": 8}]}
    with pytest.raises(BillError, match=r"usage.cacheDetails\[0\].ttl is not a string: "):
        read_usage({"usage": usage})


def drawn(chance: random.Random) -> Counts:
    """Counts of a call, as agents make them."""
    write, output = chance.choice([0, chance.randint(1, 5000)]), chance.randint(1, 3000)
    return Counts(
        input=chance.randint(1, 20_000),
        read=chance.choice([0, chance.randint(1, 50_000)]),
        write=write,
        hour=chance.choice([0, chance.randint(0, write)]),
        output=output,
        reasoning=chance.choice([0, chance.randint(0, output)]),
    )


@pytest.mark.slow
@pytest.mark.drawn
def test_no_count_of_a_total_is_dropped_or_inflated_unseen() -> None:
    chance = random.Random(random.getrandbits(64))  # noqa: S311 - no secret
    refused = 0
    for _ in range(MUTANTS):
        name = chance.choice([name for name, shape in SHAPES.items() if shape.summed])
        shape, counted = SHAPES[name], drawn(chance)
        body = shape.body(counted)
        told = shape.told(counted)
        key = chance.choice([*shape.summed, shape.total])
        value = look_up(body[shape.place], key)
        if value is None:
            continue  # Gemini leaves out what is zero
        mutant = copy.deepcopy(body)
        if value and chance.random() < 0.3 and key != shape.total:
            change = -value
            remove(mutant[shape.place], key)
        else:
            change = chance.choice([1, -1, chance.randint(1, 5000), -chance.randint(1, 5000), value])
            put(mutant[shape.place], key, value + change)
        if change == 0 or abs(change) == told.reasoning:
            continue  # reasoning may stand beside the answer or within it: then it adds up again
        accepted, error = outcome(mutant, None)
        # DeepSeek tells the prompt a second time, as what was hit and missed.
        assert accepted in (None, told.usage), f"{name}: {mutant} was read as {accepted}"
        refused += error is not None
    assert refused > MUTANTS * 0.8


@pytest.mark.slow
@pytest.mark.drawn
def test_mutants_are_whole_counts_that_add_up_or_an_error() -> None:
    chance = random.Random(random.getrandbits(64))  # noqa: S311 - no secret
    read = 0
    for _ in range(MUTANTS):
        name = chance.choice(sorted(SHAPES))
        shape, counted = SHAPES[name], drawn(chance)
        usage = shape.body(counted)[shape.place]
        for _ in range(chance.randint(1, 3)):
            usage = mutated(usage, chance)
        body = {"id": "x", shape.place: usage}
        most = chance.choice([None, 4096])
        found, error = outcome(body, most)
        if found is None:
            assert 0 < len(str(error)) < 1000
            continue
        read += 1
        complaint = untrue(found, usage)
        assert complaint is None, f"{name}: {usage} was read as {found}: {complaint}"
    assert MUTANTS * 0.1 < read < MUTANTS * 0.7


def outcome(body: Printed, max_tokens: int | None) -> tuple[Usage | None, BillError | None]:
    """What a response is read as, or why it is refused; any other exception is a bug."""
    try:
        return read_usage(body, max_tokens=max_tokens, one_hour_writes=True), None
    except BillError as error:
        return None, error


def untrue(found: Usage, usage: Any) -> str | None:
    """What a usage cannot have been read as; worked out here from nothing but its keys' names."""
    buckets = (found.input, found.cache_read, found.cache_write, found.output, found.cache_write_1h)
    if any(type(each) is not int or each < 0 for each in buckets) or found.cache_write_1h > found.cache_write:
        return "token counts"
    if found.prompt_tokens < 1:
        return "no prompt"
    if not found.cost_usd(PRICES).is_finite():
        return "no cost"
    parts = {found.cache_read, found.cache_write, found.cache_write_1h, found.cache_write - found.cache_write_1h}
    if isinstance(usage, RepeatedKeys):
        return "a key that stands twice"
    for path, value in leaves(usage):
        last = path[-1].replace("_", "").lower()
        if value is None or "iterations" in path[0]:
            continue
        if (
            last in ("totaltokens", "totaltokencount")
            and len(path) == 1
            and value != found.prompt_tokens + found.output
        ):
            return "not its total"
        if last in ("prompttokens", "prompttokencount") and len(path) == 1 and value != found.prompt_tokens:
            return "not its prompt"
        if last in ("completiontokens", "candidatestokencount") and len(path) == 1 and value > found.output:
            return "less than its answer"
        if "cach" in "".join(path).lower() and is_number(value):
            missed = {found.prompt_tokens - found.cache_read} if last == "promptcachemisstokens" else set()
            if value not in parts | missed | {0}:
                return f"a cache left out: {'.'.join(path)} = {value}"
        if "audio" in "".join(path).lower() and is_number(value) and value:
            return "sound that is free"
    return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, (*path, "[]"))
    elif path:
        yield path, value


STRANGE: list[Any] = [
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        7,
        10**9,
        10**40,
        0.5,
        3.0,
        float("nan"),
        float("inf"),
        "9000",
        "-3",
        "1e3",
        "",
        "many",
    ),
    *([], [5], {}, {"cached_tokens": 5}, [{"modality": "AUDIO", "tokenCount": 4}], [[[[7]]]]),
]
UNKNOWN = ["cacheHits", "kv_cache_tokens", "CACHED_TOKENS", "prompt-cache-read", "cached", "cache", "ephemeral_cache"]


def mutated(usage: Printed, chance: random.Random) -> Printed:
    """A usage with one thing wrong with it, or changed."""
    usage = copy.deepcopy(usage)
    objects = [usage, *(value for value in usage.values() if isinstance(value, dict))]
    place = chance.choice(objects)
    keys = list(place)
    key = chance.choice(keys) if keys else "x"
    match chance.randint(0, 8):
        case 0:
            place.pop(key, None)
        case 1:
            place[key] = chance.choice(STRANGE)
        case 2:
            place[chance.choice(UNKNOWN)] = chance.choice([0, 5, 5.5, "12", True, None, {"read": 9}, [1, 2], "none"])
        case 3 if isinstance(place.get(key), int):
            place[key] += chance.choice([1, -1, 100, -100, 100_000])
        case 4:
            other = chance.choice(keys or ["x"])
            place[key], place[other] = place.get(other), place.get(key)
        case 5:
            camel = "".join(part.title() if index else part for index, part in enumerate(key.split("_")))
            place[camel] = place.get(key)
        case 6:
            return twice(usage, key, chance)
        case 7:
            usage["iterations"] = chance.choice([[], [copy.deepcopy(usage)], [{"cached": 5}], 3, [1]])
        case _:
            place["reasoning_tokens"] = chance.choice([0, 1, 50, 10**6, "5"])
    return usage


def twice(usage: Printed, key: str, chance: random.Random) -> Printed:
    """A usage in whose JSON a key stands twice, as it is decoded."""
    text = json.dumps(usage)
    member = f'"{key}": {json.dumps(chance.choice([1, 0, None]))}, "{key}": '
    found: Printed = decode_response(
        text.replace(f'"{key}": ', member, 1).replace("NaN", "1").replace("Infinity", "1").encode()
    )
    return found


def look_up(usage: Printed, key: str) -> int | None:
    found: Any = usage
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, int) else None


def remove(usage: Printed, key: str) -> None:
    *outer, last = key.split(".")
    for part in outer:
        usage = usage[part]
    del usage[last]


def put(usage: Printed, key: str, value: int) -> None:
    *outer, last = key.split(".")
    for part in outer:
        usage = usage[part]
    usage[last] = value
