"""Read and check the usage block of a response, in the shape of any known provider.

The counts have to add up (dynamic.md, "Spend"). A usage that is ambiguous, does not add up, or counts something that no
price covers is refused: no count is guessed, and none is dropped silently.
"""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from twinbench.calls import usage_keys as keys
from twinbench.calls.response_json import MOST_DEPTH, RepeatedKeys
from twinbench.calls.usage_keys import Key, snake_case
from twinbench.causes import Cause, CausedError
from twinbench.display.wording import shorten
from twinbench.routing.usage import Usage

_MOST_TOKENS = 10**8
"""Upper bound of a token count of one call."""
_SHOWN_CHARACTERS = 60


class BillError(CausedError):
    """No cost follows from a usage: it is missing, invalid, contradictory, or counts something that has no price."""

    cause = Cause.usage


def read_usage(body: Mapping[str, Any], *, max_tokens: int | None = None, one_hour_writes: bool = False) -> Usage:
    """Read the usage of a response into buckets that do not overlap.

    If the provider does not mention a cache, none was used; no other count defaults to zero. Several keys for one count
    have to agree. The total, if given, has to equal prompt plus answer, or prompt plus answer plus separately reported
    reasoning, which then counts as output.

    Args:
        body: the response's JSON as ``decode_response`` returns it, so that duplicate keys are found.
        max_tokens: the request's ``max_tokens``: an answer that is longer (separately reported reasoning aside) is
            refused. None: unknown.
        one_hour_writes: whether the candidate has a price for cache writes that last an hour
            (``LiveCandidate.prices.cache_write_1h is not None``). If not, such writes are refused.

    Raises:
        BillError: the usage is missing, has an invalid count, is impossible, or counts something that has no price.
    """
    if isinstance(body, RepeatedKeys) and (twice := [name for name in keys.USAGE_OBJECTS if name in body.repeated]):
        raise BillError(f"{twice[0]} appears twice in the response")
    found = {name: body[name] for name in keys.USAGE_OBJECTS if body.get(name) is not None}
    if not found:
        raise BillError(f"the response has no usage: {'null' if 'usage' in body else 'missing'}")
    usages = [
        _UsageReader(name, usage).read(max_tokens=max_tokens, one_hour_writes=one_hour_writes)
        for name, usage in found.items()
    ]
    if len(set(usages)) > 1:
        raise BillError(f"{' and '.join(found)} of the response do not agree")
    return usages[0]


class _Answer(NamedTuple):
    """How many tokens a model generated."""

    limited: int
    """Tokens that ``max_tokens`` limits."""
    reasoning_beside: int
    """Reasoning tokens that are counted separately."""

    @property
    def tokens(self) -> int:
        """All tokens, which are billed as output."""
        return self.limited + self.reasoning_beside


class _CacheCounts(NamedTuple):
    """How many tokens were read from a cache and written to it."""

    read: int
    write: int
    write_1h: int
    """The part of ``write`` that lasts one hour."""
    counted_inside: bool
    """Whether some of them were reported under a key whose count is part of the prompt's count."""
    counted_beside: bool
    """Whether some of them were reported under a key whose count is not part of ``input_tokens``."""

    @property
    def tokens(self) -> int:
        """All prompt tokens that were read from or written to a cache."""
        return self.read + self.write


