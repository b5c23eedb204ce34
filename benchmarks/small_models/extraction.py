"""Extraction to JSON: clean fields that are copied, fields among others like them, fields to be worked out."""

from __future__ import annotations

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
    MONTHS,
    NUMBER,
    PEOPLE,
    TEXT,
    Content,
    Drawn,
    Schema,
    Template,
    cents,
    draw_values,
    json_content,
    list_of,
    one_of,
    pick,
    whole,
)

Draw = random.Random
Found = tuple[str, dict[str, Any]]
"""A text, and what is to be taken from it."""


@dataclass(frozen=True)
class Form:
    """Texts of one kind, and the fields to take from them."""

    name: str
    level: str
    fields: dict[str, Schema]
    write: Callable[[Draw], Found]
    hint: str = ""
    """How values are to be written."""


def lines(**draws: Drawn) -> Callable[[Draw], Found]:
    """Texts that have each field on a line of its own, by its name."""

    def write(draw: Draw) -> Found:
        values = draw_values(draws, draw)
        return "\n".join(f"{name.capitalize()}: {value}" for name, value in values.items()), values

    return write


def _contact(d: Draw) -> Found:
    person = d.choice(PEOPLE)
    mail = f"{person.split()[0].lower()}@example.org"
    return f"Name: {person}\nEmail: {mail}", {"name": person, "email": mail}


def _resident(d: Draw) -> Found:
    person, age, city = d.choice(PEOPLE), d.randint(20, 70), d.choice(CITIES)
    text = f"{person}, {age} years old, lives in {city} and has worked there for {d.randint(2, 9)} years."
    return text, {"name": person, "age": age, "city": city}


def _member(d: Draw) -> Found:
    joined, years = d.randint(12, 30), d.randint(1, 5)
    text = f"It is 2026. {d.choice(PEOPLE)} joined the club at {joined}, which was {years} years ago."
    return text, {"adult": joined + years >= 18, "born": 2026 - joined - years}


def _invoice(d: Draw) -> Found:
    number, price, shipping = d.randint(100, 999), d.randint(20, 200), d.randint(3, 15)
    person = d.choice(PEOPLE)
    text = f"Invoice {number} for {person}. Goods {price}.00, shipping {shipping}.00. Please pay within 14 days."
    return text, {"total": price + shipping, "invoice": number, "customer": person}


def _two_people(d: Draw) -> Found:
    seller, buyer = d.sample(PEOPLE, 2)
    city, price = d.choice(CITIES), d.randint(100, 900)
    text = f"{seller} from {city} sold an old piano to {buyer} for {price} euros. {buyer.split()[0]} collects it soon."
    return text, {"buyer": buyer, "seller": seller, "price": price}


def _rescheduled(d: Draw) -> Found:
    old, new = d.sample(DAYS, 2)
    hour = d.randint(8, 17)
    text = f"The workshop planned for {old} at {hour}:00 had to be moved: it is now on {new}, at the same time."
    return text, {"day": new, "hour": hour}


def _stock(d: Draw) -> Found:
    first, second, third = d.sample(GOODS, 3)
    counts = d.sample(range(2, 40), 2)
    text = f"In stock: {counts[0]} of the {first}, {counts[1]} of the {second}. The {third} is sold out."
    return text, {"sold_out": third, "in_stock": [first, second]}


def _date(d: Draw) -> Found:
    day, month, year = d.randint(10, 28), d.randint(1, 12), d.randint(2021, 2029)
    text = f"The contract was signed in {d.choice(CITIES)} on {day} {MONTHS[month - 1]} {year} by both parties."
    return text, {"date": f"{year}-{month:02}-{day:02}"}


def _flight(d: Draw) -> Found:
    origin, destination = d.sample(CITIES, 2)
    hour, minute, length = d.randint(6, 12), d.choice((5, 15, 30)), d.randint(2, 6)
    text = (
        f"Flight {d.randint(100, 999)} leaves {origin} at {hour}:{minute:02} and takes {length} hours to {destination}."
    )
    return text, {"arrival": f"{hour + length:02}:{minute:02}", "from": origin, "to": destination}


def _complaint(d: Draw) -> Found:
    goods, days = d.choice(GOODS), d.randint(3, 20)
    wants, told = d.choice(
        (("my money back", "refund"), ("a new one", "replacement"), ("somebody to mend it", "repair"))
    )
    text = (
        f"I bought a {goods} {days} days ago and it broke at once. I have written twice. I want {wants}, nothing else."
    )
    return text, {"wants": told, "product": goods, "days_owned": days}


def _scores(d: Draw) -> Found:
    names = d.sample([each.split()[0] for each in PEOPLE], 3)
    points = d.sample(range(10, 99), 3)
    text = "; ".join(f"{name} has {point} points" for name, point in zip(names, points, strict=True)) + "."
    best = points.index(max(points))
    return text, {"winner": names[best], "points": points[best]}


def _shifts(d: Draw) -> Found:
    person, day = d.choice(PEOPLE), d.choice(DAYS)
    start, end = d.randint(6, 10), d.randint(13, 18)
    text = f"On {day} {person} works from {start}:00 to {end}:00, with a break of one hour that is not paid."
    return text, {"paid_hours": end - start - 1, "person": person}


def _recipe(d: Draw) -> Found:
    people, flour, factor = d.choice((2, 4)), d.randint(2, 6) * 50, d.choice((2, 3))
    text = f"For {people} people take {flour} g of flour. We will be {people * factor} people this time."
    return text, {"flour_g": flour * factor, "people": people * factor}


