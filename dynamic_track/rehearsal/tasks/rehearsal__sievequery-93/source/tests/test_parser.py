import pytest

from sievequery import QueryError, parse
from sievequery.nodes import And, Compare, Not, Or

A, B, C = Compare("a", "=", 1), Compare("b", "<", 2.5), Compare("c", "!=", "it's")


def test_and_binds_tighter_than_or():
    assert parse("a = 1 or b < 2.5 and c != 'it''s'") == Or((A, And((B, C))))


def test_not_binds_tighter_than_and():
    assert parse("not a = 1 and b < 2.5") == And((Not(A), B))


def test_parentheses_group():
    assert parse("not (a = 1 or (b < 2.5))") == Not(Or((A, B)))


def test_values_have_kinds():
    assert [parse(f"x = {text}").value for text in ("-3", "0.5", "true", "'true'")] == [-3, 0.5, True, "true"]


def test_an_expression_reads_as_it_is_written():
    text = "(a = 1 or not (b < 2.5 and d = false)) and c != 'it''s'"
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a field at 0, found 'the end'"),
        ("a 1", "expected an operator at 2, found '1'"),
        ("a = b", "expected a value at 4, found 'b'"),
        ("(a = 1", "expected \\) at 6, found 'the end'"),
        ("a = 1 b", "expected the end at 6, found 'b'"),
        ("and = 1", "expected a field at 0, found 'and'"),
        ("a = ?", "unexpected '\\?' at 4"),
    ],
    ids=range(7),
)
def test_what_is_no_expression_is_refused(text, message):
    with pytest.raises(QueryError, match=message):
        parse(text)
