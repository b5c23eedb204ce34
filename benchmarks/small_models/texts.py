"""Questions over a short text, answered as JSON: found in one sentence, among sentences like it, or by joining two."""

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
    PEOPLE,
    TEXT,
    Content,
    Schema,
    Template,
    json_content,
    one_of,
)

Draw = random.Random
Asked = tuple[str, str, Any]
"""A text, a question about it, and the answer."""

FIRST_NAMES = tuple(each.split()[0] for each in PEOPLE)
JOBS = ("baker", "pilot", "nurse", "teacher", "gardener", "painter")


@dataclass(frozen=True)
class Question:
    """Texts of one kind, and a question about them."""

    name: str
    level: str
    answer: Schema
    ask: Callable[[Draw], Asked]


def _lives(d: Draw) -> Asked:
    person, city, job = d.choice(FIRST_NAMES), d.choice(CITIES), d.choice(JOBS)
    return f"{person} lives in {city}. {person} is a {job}.", f"Where does {person} live?", city


def _job(d: Draw) -> Asked:
    person, city, job = d.choice(FIRST_NAMES), d.choice(CITIES), d.choice(JOBS)
    return f"{person} lives in {city}. {person} is a {job}.", f"What is {person}'s job?", job


def _opening(d: Draw) -> Asked:
    hour = d.randint(7, 11)
    return f"The museum opens at {hour} o'clock and is free for children.", "At which hour does the museum open?", hour


def _colour(d: Draw) -> Asked:
    colour, goods = d.choice(COLOURS), d.choice(GOODS)
    return f"On the table stands a {colour} {goods}, a present from a friend.", f"Which colour has the {goods}?", colour


def _closed(d: Draw) -> Asked:
    day = d.choice(DAYS)
    return f"The library is open every day but {day}, when it is closed.", "On which day is the library closed?", day


def _population(d: Draw) -> Asked:
    city, people = d.choice(CITIES), d.randint(20, 90) * 1000
    return f"The old town of {city} has {people} inhabitants.", "How many inhabitants are there?", people


def _who_lives(d: Draw) -> Asked:
    people, cities = d.sample(FIRST_NAMES, 3), d.sample(CITIES, 3)
    text = " ".join(f"{person} lives in {city}." for person, city in zip(people, cities, strict=True))
    return text, f"Who lives in {cities[1]}?", people[1]


def _which_job(d: Draw) -> Asked:
    people, jobs = d.sample(FIRST_NAMES, 4), d.sample(JOBS, 4)
    text = " ".join(f"{person} is a {job}." for person, job in zip(people, jobs, strict=True))
    return text, f"What is {people[2]}'s job?", jobs[2]


def _price_of(d: Draw) -> Asked:
    goods, prices = d.sample(GOODS, 3), d.sample(range(5, 90), 3)
    text = ", ".join(f"a {name} costs {price} euros" for name, price in zip(goods, prices, strict=True))
    return f"In this shop {text}.", f"How many euros does the {goods[1]} cost?", prices[1]


def _changed(d: Draw) -> Asked:
    old, new = d.sample(DAYS, 2)
    text = f"The choir used to meet on {old}. Since spring it meets on {new}, because the hall is taken."
    return text, "On which day does the choir meet now?", new


def _before_change(d: Draw) -> Asked:
    old, new = d.sample(CITIES, 2)
    text = f"The company moved its office from {old} to {new} last year. Most people came along."
    return text, "In which city was the office before?", old


def _true_statement(d: Draw) -> Asked:
    person, goods, colour, other = d.choice(FIRST_NAMES), d.choice(GOODS), *d.sample(COLOURS, 2)
    asked = d.choice((colour, other))
    text = f"{person} wanted a {other} {goods}, but bought a {colour} one, since there was no other."
    return text, f"Did {person} buy a {asked} {goods}?", asked == colour


def _receiver(d: Draw) -> Asked:
    giver, receiver, other = d.sample(FIRST_NAMES, 3)
    goods = d.choice(GOODS)
    text = f"{giver} gave {receiver} a {goods}. {other} had given {giver} the same one a year before."
    return text, f"To whom did {giver} give the {goods}?", receiver


def _passive(d: Draw) -> Asked:
    first, second = d.sample(FIRST_NAMES, 2)
    text = f"{first} was beaten by {second} in the last game, though {first} had won all games before."
    return text, "Who won the last game?", second


