import pytest

from inkstencil import Environment


def render(text, **data):
    return Environment().template(text).render(data)


def test_names_of_a_loop_are_gone_after_it():
    text = "{% for x in xs %}{% set y = x %}{{ y }}{% endfor %}[{{ x }}{{ y }}{{ loop }}]"
    assert render(text, xs=["a", "b"]) == "ab[]"


def test_a_loop_sees_the_names_around_it():
    assert render("{% set sep = '/' %}{% for x in xs %}{{ sep }}{{ x }}{% endfor %}", xs=["a", "b"]) == "/a/b"


def test_an_include_sees_all_names():
    environment = Environment({"row": "{{ loop.number }}. {{ item.name|upper }}\n"})
    page = environment.template("{% for item in items %}{% include row %}{% endfor %}")
    assert page.render({"items": [{"name": "tea"}, {"name": "milk"}]}) == "1. TEA\n2. MILK\n"


def test_names_of_an_include_are_gone_after_it():
    environment = Environment({"part": "{% set y = 'p' %}{{ y }}"})
    assert environment.template("{% include part %}[{{ y }}]").render() == "p[]"