class _UsageReader:
    """Reads one usage object of a response."""

    def __init__(self, name: str, usage: Any) -> None:
        if not isinstance(usage, Mapping):
            raise BillError(f"{name} is not an object: {_short_repr(usage)}")
        if not usage:
            raise BillError(f"{name} is empty")
        self._name = name
        self._values: dict[Key, list[tuple[str, Any]]] = defaultdict(list)
        """Places and values by key; a key that appears in two spellings has two."""
        for key, place, value in _walk(name, usage):
            self._values[key].append((place, value))

    def read(self, *, max_tokens: int | None, one_hour_writes: bool) -> Usage:
        """Put the counts into buckets; raise ``BillError`` where that cannot be done."""
        self._refuse_wrong_types()
        self._refuse_unpriced()
        self._refuse_unknown_caches()
        cached = self._cache_counts()
        prompt, answer = self._prompt_and_answer(cached)
        self._refuse_impossible(cached, prompt)
        if max_tokens is not None and answer.limited > max_tokens:
            raise BillError(f"{self._name}: an answer of {answer.limited} tokens where max_tokens allows {max_tokens}")
        if cached.write_1h and not one_hour_writes:
            raise BillError(
                f"{self._name}: {cached.write_1h} tokens were written to a cache for one hour, but the pool has no "
                "price for that (prices.cache_write_1h)"
            )
        usage = Usage(
            input=prompt - cached.tokens,
            cache_read=cached.read,
            cache_write=cached.write,
            output=answer.tokens,
            cache_write_1h=cached.write_1h,
        )
        self._compare_with_iterations(usage)
        return usage

    def _prompt_and_answer(self, cached: _CacheCounts) -> tuple[int, _Answer]:
        """Find the only reading of the counts that adds up."""
        total = self._agreed_count(keys.TOTAL)
        prompts, answers = self._prompts(cached), self._answers(has_total=total is not None)
        fitting = {
            (prompt, answer)
            for prompt in prompts
            for answer in answers
            if total is None or prompt + answer.tokens == total
        }
        if len(fitting) == 1:
            return fitting.pop()
        if not fitting:
            raise BillError(self._mismatch_message(total or 0, cached, min(prompts), min(answers)))
        why = "no total_tokens says which" if total is None else "total_tokens fits both"
        raise BillError(f"{self._name}: input_tokens may include the cached tokens or not, and {why}")

    def _mismatch_message(self, total: int, cached: _CacheCounts, prompt: int, answer: _Answer) -> str:
        if answer.reasoning_beside and prompt + answer.limited == total:
            reasoning = f"{answer.reasoning_beside} tokens of reasoning"
            return f"{self._name}: {reasoning} in an answer of {answer.limited}, by its total of {total}"
        counted = f"{answer.limited} and {answer.reasoning_beside} of reasoning"
        counted = counted if answer.reasoning_beside else f"{answer.limited}"
        what = f"{self._name}: a total of {total} tokens is not a prompt of {prompt} and an answer of {counted}"
        rest = total - prompt - answer.tokens
        if rest == cached.tokens:
            return f"{what}; the prompt seems to lack its {cached.tokens} cached tokens"
        return f"{what}; nothing explains the other {rest}" if rest > 0 else what

    def _prompts(self, cached: _CacheCounts) -> set[int]:
        """Find how long the whole prompt may be."""
        prompt, fresh, missed = (
            self._agreed_count(keys.PROMPT),
            self._agreed_count(keys.INPUT),
            self._agreed_count(keys.CACHE_MISS),
        )
        if prompt is not None:
            if fresh is not None and fresh not in (prompt, prompt - cached.tokens):
                # Beside prompt_tokens some gateways repeat the whole prompt under this key.
                what = f"{fresh} where the prompt has {prompt}, {cached.tokens} of them cached"
                raise BillError(f"{self._name}.input_tokens: {what}")
            return {prompt}
        if fresh is not None:
            found = {fresh + cached.tokens} if cached.counted_beside else set()
            return found | ({fresh} if cached.counted_inside or not found else set())
        if missed is not None and self._agreed_count((*keys.READ_INSIDE, *keys.READ_BESIDE)) is not None:
            return {cached.read + missed}
        raise BillError(f"{self._name} does not say how long the prompt was: no {_join_keys(keys.PROMPT, keys.INPUT)}")

    def _answers(self, *, has_total: bool) -> set[_Answer]:
        """Find how long the answer may be.

        Only a total proves where reasoning is counted. Without one it is part of the answer under OpenAI's names, and
        beside it under Gemini's, as these two document it.
        """
        answer, candidates = self._agreed_count(keys.ANSWER), self._agreed_count(keys.CANDIDATES)
        reasoning = self._agreed_count((*keys.REASONING, *keys.THOUGHTS)) or 0
        if answer is None and candidates is None:
            proved = has_total and self._agreed_count(keys.GEMINI_PROMPT) is not None
            if self._agreed_count(keys.THOUGHTS) is None and not proved:
                known = _join_keys(keys.ANSWER, keys.CANDIDATES)
                raise BillError(f"{self._name} does not say how long the answer was: no {known}")
            candidates = 0  # Gemini leaves out what is zero
        readings: list[set[_Answer]] = []
        if answer is not None:
            readings.append(_possible_answers(answer, reasoning, inside=True, beside=has_total))
        if candidates is not None:
            readings.append(_possible_answers(candidates, reasoning, inside=has_total, beside=True))
        lengths = set.intersection(*({each.tokens for each in reading} for reading in readings))
        if lengths:
            return {min(each for each in set.union(*readings) if each.tokens == length) for length in lengths}
        if candidates is None:
            what = f"{reasoning} tokens of reasoning in an answer of {answer}"
            raise BillError(f"{self._name}: {what}, and no total_tokens proves that they are counted beside it")
        what = f"an answer of {answer}, and one of {candidates} with {reasoning} of thoughts"
        raise BillError(f"{self._name} contradicts itself: {what}")

    def _cache_counts(self) -> _CacheCounts:
        read_inside, read_beside = self._counts(keys.READ_INSIDE), self._counts(keys.READ_BESIDE)
        write_inside, hour_inside = self._writes(keys.WRITE_INSIDE, keys.WRITE_SPLIT_INSIDE)
        write_beside, hour_beside = self._writes(keys.WRITE_BESIDE, keys.WRITE_SPLIT_BESIDE)
        if (by_ttl := self._by_label(keys.WRITE_LIST_BESIDE, "ttl", "input_tokens")) is not None:
            if unknown := set(by_ttl) - {"5m", "1h"}:
                raise BillError(
                    f"{self._name}.cacheDetails: no price is known for a ttl of {_short_repr(unknown.pop())}"
                )
            write_beside["cacheDetails"], hour_beside["cacheDetails"] = sum(by_ttl.values()), by_ttl.get("1h", 0)
        read = self._require_same(read_inside | read_beside) or 0
        by_modality = self._by_label(keys.READ_LIST_INSIDE, "modality", "token_count")
        if by_modality is not None and sum(by_modality.values()) != read:
            what = f"{sum(by_modality.values())} tokens read from a cache by modality, {read} in all"
            raise BillError(f"{self._name}: {what}")
        return _CacheCounts(
            read,
            self._require_same(write_inside | write_beside) or 0,
            self._require_same(hour_inside | hour_beside) or 0,
            counted_inside=any((*read_inside.values(), *write_inside.values())),
            counted_beside=any((*read_beside.values(), *write_beside.values())),
        )

    def _writes(self, plain: Iterable[Key], splits: Iterable[Key]) -> tuple[dict[str, int], dict[str, int]]:
        """Find what was written in all, and for one hour, by place."""
        found = self._counts(plain)
        hours: dict[str, int] = {}
        for split in splits:
            name = ".".join(split)
            five_minutes, hour = (self._agreed_count([(*split, part)]) for part in (keys.FIVE_MINUTES, keys.ONE_HOUR))
            if five_minutes is not None or hour is not None:
                found[name] = (five_minutes or 0) + (hour or 0)
                hours[name] = hour or 0
        return found, hours

    def _by_label(self, key: Key, label: str, count: str) -> dict[str, int] | None:
        """Sum up the counts of a list of objects by their labels; None where there is no such list, or it is empty."""
        found: dict[str, int] = {}
        for place, entry in self._entries(key):
            fields = {snake_case(name): value for name, value in entry.items()}
            if len(fields) < len(entry) or any(
                map(_is_amount, (fields[each] for each in set(fields) - {label, count}))
            ):
                raise BillError(f"{place} is not known: {_short_repr(entry)}")
            name = fields.get(label)
            if not isinstance(name, str):
                raise BillError(f"{place}.{label} is not a string: {_short_repr(name)}")
            found[name] = found.get(name, 0) + (_count(f"{place}.{count}", fields.get(count)) or 0)
        return found or None

    def _entries(self, key: Key) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Go through the objects of a list, each with its place."""
        for place, value in self._at(key):
            if not isinstance(value, list):
                raise BillError(f"{place} is not a list: {_short_repr(value)}")
            for number, entry in enumerate(value):
                if not isinstance(entry, Mapping):
                    raise BillError(f"{place}[{number}] is not an object: {_short_repr(entry)}")
                yield f"{place}[{number}]", entry

    def _compare_with_iterations(self, usage: Usage) -> None:
        """Refuse a usage that is not the sum of Anthropic's iterations: its own counts leave out iterations that
        compacted.
        """
        each = [
            _UsageReader(place, entry).read(max_tokens=None, one_hour_writes=True)
            for place, entry in self._entries(keys.ITERATIONS)
        ]
        if each and sum(each, Usage()) != usage:
            raise BillError(f"{self._name}.iterations add up to other counts than the usage around them")

    def _refuse_impossible(self, cached: _CacheCounts, prompt: int) -> None:
        if prompt == 0:
            raise BillError(f"{self._name}: a prompt of 0 tokens")
        if cached.tokens > prompt:
            what = f"{cached.read} tokens read and {cached.write} written are more than a prompt of {prompt}"
            raise BillError(f"{self._name}: {what}")
        missed = self._agreed_count(keys.CACHE_MISS)
        if missed is not None and cached.read + missed != prompt:
            what = f"{missed} missed and {cached.read} hit do not add up to a prompt of {prompt}"
            raise BillError(f"{self._name}.prompt_cache_miss_tokens: {what}")

    def _refuse_wrong_types(self) -> None:
        """Refuse anything but an object where one belongs, or a list by modality, which Gemini has there."""
        for key in keys.OBJECTS:
            for place, value in self._at(key):
                entries = value if isinstance(value, list) else [None]
                by_modality = all(isinstance(entry, Mapping) and "modality" in entry for entry in entries)
                if not isinstance(value, Mapping) and not by_modality:
                    raise BillError(f"{place} is not an object: {_short_repr(value)}")

    def _refuse_unpriced(self) -> None:
        for key, entries in self._values.items():
            for place, value in entries:
                what = keys.UNPRICED.get(key) if value else None
                if _is_amount(value) and any("audio" in part.casefold() for part in key):
                    what = "audio"
                elif isinstance(value, Mapping) and _is_unpriced_modality(key, value):
                    what = "audio, or an answer that is not text"
                if what is not None:
                    raise BillError(f"{place} = {_short_repr(value)}: {what}, which no price of the pool covers")

    def _refuse_unknown_caches(self) -> None:
        """Refuse any number but zero under a key that is named after a cache and that is not read."""
        for key, entries in self._values.items():
            if key in keys.COUNTS or any(key[: len(known)] == known for known in keys.LISTS):
                continue
            # "cach" also matches "caching"
            if any("cach" in part.casefold() for part in key):
                for place, value in entries:
                    if _is_amount(value):
                        raise BillError(
                            f"{place} = {_short_repr(value)}: an unknown key that seems to count cached tokens"
                        )

    def _agreed_count(self, alternatives: Iterable[Key]) -> int | None:
        """Get the count under any of these keys; None if there is none."""
        return self._require_same(self._counts(alternatives))

    def _counts(self, wanted: Iterable[Key]) -> dict[str, int]:
        """Get the counts under these keys, by place within the usage."""
        found: dict[str, int] = {}
        for key in wanted:
            for place, value in self._at(key):
                count = _count(place, value)
                if count is not None:
                    found[place.removeprefix(f"{self._name}.")] = count
        return found

    def _require_same(self, found: Mapping[str, int]) -> int | None:
        """Get the one value that all of these counts have; None where there are none."""
        if len(set(found.values())) > 1:
            counts = " and ".join(f"{place} = {count}" for place, count in found.items())
            raise BillError(f"{self._name} contradicts itself: {counts}")
        return next(iter(found.values()), None)

    def _at(self, key: Key) -> Iterator[tuple[str, Any]]:
        """Yield the values under a key that are not null, each with its place."""
        return (entry for entry in self._values.get(key, ()) if entry[1] is not None)


def _walk(name: str, usage: Mapping[str, Any]) -> Iterator[tuple[Key, str, Any]]:
    """Go through all values of a usage, at any depth: the key, the place and the value. Indices of lists are keys."""
    waiting: list[tuple[Key, str, Any]] = [((), name, usage)]
    while waiting:
        key, place, value = waiting.pop()
        if len(key) > MOST_DEPTH:
            raise BillError(f"{name} is nested more than {MOST_DEPTH} deep")
        if key:
            yield key, place, value
        if isinstance(value, Mapping):
            if isinstance(value, RepeatedKeys):
                raise BillError(f"{place} has a duplicate key: {_short_repr(value.repeated[0])}")
            waiting += (((*key, snake_case(part)), f"{place}.{_shorten(part)}", inner) for part, inner in value.items())
        elif isinstance(value, list):
            waiting += (((*key, f"[{number}]"), f"{place}[{number}]", inner) for number, inner in enumerate(value))


def _count(place: str, value: Any) -> int | None:
    """Read a value as a number of tokens; None where it is null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise BillError(f"{place} is not a token count: {_short_repr(value)}")
    return value


