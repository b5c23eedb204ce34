"""Templates, and the tasks that are made of them: a function of the seed alone.

Every task comes with reference answers, which pass its check, and with wrong ones, which do not: a test holds both
against the check.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EASY, MIDDLE, HARD = "easy", "middle", "hard"

Schema = dict[str, Any]
Drawn = Callable[[random.Random], Any]
"""Draws a value."""

INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string", "maxLength": 60}
"""With a bound: the smallest model does not end a text by itself."""

MOST_DRAWS = 50
"""After so many tries a template that should give several different tasks has no more of them."""

PEOPLE = ("Anna Keller", "Ben Okafor", "Carla Ruiz", "David Lindqvist", "Elif Demir", "Farid Nasser", "Grace Liu")
CITIES = ("Oslo", "Lisbon", "Prague", "Toronto", "Nairobi", "Lima", "Osaka", "Dublin", "Vienna", "Helsinki")
GOODS = ("lamp", "kettle", "backpack", "notebook", "umbrella", "teapot", "blanket", "keyboard")
COLOURS = ("red", "blue", "green", "black", "white", "yellow")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Content:
    """What a template gives for one task."""

    messages: Sequence[dict[str, Any]]
    response_format: Schema | None
    check: dict[str, Any]
    reference: Sequence[str]
    """Answers, one a step, that pass."""
    wrong: Sequence[str]
    """Answers, one a step, that fail."""
    max_tokens: int = 160


@dataclass(frozen=True)
class Template:
    """Makes tasks that are alike: they differ in names and numbers alone."""

    name: str
    workload: str
    level: str
    """How hard it is meant to be; nothing is labelled by it."""
    make: Callable[[random.Random], Content]
    draws: int = 3
    """How many different tasks are made of it."""


@dataclass(frozen=True)
class MadeTask:
    """A task, with answers to test its check by."""

    row: dict[str, Any]
    """Of the file of tasks."""
    level: str
    reference: Sequence[str]
    wrong: Sequence[str]


def make_tasks(templates: Sequence[Template], seed: int) -> Iterator[MadeTask]:
    """The tasks of some templates.

    Raises:
        ValueError: a template gives fewer different tasks than it should.
    """
    for template in templates:
        taken: set[str] = set()
        for number in range(1, template.draws + 1):
            content = _draw_content(template, seed, number, taken)
            row = {
                "id": f"{template.name}-{number}",
                "workload": template.workload,
                "group": template.name,
                "messages": list(content.messages),
                **({} if content.response_format is None else {"response_format": content.response_format}),
                "max_tokens": content.max_tokens,
                "check": content.check,
            }
            yield MadeTask(row, template.level, content.reference, content.wrong)


def _draw_content(template: Template, seed: int, number: int, taken: set[str]) -> Content:
    for attempt in range(MOST_DRAWS):
        content = template.make(random.Random(f"{seed} {template.name} {number} {attempt}"))  # noqa: S311 - no secret
        text = json.dumps([content.messages, content.check])
        if text not in taken:
            taken.add(text)
            return content
    raise ValueError(f"template {template.name} gives fewer than {template.draws} different tasks")


def object_schema(properties: dict[str, Schema]) -> Schema:
    """The schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def one_of(*values: str) -> Schema:
    """The schema of a text that is one of a few."""
    return {"type": "string", "enum": list(values)}


def list_of(item: Schema, most: int = 6) -> Schema:
    """The schema of a short list."""
    return {"type": "array", "items": item, "maxItems": most}


def another(value: Any, schema: Schema) -> Any:
    """A value of the same schema that is another one: what a wrong answer has."""
    if "enum" in schema:
        return next((each for each in schema["enum"] if each != value), "none of them")
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [] if isinstance(value, list) else f"{value} or so"


def chat(system: str, user: str) -> list[dict[str, Any]]:
    """A conversation of one turn."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def pick(*values: Any) -> Drawn:
    """One of a few values."""
    return lambda draw: draw.choice(values)


def some(values: Sequence[Any], count: int) -> Drawn:
    """Several different values, as a list."""
    return lambda draw: draw.sample(values, count)


def whole(low: int, high: int, step: int = 1) -> Drawn:
    """A whole number between two bounds, both of them possible."""
    return lambda draw: draw.randrange(low, high + 1, step)


def cents(low: int, high: int) -> Drawn:
    """An amount of money with cents."""
    return lambda draw: draw.randint(low * 100, high * 100) / 100


def draw_values(draws: Mapping[str, Drawn], draw: random.Random) -> dict[str, Any]:
    """A value for each name, which texts of a template hold as ``{name}``."""
    return {name: each(draw) for name, each in draws.items()}


def json_content(instruction: str, text: str, properties: dict[str, Schema], values: dict[str, Any]) -> Content:
    """A task whose answer is a JSON object with the given values.

    Args:
        instruction: the system's message.
        text: the user's message.
        properties: the schema of each field.
        values: the expected value of each field; the first one is wrong in the wrong answer.
    """
    schema = object_schema(properties)
    first = next(iter(properties))
    wrong = {**values, first: another(values[first], properties[first])}
    return Content(
        chat(instruction, text),
        schema,
        {"kind": "json", "json_schema": schema, "fields": values},
        [json.dumps(values)],
        [json.dumps(wrong)],
    )
