import pytest

from inkstencil import Environment, TemplateError


def render(text, **data):
    return Environment().template(text).render(data)


def test_text_and_values_are_written():
    assert render("Hi {{ name }}!{# a comment #}", name="Ann") == "Hi Ann!"
    assert render("{{ a.b }} {{ a.c.1 }} {{ 'x' }} {{ 5 }}", a={"b": 1, "c": [2, 3]}) == "1 3 x 5"


def test_what_is_missing_is_written_as_nothing():
    assert render("[{{ a }}{{ b.c }}]", b=None) == "[]"


def test_filters_are_applied_in_their_order():
    assert render("{{ names|join|upper }} {{ names|length }} {{ nobody|default }}", names=["a", "b"]) == "A, B 2 -"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n{{ b", "line 2: {{ is not closed"),
        ("{% if a %}", "there is no endif"),
        ("{% for x in %}", "line 1: unknown tag"),
        ("{{ a b }}", "line 1: not a value"),
        ("{% include x %}", "no template 'x'"),
        ("{{ a|shout }}", "no filter 'shout'"),
    ],
    ids=range(6),
)
def test_what_is_no_template_is_refused(text, message):
    with pytest.raises(TemplateError) as refused:
        render(text)
    assert str(refused.value).startswith(message)