def _older(d: Draw) -> Asked:
    people, ages = d.sample(FIRST_NAMES, 3), d.sample(range(20, 70), 3)
    text = " ".join(f"{person} is {age} years old." for person, age in zip(people, ages, strict=True))
    return text, "Who is the oldest of them?", people[ages.index(max(ages))]


def _two_hops(d: Draw) -> Asked:
    people, cities, jobs = d.sample(FIRST_NAMES, 3), d.sample(CITIES, 3), d.sample(JOBS, 3)
    lives = " ".join(f"The {job} lives in {city}." for job, city in zip(jobs, cities, strict=True))
    works = " ".join(f"{person} is the {job}." for person, job in zip(people, jobs, strict=True))
    return f"{lives} {works}", f"In which city does {people[1]} live?", cities[1]


def _counted(d: Draw) -> Asked:
    people = d.sample(FIRST_NAMES, 5)
    colours = [d.choice(COLOURS[:2]) for _ in people]
    text = " ".join(f"{person} wears a {colour} hat." for person, colour in zip(people, colours, strict=True))
    return text, f"How many people wear a {COLOURS[0]} hat?", colours.count(COLOURS[0])


def _order(d: Draw) -> Asked:
    first, second, third = d.sample(FIRST_NAMES, 3)
    text = f"{second} arrived after {first}. {third} arrived after {second}."
    return text, "Who arrived first?", first


def _day_after(d: Draw) -> Asked:
    number = d.randint(0, 4)
    text = f"The parcel was sent on {DAYS[number]} and took two days. It was signed for by a neighbour."
    return text, "On which day did it arrive?", DAYS[number + 2]


def _taller(d: Draw) -> Asked:
    first, second, third = d.sample(FIRST_NAMES, 3)
    return f"{first} is taller than {second}. {third} is taller than {first}.", "Who is the shortest?", second


def _left_over(d: Draw) -> Asked:
    apples, gone = d.randint(10, 30), d.randint(2, 8)
    person = d.choice(FIRST_NAMES)
    text = f"{person} picked {apples} apples and 3 pears, and gave {gone} apples to a friend."
    return text, f"How many apples does {person} have left?", apples - gone


def _allowed(d: Draw) -> Asked:
    age = d.choice((9, 11, 13, 15))
    person, tall = d.choice(FIRST_NAMES), d.choice((130, 150))
    text = "Only who is older than 10 years and taller than 140 cm may ride."
    return f"{text} {person} is {age} years old and {tall} cm tall.", f"May {person} ride?", age > 10 and tall > 140


QUESTIONS = (
    Question("lives", EASY, TEXT, _lives),
    Question("job", EASY, TEXT, _job),
    Question("opening", EASY, INTEGER, _opening),
    Question("colour", EASY, one_of(*COLOURS), _colour),
    Question("closed", EASY, one_of(*DAYS), _closed),
    Question("inhabitants", EASY, INTEGER, _population),
    Question("who-lives", MIDDLE, TEXT, _who_lives),
    Question("which-job", MIDDLE, TEXT, _which_job),
    Question("price-of", MIDDLE, INTEGER, _price_of),
    Question("changed", MIDDLE, one_of(*DAYS), _changed),
    Question("before", MIDDLE, TEXT, _before_change),
    Question("statement", MIDDLE, BOOLEAN, _true_statement),
    Question("receiver", MIDDLE, TEXT, _receiver),
    Question("passive", MIDDLE, TEXT, _passive),
    Question("oldest", HARD, TEXT, _older),
    Question("two-hops", HARD, TEXT, _two_hops),
    Question("counted", HARD, INTEGER, _counted),
    Question("first", HARD, TEXT, _order),
    Question("day-after", HARD, one_of(*DAYS), _day_after),
    Question("shortest", HARD, TEXT, _taller),
    Question("left-over", HARD, INTEGER, _left_over),
    Question("allowed", HARD, BOOLEAN, _allowed),
)


def _content(question: Question, draw: Draw) -> Content:
    text, asked, answer = question.ask(draw)
    system = 'Answer the question about the text with JSON: {"answer": ...}. Give the answer alone, no sentence.'
    return json_content(system, f"{text}\n\n{asked}", {"answer": question.answer}, {"answer": answer})


TEMPLATES = tuple(
    Template(f"text-{each.name}", "text_questions", each.level, partial(_content, each)) for each in QUESTIONS
)