def _rooms(d: Draw) -> Found:
    hotel, rooms, taken = d.choice(CITIES), d.randint(20, 60), d.randint(5, 15)
    text = f"Hotel {hotel} has {rooms} rooms. Today {taken} of them are taken, and 2 guests leave tomorrow."
    return text, {"free_rooms": rooms - taken, "hotel": hotel}


def _address(d: Draw) -> Found:
    person, city = d.choice(PEOPLE), d.choice(CITIES)
    number, code = d.randint(1, 200), d.randint(10000, 99999)
    text = f"{person}\nElm Street {number}\n{code} {city}"
    return text, {"name": person, "street": f"Elm Street {number}", "postal_code": code, "city": city}


def _meeting(d: Draw) -> Found:
    here, there, absent = d.sample(PEOPLE, 3)
    text = (
        f"Minutes, {d.choice(DAYS)}. Present: {here}, {there}. Absent: {absent}. Topic: budget of {d.choice(CITIES)}."
    )
    return text, {"absent": absent, "present": [here, there]}


def _car(d: Draw) -> Found:
    year, distance, price = d.randint(2005, 2022), d.randint(20, 180) * 1000, d.randint(2, 20) * 1000
    colour = d.choice(COLOURS)
    text = f"For sale: {colour} car, built {year}, {distance} km, {price} euros, new tyres."
    return text, {"price": price, "year": year, "kilometres": distance, "colour": colour}


def _negated(d: Draw) -> Found:
    yes, no = d.sample(COLOURS, 2)
    person = d.choice(PEOPLE)
    text = (
        f"{person} did not take the {no} coat, though it was cheaper, but the {yes} one. She pays by card, not in cash."
    )
    return text, {"colour": yes, "payment": "card"}


def _readings(d: Draw) -> Found:
    values = d.sample(range(11, 39), 4)
    days = d.sample(DAYS, 4)
    text = ", ".join(f"{day} {value} degrees" for day, value in zip(days, values, strict=True)) + "."
    return text, {"coldest_day": days[values.index(min(values))], "highest": max(values)}


FORMS = (
    Form("contact", EASY, {"name": TEXT, "email": TEXT}, _contact),
    Form("book", EASY, {"author": TEXT, "year": INTEGER}, lines(author=pick(*PEOPLE), year=whole(1950, 2020))),
    Form("parcel", EASY, {"city": TEXT, "weight": INTEGER}, lines(city=pick(*CITIES), weight=whole(1, 30))),
    Form(
        "pet",
        EASY,
        {"animal": one_of("dog", "cat", "horse"), "age": INTEGER},
        lines(animal=pick("dog", "cat", "horse"), age=whole(1, 15)),
    ),
    Form(
        "item",
        EASY,
        {"product": TEXT, "colour": one_of(*COLOURS)},
        lines(product=pick(*GOODS), colour=pick(*COLOURS)),
    ),
    Form("visit", EASY, {"visitor": TEXT, "day": one_of(*DAYS)}, lines(visitor=pick(*PEOPLE), day=pick(*DAYS))),
    Form("price", EASY, {"product": TEXT, "price": NUMBER}, lines(product=pick(*GOODS), price=cents(3, 90))),
    Form("address", MIDDLE, {"name": TEXT, "street": TEXT, "postal_code": INTEGER, "city": TEXT}, _address),
    Form("resident", MIDDLE, {"name": TEXT, "age": INTEGER, "city": TEXT}, _resident),
    Form("car", MIDDLE, {"price": INTEGER, "year": INTEGER, "kilometres": INTEGER, "colour": one_of(*COLOURS)}, _car),
    Form("piano", MIDDLE, {"buyer": TEXT, "seller": TEXT, "price": INTEGER}, _two_people),
    Form("workshop", MIDDLE, {"day": one_of(*DAYS), "hour": INTEGER}, _rescheduled),
    Form("stock", MIDDLE, {"sold_out": TEXT, "in_stock": list_of(TEXT)}, _stock),
    Form("minutes", MIDDLE, {"absent": TEXT, "present": list_of(TEXT)}, _meeting),
    Form("coat", MIDDLE, {"colour": one_of(*COLOURS), "payment": one_of("card", "cash")}, _negated),
    Form(
        "complaint",
        MIDDLE,
        {"wants": one_of("refund", "replacement", "repair"), "product": TEXT, "days_owned": INTEGER},
        _complaint,
    ),
    Form(
        "invoice", HARD, {"total": NUMBER, "invoice": INTEGER, "customer": TEXT}, _invoice, "The total is all to pay."
    ),
    Form("contract", HARD, {"date": TEXT}, _date, "Write the date as YYYY-MM-DD."),
    Form("flight", HARD, {"arrival": TEXT, "from": TEXT, "to": TEXT}, _flight, "Write times as HH:MM."),
    Form("scores", HARD, {"winner": TEXT, "points": INTEGER}, _scores, "The winner has the most points."),
    Form("shift", HARD, {"paid_hours": INTEGER, "person": TEXT}, _shifts),
    Form("recipe", HARD, {"flour_g": INTEGER, "people": INTEGER}, _recipe, "Give the flour for all people this time."),
    Form("hotel", HARD, {"free_rooms": INTEGER, "hotel": TEXT}, _rooms),
    Form("readings", HARD, {"coldest_day": one_of(*DAYS), "highest": INTEGER}, _readings),
    Form("member", HARD, {"adult": BOOLEAN, "born": INTEGER}, _member, "A person of 18 or older today is adult."),
)


def _content(form: Form, draw: Draw) -> Content:
    text, values = form.write(draw)
    system = f"Take {', '.join(form.fields)} from the text. Answer with one JSON object. {form.hint}".strip()
    return json_content(system, text, form.fields, values)


TEMPLATES = tuple(Template(f"extract-{each.name}", "extraction", each.level, partial(_content, each)) for each in FORMS)
