"""Tool calls: the request names the values, or says them in other words; schema-constrained, arguments compared."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.small_models.templates import (
    BOOLEAN,
    CITIES,
    COLOURS,
    DAYS,
    EASY,
    GOODS,
    HARD,
    INTEGER,
    MIDDLE,
    NUMBER,
    PEOPLE,
    TEXT,
    Content,
    Drawn,
    Schema,
    Template,
    another,
    cents,
    chat,
    draw_values,
    list_of,
    object_schema,
    one_of,
    pick,
    some,
    whole,
)

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COUNTS = {word: number for number, word in enumerate(_WORDS)}
_MONEY = {"euros": "EUR", "dollars": "USD", "yen": "JPY"}
_SHUFFLED = {"shuffled": True, "in order, not shuffled": False}
_BREAKFAST = {"with": True, "without": False}
_PRIORITY = {"the whole shop is down, it cannot wait": "urgent", "no hurry at all, a small typo": "low"}
_REASONS = {"broken": "damaged", "a week after the promised day": "late"}
_TOPPINGS = ("olives", "ham", "onions", "mushrooms", "corn")
_ROOMS = ("kitchen", "bedroom", "office")
_SIZES = ("small", "medium", "large")

_BESIDE = {EASY: 0, MIDDLE: 2, HARD: 4}
"""How many other tools are offered."""


@dataclass(frozen=True)
class Tool:
    """A tool, and requests that call it."""

    name: str
    level: str
    what: str
    parameters: dict[str, Schema]
    say: str
    """What the user says, with the names of what is drawn in braces."""
    draws: dict[str, Drawn]
    mean: Callable[..., dict[str, Any]] | None = None
    """The arguments that this means, given what was drawn; None: what was drawn."""

    @property
    def schema(self) -> Schema:
        """Of a call of it."""
        return object_schema({"name": {"const": self.name}, "arguments": object_schema(self.parameters)})

    @property
    def shown(self) -> str:
        """It as models are told of it."""
        return (
            f"{self.name}({', '.join(f'{key}: {_type(value)}' for key, value in self.parameters.items())}): {self.what}"
        )


def _type(schema: Schema) -> str:
    return " | ".join(schema["enum"]) if "enum" in schema else str(schema["type"])


TOOLS = (
    Tool(
        "set_timer",
        EASY,
        "Start a timer.",
        {"minutes": INTEGER},
        "Set a timer for {minutes} minutes.",
        {"minutes": whole(3, 59)},
    ),
    Tool(
        "get_weather",
        EASY,
        "Get the weather of a city.",
        {"city": TEXT},
        "What is the weather in {city}?",
        {"city": pick(*CITIES)},
    ),
    Tool(
        "set_brightness",
        EASY,
        "Set the brightness of the screen.",
        {"percent": INTEGER},
        "Set the brightness to {percent} percent.",
        {"percent": whole(10, 99)},
    ),
    Tool(
        "find_product",
        EASY,
        "Search the shop.",
        {"product": TEXT},
        "Search the shop for this product: {product}.",
        {"product": pick(*GOODS)},
    ),
    Tool("call_contact", EASY, "Call a person.", {"name": TEXT}, "Call {name}.", {"name": pick(*PEOPLE)}),
    Tool(
        "set_volume", EASY, "Set the volume.", {"level": INTEGER}, "Volume to {level}, please.", {"level": whole(1, 20)}
    ),
    Tool(
        "show_order",
        EASY,
        "Show an order.",
        {"order_id": INTEGER},
        "Show me order {order_id}.",
        {"order_id": whole(1000, 9999)},
    ),
    Tool(
        "open_calendar",
        EASY,
        "Open the calendar at a day.",
        {"day": one_of(*DAYS)},
        "Open my calendar for {day}.",
        {"day": pick(*DAYS)},
    ),
    Tool(
        "set_light_colour",
        EASY,
        "Set the colour of the lamp.",
        {"colour": one_of(*COLOURS)},
        "Make the lamp {colour}.",
        {"colour": pick(*COLOURS)},
    ),
    Tool(
        "book_table",
        MIDDLE,
        "Book a table in a restaurant.",
        {"guests": INTEGER, "day": one_of(*DAYS)},
        "Book a table for {guests} guests on {day}.",
        {"guests": whole(2, 9), "day": pick(*DAYS)},
    ),
    Tool(
        "send_money",
        MIDDLE,
        "Send money to a person.",
        {"to": TEXT, "amount": NUMBER},
        "Please send {amount:.2f} dollars to {to}.",
        {"to": pick(*PEOPLE), "amount": cents(5, 90)},
    ),
    Tool(
        "add_to_cart",
        MIDDLE,
        "Put products into the cart.",
        {"product": TEXT, "quantity": INTEGER},
        "Add {count} of the {product} to my cart.",
        {"product": pick(*GOODS), "count": pick(*_WORDS[2:])},
        lambda product, count: {"product": product, "quantity": _COUNTS[count]},
    ),
    Tool(
        "convert_currency",
        MIDDLE,
        "Convert an amount of money.",
        {"amount": INTEGER, "from": one_of("USD", "EUR", "JPY"), "to": one_of("USD", "EUR", "JPY")},
        "How much is {amount} {kinds[0]} in {kinds[1]}?",
        {"amount": whole(20, 900), "kinds": some([*_MONEY], 2)},
        lambda amount, kinds: {"amount": amount, "from": _MONEY[kinds[0]], "to": _MONEY[kinds[1]]},
    ),
    Tool(
        "find_flight",
        MIDDLE,
        "Find flights.",
        {"origin": TEXT, "destination": TEXT},
        "I am in {cities[0]} and need a flight to {cities[1]}.",
        {"cities": some(CITIES, 2)},
        lambda cities: {"origin": cities[0], "destination": cities[1]},
    ),
    Tool(
        "set_alarm",
        MIDDLE,
        "Set an alarm.",
        {"hour": INTEGER, "minute": INTEGER},
        "Wake me up at {hour}:{minute} am.",
        {"hour": whole(5, 9), "minute": whole(10, 50, 5)},
    ),
    Tool(
        "set_thermostat",
        MIDDLE,
        "Set the temperature of a room.",
        {"room": one_of(*_ROOMS), "celsius": INTEGER},
        "It is cold. {celsius} degrees in the {room}, please.",
        {"room": pick(*_ROOMS), "celsius": whole(18, 25)},
    ),
    Tool(
        "play_music",
        MIDDLE,
        "Play an artist's music.",
        {"artist": TEXT, "shuffle": BOOLEAN},
        "Play something by {artist}, {how}.",
        {"artist": pick(*PEOPLE), "how": pick(*_SHUFFLED)},
        lambda artist, how: {"artist": artist, "shuffle": _SHUFFLED[how]},
    ),
    Tool(
        "create_ticket",
        MIDDLE,
        "File a support ticket.",
        {"customer": TEXT, "priority": one_of("low", "normal", "urgent")},
        "{customer} called: {why}. File a ticket.",
        {"customer": pick(*PEOPLE), "why": pick(*_PRIORITY)},
        lambda customer, why: {"customer": customer, "priority": _PRIORITY[why]},
    ),
    Tool(
        "resize_image",
        MIDDLE,
        "Resize an image.",
        {"width": INTEGER, "height": INTEGER},
        "Make the image {height} pixels high and {width} pixels wide.",
        {"width": whole(200, 900, 20), "height": whole(210, 910, 20)},
    ),
    Tool(
        "start_countdown",
        HARD,
        "Start a countdown.",
        {"minutes": INTEGER},
        "Start a countdown of an hour and {minutes} minutes.",
        {"minutes": whole(5, 55, 5)},
        lambda minutes: {"minutes": 60 + minutes},
    ),
    Tool(
        "book_room",
        HARD,
        "Book a hotel room.",
        {"city": TEXT, "nights": INTEGER, "adults": INTEGER, "breakfast": BOOLEAN},
        "My wife and I need a room in {city} from the {first}th to the {last}th, {how} breakfast.",
        {"city": pick(*CITIES), "first": whole(4, 12), "last": whole(14, 17), "how": pick(*_BREAKFAST)},
        lambda city, first, last, how: {
            "city": city,
            "nights": last - first,
            "adults": 2,
            "breakfast": _BREAKFAST[how],
        },
    ),
    Tool(
        "move_meeting",
        HARD,
        "Move a meeting to another hour (24-hour clock).",
        {"person": TEXT, "day": one_of(*DAYS), "hour": INTEGER},
        "Move my meeting with {person} from {day} to the day after, at {hour} in the afternoon.",
        {"person": pick(*PEOPLE), "day": pick(*DAYS[:-1]), "hour": whole(1, 6)},
        lambda person, day, hour: {"person": person, "day": DAYS[DAYS.index(day) + 1], "hour": 12 + hour},
    ),
    Tool(
        "order_pizza",
        HARD,
        "Order pizzas.",
        {"size": one_of(*_SIZES), "toppings": list_of(TEXT), "quantity": INTEGER},
        "A couple of {size} pizzas with {toppings[0]} and {toppings[1]}, no cheese.",
        {"size": pick(*_SIZES), "toppings": some(_TOPPINGS, 2)},
        lambda size, toppings: {"size": size, "toppings": toppings, "quantity": 2},
    ),
    Tool(
        "buy_tickets",
        HARD,
        "Buy train tickets.",
        {"origin": TEXT, "destination": TEXT, "adults": INTEGER, "children": INTEGER},
        "We are {everybody} people, {children} of us children, and want a train to {cities[0]} from {cities[1]}.",
        {"everybody": pick(*_WORDS[5:]), "children": pick(*_WORDS[2:5]), "cities": some(CITIES, 2)},
        lambda everybody, children, cities: {
            "origin": cities[1],
            "destination": cities[0],
            "adults": _COUNTS[everybody] - _COUNTS[children],
            "children": _COUNTS[children],
        },
    ),
    Tool(
        "log_run",
        HARD,
        "Log a run in kilometres and minutes.",
        {"kilometres": NUMBER, "minutes": INTEGER},
        "I ran {metres} metres in half an hour and {more} minutes.",
        {"metres": whole(1500, 8500, 500), "more": whole(2, 9)},
        lambda metres, more: {"kilometres": metres / 1000, "minutes": 30 + more},
    ),
    Tool(
        "refund_order",
        HARD,
        "Refund a part of an order.",
        {"order_id": INTEGER, "amount": NUMBER, "reason": one_of("damaged", "late", "wrong item")},
        "Order {order} over {paid} dollars came {how}; give back half of it.",
        {"order": whole(1000, 9999), "paid": whole(20, 80, 2), "how": pick(*_REASONS)},
        lambda order, paid, how: {"order_id": order, "amount": paid // 2, "reason": _REASONS[how]},
    ),
)


def _content(tool: Tool, draw: random.Random) -> Content:
    values = draw_values(tool.draws, draw)
    arguments = values if tool.mean is None else tool.mean(**values)
    beside = draw.sample([each for each in TOOLS if each is not tool], _BESIDE[tool.level])
    offered = draw.sample([tool, *beside], 1 + len(beside))
    system = (
        'Call one tool. Answer with JSON such as {"name": "tool", "arguments": {"key": "value"}}.\nTools:\n'
        + "\n".join(each.shown for each in offered)
    )
    schemas = [each.schema for each in offered]
    first = next(iter(tool.parameters))
    wrong = {**arguments, first: another(arguments[first], tool.parameters[first])}
    return Content(
        chat(system, tool.say.format(**values)),
        schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
        {"kind": "tool-call", "calls": [{"name": tool.name, "arguments": arguments}]},
        [json.dumps({"name": tool.name, "arguments": arguments})],
        [json.dumps({"name": tool.name, "arguments": wrong})],
    )


TEMPLATES = tuple(Template(f"tool-{each.name}", "tool_calls", each.level, partial(_content, each)) for each in TOOLS)
