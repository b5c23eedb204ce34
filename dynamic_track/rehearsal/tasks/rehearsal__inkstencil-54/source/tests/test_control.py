import pytest

from inkstencil import Environment


def render(text, **data):
    return Environment().template(text).render(data)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("a", "yes"), ("not a", "no"), ("a == 1", "yes"), ("a != 1", "no"), ("b", "no"), ("a == 'x'", "no")],
    ids=range(6),
)
def test_conditions_choose_a_body(condition, expected):
    assert render("{% if " + condition + " %}yes{% else %}no{% endif %}", a=1) == expected


def test_a_loop_renders_its_body_for_each_item():
    text = "{% for x in xs %}{{ loop.number }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}"
    assert render(text, xs=["a", "b", "c"]) == "1a,2b,3c"


def test_an_empty_loop_renders_the_other_body():
    assert render("{% for x in xs %}{{ x }}{% else %}none{% endfor %}", xs=[]) == "none"


def test_nested_loops_know_their_parents():
    text = "{% for row in rows %}{% for x in row %}{{ loop.parent.number }}.{{ loop.number }} {% endfor %}{% endfor %}"
    assert render(text, rows=[["a", "b"], ["c"]]) == "1.1 1.2 2.1 "


def test_a_condition_makes_no_scope():
    assert render("{% if a %}{% set b = 'x' %}{% endif %}{{ b }}", a=1) == "x"


def test_a_value_that_is_set_is_known_from_there_on():
    assert render("{{ a }}{% set a = 'x' %}{{ a }}{% set a = 'y' %}{{ a }}") == "xy"
