import pytest

from sievequery import parse
from sievequery.simplify import simplify


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not not a = 1", "a = 1"),
        ("not a = 1", "a != 1"),
        ("not a != 1", "a = 1"),
        ("not (a = 1 and b = 2)", "a != 1 or b != 2"),
        ("not (a = 1 or not b = 2)", "a != 1 and b = 2"),
        ("a = 1 and (b = 2 and c = 3)", "a = 1 and b = 2 and c = 3"),
        ("a = 1 or (a = 1 or a = 1)", "a = 1"),
        ("not (a = 1 or (b = 2 and c = 3))", "a != 1 and (b != 2 or c != 3)"),
        ("not not a < 1", "a < 1"),
    ],
    ids=range(9),
)
def test_simplified_expressions(text, expected):
    assert str(simplify(parse(text))) == expected
