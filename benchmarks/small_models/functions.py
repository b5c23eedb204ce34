"""Small functions to write, each with a test: one expression, a loop or a condition, and several of these."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.small_models.templates import EASY, HARD, MIDDLE, Content, Template, chat

Draw = random.Random
NUMBERS = ([3, 1, 2], [5, -4, 0, 7, 7], [10], [-1, -2, -3, 8, 12, 6])
WORDS = ("level", "Banana split", "a", "the quick brown fox", "Mississippi River")


@dataclass(frozen=True)
class Function:
    """A function to write; ``{k}`` in its texts is a number that is drawn."""

    name: str
    level: str
    parameters: str
    what: str
    """What it returns, after "returns"."""
    body: str
    inputs: Sequence[Any]
    """What the test calls it with: a value, or a tuple of values for more than one parameter."""
    k: Callable[[Draw], Any] = lambda d: d.randint(2, 9)


FUNCTIONS = (
    Function("add_{k}", EASY, "n", "n plus {k}", "return n + {k}", (0, 5, -3)),
    Function("times_{k}", EASY, "n", "n times {k}", "return n * {k}", (0, 5, -3)),
    Function(
        "is_multiple_of_{k}", EASY, "n", "True if n is a multiple of {k}", "return n % {k} == 0", (0, 36, 35, 7, 8)
    ),
    Function(
        "last_{k}", EASY, "items", "the last {k} of the items", "return items[-{k}:]", ([*range(20)], [*range(9)])
    ),
    Function("first_{k}", EASY, "text", "the first {k} characters of text", "return text[:{k}]", WORDS),
    Function("repeat_{k}", EASY, "text", "text, {k} times in a row", "return text * {k}", ("ab", "", "x y")),
    Function("larger_than_{k}", EASY, "n", "True if n is larger than {k}", "return n > {k}", (0, 2, 5, 9, 10)),
    Function("power_{k}", EASY, "n", "n to the power of {k}", "return n ** {k}", (0, 2, -3)),
    Function(
        "shout",
        EASY,
        "text",
        "text in upper case with {k} exclamation marks at its end",
        "return text.upper() + '!' * {k}",
        WORDS,
    ),
    Function("total", EASY, "numbers", "the sum of the numbers, plus {k}", "return sum(numbers) + {k}", (*NUMBERS, [])),
    Function(
        "count_above_{k}",
        MIDDLE,
        "numbers",
        "how many of the numbers are larger than {k}",
        "return sum(n > {k} for n in numbers)",
        (*NUMBERS, [], [2, 3, 4, 5, 6, 7, 8, 9]),
    ),
    Function(
        "every_{k}",
        MIDDLE,
        "items",
        "every {k}th of the items: the items number {k}, 2 * {k} and so on, counted from 1",
        "return items[{k} - 1 :: {k}]",
        ([*range(30)], [*range(9)], []),
    ),
    Function(
        "clamp_{k}",
        MIDDLE,
        "n",
        "n, but at least 0 and at most {k}",
        "return max(0, min(n, {k}))",
        (-5, 0, 1, 2, 5, 9, 10, 99),
    ),
    Function(
        "multiples_of_{k}",
        MIDDLE,
        "numbers",
        "the list of those numbers that are multiples of {k}, in their order",
        "return [n for n in numbers if n % {k} == 0]",
        ([*range(40)], [5, 7, 11], []),
    ),
    Function(
        "long_words_{k}",
        MIDDLE,
        "text",
        "the list of the words in text that have more than {k} letters; words are separated by spaces",
        "return [word for word in text.split() if len(word) > {k}]",
        WORDS,
        lambda d: d.randint(2, 6),
    ),
    Function(
        "count_letter_{k}",
        MIDDLE,
        "text",
        "how often the letter {k!r} is in text, in upper or lower case",
        "return text.lower().count({k!r})",
        (*WORDS, "AbcdE", ""),
        lambda d: d.choice("abesi"),
    ),
    Function(
        "pad_{k}",
        MIDDLE,
        "text",
        "text with so many zeros before it that it has {k} characters; a longer text as it is",
        "return text.rjust({k}, '0')",
        ("7", "", "1234567890", "123"),
        lambda d: d.randint(4, 9),
    ),
    Function(
        "reverse_words_{k}",
        MIDDLE,
        "text",
        "the words of text in the opposite order, with {k!r} between them",
        "return {k!r}.join(text.split()[::-1])",
        WORDS,
        lambda d: d.choice("-_+/|"),
    ),
    Function(
        "sum_of_squares",
        MIDDLE,
        "numbers",
        "the sum of the squares of the numbers, {k} for no numbers",
        "return sum(n * n for n in numbers) if numbers else {k}",
        (*NUMBERS, []),
    ),
    Function(
        "price_with_{k}_off",
        MIDDLE,
        "price",
        "the price after {k} percent are taken off, rounded to two digits after the point",
        "return round(price * (100 - {k}) / 100, 2)",
        (100, 19.99, 0, 7.5),
        lambda d: d.choice((5, 15, 20, 35)),
    ),
    Function(
        "second_largest",
        HARD,
        "numbers",
        "the second largest of the different numbers, or {k} if there are fewer than two different ones",
        "found = sorted(set(numbers))\n    return found[-2] if len(found) > 1 else {k}",
        (*NUMBERS, [], [4, 4]),
    ),
    Function(
        "chunks_of_{k}",
        HARD,
        "items",
        "the items as a list of lists of {k} items each; the last list may be shorter",
        "return [items[i : i + {k}] for i in range(0, len(items), {k})]",
        ([*range(12)], [*range(7)], []),
    ),
    Function(
        "rotate_{k}",
        HARD,
        "items",
        "the list rotated to the left by {k} places; the list may be shorter than that, or empty",
        "if not items:\n        return []\n    n = {k} % len(items)\n    return items[n:] + items[:n]",
        ([*range(12)], [1, 2, 3], [1], []),
    ),
    Function(
        "compress_{k}",
        HARD,
        "text",
        "text in which each run of {k} or more equal characters is replaced by the character and the run's length, "
        "such as 'x' and the number; shorter runs stay",
        "from itertools import groupby\n    runs = [(c, len(list(g))) for c, g in groupby(text)]\n"
        "    return ''.join(c + str(n) if n >= {k} else c * n for c, n in runs)",
        ("aaaab", "", "abc", "aabbbcccccc", "zzzzzzzzzzzz"),
        lambda d: d.randint(2, 4),
    ),
    Function(
        "digits_sum_{k}",
        HARD,
        "n",
        "the sum of the digits of n, times {k}; n may be negative",
        "return sum(int(c) for c in str(abs(n))) * {k}",
        (0, 123, -45, 999),
    ),
    Function(
        "longest_run_below_{k}",
        HARD,
        "numbers",
        "the length of the longest run of neighbouring numbers that are all less than {k}",
        "best = run = 0\n    for n in numbers:\n        run = run + 1 if n < {k} else 0\n"
        "        best = max(best, run)\n    return best",
        (*NUMBERS, [], [1, 1, 20, 1, 1, 1, 30]),
    ),
    Function(
        "caesar_{k}",
        HARD,
        "text",
        "text with each lower case letter moved on by {k} places in the alphabet, from z on to a; all else stays",
        "return ''.join(chr((ord(c) - 97 + {k}) % 26 + 97) if 'a' <= c <= 'z' else c for c in text)",
        (*WORDS, "xyz", "A-z!"),
    ),
    Function(
        "top_{k}_words",
        HARD,
        "text",
        "the {k} most frequent words of text, the most frequent first, and in alphabetical order where they are "
        "equally frequent",
        "words = text.split()\n    return sorted(set(words), key=lambda w: (-words.count(w), w))[:{k}]",
        ("b a b c a b", "", "z y x", "one two two three three three four four four four"),
        lambda d: d.randint(2, 4),
    ),
    Function(
        "to_base_{k}",
        HARD,
        "n",
        "the digits of the number n (0 or larger) in base {k}, as a text",
        (
            "digits = ''\n    while n:\n"
            "        digits = str(n % {k}) + digits\n        n //= {k}\n    return digits or '0'"
        ),
        (0, 1, 9, 100, 12345),
    ),
    Function(
        "merge_within_{k}",
        HARD,
        "numbers",
        "the numbers in order, without those that are less than {k} larger than the last one that was kept",
        "kept = []\n    for n in sorted(numbers):\n        if not kept or n - kept[-1] >= {k}:\n"
        "            kept.append(n)\n    return kept",
        (*NUMBERS, [], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ),
)


def call_result(code: str, name: str, arguments: Sequence[Any]) -> Any:
    """What a function of ours returns."""
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # noqa: S102 - it stands in this package
    return namespace[name](*arguments)


def test_of(module: str, name: str, code: str, calls: Sequence[Sequence[Any]]) -> str:
    """A test that calls a function and compares what it returns with what ours does."""
    lines = [f"from {module} import {name}"]
    for arguments in calls:
        shown = ", ".join(map(repr, arguments))
        expected = call_result(code, name, arguments)
        lines += [
            f"got = {name}({shown})",
            f'assert got == {expected!r}, f"{name}({shown}) gave {{got!r}}, expected {expected!r}"',
        ]
    return "\n".join(lines)


def _content(function: Function, draw: Draw) -> Content:
    k = function.k(draw)
    name, what, body = (text.format(k=k) for text in (function.name, function.what, function.body))
    name = "".join(each if each.isalnum() else "_" for each in name)
    code = f"def {name}({function.parameters}):\n    {body}\n"
    calls = [each if isinstance(each, tuple) else (each,) for each in function.inputs]
    return Content(
        chat(
            "Write one Python function. Answer with its code in one ```python block and nothing else.",
            f"{name}({function.parameters}) returns {what}.",
        ),
        None,
        {"kind": "program", "test": test_of("answer", name, code, calls)},
        [f"```python\n{code}```"],
        [f"```python\ndef {name}({function.parameters}):\n    return None\n```"],
        max_tokens=200,
    )


TEMPLATES = tuple(
    Template(
        f"function-{each.name.replace('_{k}', '').replace('_', '-')}", "functions", each.level, partial(_content, each)
    )
    for each in FUNCTIONS
)