def _possible_answers(tokens: int, reasoning: int, *, inside: bool, beside: bool) -> set[_Answer]:
    """Find what an answer may be whose reasoning may be counted inside it, or beside it."""
    found = {_Answer(tokens, 0)} if inside and reasoning <= tokens else set()
    return found | ({_Answer(tokens, reasoning)} if beside else set())


def _is_unpriced_modality(key: Key, entry: Mapping[str, Any]) -> bool:
    """Whether an entry of Gemini's lists by modality counts audio, or an answer that is not text."""
    modality = entry.get("modality")
    if not isinstance(modality, str) or not any(map(_is_amount, entry.values())):
        return False
    is_answer = key[0].startswith(("candidates", "response"))
    return modality.upper() in (("AUDIO", "IMAGE", "VIDEO") if is_answer else ("AUDIO",))


def _is_amount(value: Any) -> bool:
    """Whether a value is true or a number other than zero, also where that is written as text."""
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return False
        return number.is_nan() or not number.is_zero()
    return isinstance(value, int | float | Decimal) and bool(value != 0)


def _join_keys(*alternatives: Iterable[Key]) -> str:
    return ", ".join(".".join(key) for some in alternatives for key in some)


def _shorten(text: str) -> str:
    return shorten(text, _SHOWN_CHARACTERS)


def _short_repr(value: Any) -> str:
    """Show a value in few characters, however large or deep it is."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_CHARACTERS:
        return f"a number of more than {_SHOWN_CHARACTERS} digits"
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 10 * _SHOWN_CHARACTERS
    return _shorten(brief.repr(value))
