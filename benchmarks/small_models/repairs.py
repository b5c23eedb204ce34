"""Small repairs in a few steps: a function with a wrong line, or two; an example, and tests that run by themselves."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.small_models.functions import test_of
from benchmarks.small_models.templates import EASY, HARD, MIDDLE, Content, Template
from static_track.construction.turns.checks.repair import COMMANDS

Draw = random.Random
_FILE = "shop.py"
_STEPS = 6
_SYSTEM = """\
You repair a Python file. Answer with one command as JSON:
{"command": "show"} shows the file and runs its tests
{"command": "edit", "line": 2, "text": "new text"} replaces a line, keeps its indentation and runs the tests
{"command": "submit"} ends the repair, once all tests pass"""
_EXAMPLE = (
    ("user", "double(n) in math.py must return two times n."),
    ("assistant", '{"command": "show"}'),
    (
        "user",
        "math.py:\n1: def double(n):\n2:     return n * 3\n\nTests fail: AssertionError: double(2) gave 6, expected 4",
    ),
    ("assistant", '{"command": "edit", "line": 2, "text": "return n * 2"}'),
    ("user", "math.py:\n1: def double(n):\n2:     return n * 2\n\nAll tests pass."),
    ("assistant", '{"command": "submit"}'),
)


@dataclass(frozen=True)
class Bug:
    """A function, and what is wrong in it: by line number the line as it stands in the file."""

    name: str
    level: str
    what: str
    """What the function must do, after its name."""
    code: str
    """As it should be; ``{f}`` is its name and ``{k}`` a number, which are drawn."""
    wrong: dict[int, str]
    inputs: Sequence[Any]
    names: Sequence[str]


N = ([3, 1, 2], [5, -4, 0, 7, 7], [10], [8, 12, 6, 9])
W = ("level", "Banana split", "a b c")

BUGS = (
    Bug(
        "plus",
        EASY,
        "return n plus {k}",
        "def {f}(n):\n    return n + {k}",
        {2: "return n - {k}"},
        (1, 5),
        ("shift", "raise_by", "more"),
    ),
    Bug(
        "times",
        EASY,
        "return n times {k}",
        "def {f}(n):\n    return n * {k}",
        {2: "return n + {k}"},
        (1, 5),
        ("scale", "grow", "copies"),
    ),
    Bug(
        "at-least",
        EASY,
        "return True if n is at least {k}",
        "def {f}(n):\n    return n >= {k}",
        {2: "return n <= {k}"},
        (1, 2, 5, 20),
        ("enough", "is_large", "reaches"),
    ),
    Bug(
        "length",
        EASY,
        "return the length of text plus {k}",
        "def {f}(text):\n    return len(text) + {k}",
        {2: "return len(text)"},
        W,
        ("width", "size_of", "space"),
    ),
    Bug(
        "upper",
        EASY,
        "return text in upper case",
        "def {f}(text):\n    return text.upper()",
        {2: "return text.lower()"},
        W,
        ("shout", "loud", "capitals"),
    ),
    Bug(
        "first",
        EASY,
        "return the first of the items",
        "def {f}(items):\n    return items[0]",
        {2: "return items[1]"},
        ([1, 2], "xy"),
        ("head", "front", "leader"),
    ),
    Bug(
        "largest",
        EASY,
        "return the largest number",
        "def {f}(numbers):\n    return max(numbers)",
        {2: "return min(numbers)"},
        N,
        ("best", "top", "peak"),
    ),
    Bug(
        "misspelt",
        EASY,
        "return the sum of the numbers",
        "def {f}(numbers):\n    return sum(numbers)",
        {2: "return sum(number)"},
        N,
        ("total", "all_of", "balance"),
    ),
    Bug(
        "colon",
        EASY,
        "return n without its sign",
        "def {f}(n):\n    if n < 0:\n        return -n\n    return n",
        {2: "if n < 0"},
        (3, -3, 0),
        ("distance", "size", "absolute"),
    ),
    Bug(
        "even",
        EASY,
        "return True if n is even",
        "def {f}(n):\n    return n % 2 == 0",
        {2: "return n % 2 == 1"},
        (1, 2, 0),
        ("is_even", "pairs_up", "halves"),
    ),
    Bug(
        "sign",
        MIDDLE,
        "return -n for a negative n, else n",
        "def {f}(n):\n    if n < 0:\n        return -n\n    return n",
        {2: "if n > 0:"},
        (3, -3, 0),
        ("distance", "size", "absolute"),
    ),
    Bug(
        "discount",
        MIDDLE,
        "return the price less {k} percent",
        "def {f}(price):\n    off = price * {k} / 100\n    return price - off",
        {3: "return price + off"},
        (100, 50),
        ("reduced", "sale_price", "to_pay"),
    ),
    Bug(
        "average",
        MIDDLE,
        "return the average of the numbers",
        "def {f}(numbers):\n    total = sum(numbers)\n    return total / len(numbers)",
        {3: "return total * len(numbers)"},
        N,
        ("mean", "average", "middle"),
    ),
    Bug(
        "count",
        MIDDLE,
        "return how many numbers are larger than {k}",
        (
            "def {f}(numbers):\n    count = 0\n    for n in numbers:\n"
            "        if n > {k}:\n            count += 1\n    return count"
        ),
        {4: "if n < {k}:"},
        N,
        ("above", "count_large", "winners"),
    ),
    Bug(
        "start",
        MIDDLE,
        "return the sum of the numbers",
        "def {f}(numbers):\n    total = 0\n    for n in numbers:\n        total += n\n    return total",
        {2: "total = 1"},
        (*N, []),
        ("total", "add_up", "balance"),
    ),
    Bug(
        "overwritten",
        MIDDLE,
        "return the product of the numbers",
        "def {f}(numbers):\n    result = 1\n    for n in numbers:\n        result *= n\n    return result",
        {4: "result = n"},
        N,
        ("product", "multiply", "combined"),
    ),
    Bug(
        "joined",
        MIDDLE,
        "return the words of text with - between them",
        'def {f}(text):\n    words = text.split()\n    return "-".join(words)',
        {3: 'return " ".join(words)'},
        W,
        ("slug", "dashed", "linked"),
    ),
    Bug(
        "reverse",
        MIDDLE,
        "return text backwards",
        "def {f}(text):\n    return text[::-1]",
        {2: "return text[::1]"},
        W,
        ("backwards", "mirror", "turned"),
    ),
    Bug(
        "returned",
        MIDDLE,
        "return n squared plus {k}",
        "def {f}(n):\n    square = n * n\n    return square + {k}",
        {3: "square + {k}"},
        (2, 3),
        ("curve", "squared", "shape"),
    ),
    Bug(
        "key",
        MIDDLE,
        "return the price of an item, a dictionary with name and price",
        'def {f}(item):\n    return item["price"]',
        {2: 'return item["name"]'},
        ({"name": "tea", "price": 3}, {"name": "cup", "price": 8}),
        ("price_of", "cost", "value_of"),
    ),
    Bug(
        "default",
        MIDDLE,
        "return the last of the items, or {k} if there are none",
        "def {f}(items):\n    if not items:\n        return {k}\n    return items[-1]",
        {2: "if items:"},
        ([1, 2, 3], [], [4]),
        ("final", "last_or", "tail"),
    ),
    Bug(
        "spaces",
        MIDDLE,
        "return text without spaces at its ends",
        "def {f}(text):\n    return text.strip()",
        {2: "return text.split()"},
        (" a ", "b c"),
        ("clean", "trimmed", "tidy"),
    ),
    Bug(
        "both",
        HARD,
        "return True if n is larger than {k} and even",
        "def {f}(n):\n    return n > {k} and n % 2 == 0",
        {2: "return n > {k} or n % 2 == 0"},
        (2, 20, 21, 1),
        ("fits", "is_wanted", "accepted"),
    ),
    Bug(
        "off-by-one",
        HARD,
        "return the sum of 1 to n",
        "def {f}(n):\n    total = 0\n    for i in range(1, n + 1):\n        total += i\n    return total",
        {3: "for i in range(1, n):"},
        (1, 4, 10),
        ("sum_to", "triangle", "steps_to"),
    ),
    Bug(
        "best-start",
        HARD,
        "return the largest number",
        (
            "def {f}(numbers):\n    best = numbers[0]\n    for n in numbers:\n"
            "        if n > best:\n            best = n\n    return best"
        ),
        {2: "best = 0"},
        (*N, [-3, -8]),
        ("largest", "top", "peak"),
    ),
    Bug(
        "early",
        HARD,
        "return True if all numbers are larger than {k}",
        "def {f}(numbers):\n    for n in numbers:\n        if n <= {k}:\n            return False\n    return True",
        {4: "return True"},
        ([20, 30], [1, 30], [30, 1]),
        ("all_above", "passed", "high"),
    ),
    Bug(
        "vowels",
        HARD,
        "return how many vowels text has",
        (
            "def {f}(text):\n    count = 0\n    for letter in text.lower():\n"
            '        if letter in "aeiou":\n            count += 1\n    return count'
        ),
        {4: 'if letter not in "aeiou":'},
        W,
        ("vowels", "count_vowels", "sounds"),
    ),
    Bug(
        "fare",
        HARD,
        "return {k} for a distance up to 10, else {k} plus 2 for each further one",
        "def {f}(distance):\n    if distance <= 10:\n        return {k}\n    return {k} + 2 * (distance - 10)",
        {4: "return {k} + 2 * distance"},
        (5, 10, 15),
        ("fare", "ticket", "charge"),
    ),
    Bug(
        "two-sum",
        HARD,
        "return the sum of the squares of the numbers",
        "def {f}(numbers):\n    total = 0\n    for n in numbers:\n        total += n * n\n    return total",
        {2: "total = 1", 4: "total += n + n"},
        (*N, []),
        ("energy", "squares", "norm"),
    ),
    Bug(
        "two-price",
        HARD,
        "return the price for n items at {k} each, less 10 for more than 5 items",
        "def {f}(n):\n    price = n * {k}\n    if n > 5:\n        price -= 10\n    return price",
        {2: "price = n + {k}", 4: "price += 10"},
        (1, 5, 6, 9),
        ("to_pay", "bill", "order_price"),
    ),
    Bug(
        "two-names",
        HARD,
        "return the first letters of the words of text, in upper case",
        (
            "def {f}(text):\n    words = text.split()\n"
            '    letters = [word[0] for word in words]\n    return "".join(letters).upper()'
        ),
        {3: "letters = [word[1] for word in words]", 4: 'return "".join(letters).lower()'},
        ("ann lee", "big old cat"),
        ("initials", "short_name", "letters_of"),
    ),
    Bug(
        "two-limits",
        HARD,
        "return n, but at least 0 and at most {k}",
        "def {f}(n):\n    if n < 0:\n        return 0\n    if n > {k}:\n        return {k}\n    return n",
        {2: "if n > 0:", 4: "if n < {k}:"},
        (-5, 1, 50),
        ("clamp", "bounded", "limited"),
    ),
)


def _content(bug: Bug, draw: Draw) -> Content:
    name, k = draw.choice(bug.names), draw.randint(3, 9)
    code = bug.code.replace("{f}", name).replace("{k}", str(k))
    lines = code.splitlines()
    fixes = [{"command": "edit", "line": number, "text": lines[number - 1].strip()} for number in bug.wrong]
    for number, text in bug.wrong.items():
        old = lines[number - 1]
        lines[number - 1] = old[: len(old) - len(old.lstrip())] + text.replace("{k}", str(k))
    source = "\n".join(lines) + "\n"
    calls = [(each,) for each in bug.inputs]
    user = f"{name}({code.partition('(')[2].partition(')')[0]}) in {_FILE} must {bug.what.replace('{k}', str(k))}."
    conversation = [("system", _SYSTEM), *_EXAMPLE, ("user", user)]
    commands: list[dict[str, Any]] = [{"command": "show"}, *fixes, {"command": "submit"}]
    return Content(
        [{"role": role, "content": content} for role, content in conversation],
        dict(COMMANDS),
        {
            "kind": "repair",
            "file": _FILE,
            "source": source,
            "test": test_of(_FILE.removesuffix(".py"), name, code, calls),
            "steps": _STEPS,
        },
        [json.dumps(each) for each in commands],
        [json.dumps(commands[0]), json.dumps(commands[-1])],
        max_tokens=80,
    )


TEMPLATES = tuple(Template(f"repair-{each.name}", "repairs", each.level, partial(_content, each), 2) for each in BUGS)

SHIPPED = frozenset(
    f"repair-{name}"
    for name in (
        *("plus", "times", "at-least", "length", "upper", "first"),
        *("largest", "misspelt", "colon", "even", "sign", "discount"),
    )
)
"""Names of the templates in the shipped bank: a repair takes a core for ten minutes, as long as fifty single calls."""
