from datetime import date
from decimal import Decimal

import pytest

from rowjoin import Kind, TableError, read_csv, write_csv


def test_cells_become_values():
    table = read_csv("a,b,c,d,e\n1,0.50,true,2024-02-29,x\n,,,,\n")
    assert list(table.rows) == [(1, Decimal("0.50"), True, date(2024, 2, 29), "x"), (None,) * 5]


def test_a_kind_may_be_given():
    assert read_csv("code\n12\n13\n", {"code": Kind.TEXT}).values("code") == ["12", "13"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there are no columns"),
        ("a,a\n", "line 1: a column is named twice"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells for 2 columns"),
        ("n\n1\nx\n", "line 3: 'x' is not of kind whole"),
    ],
    ids=["empty", "twice", "short", "kind"],
)
def test_what_is_no_table_is_refused(text, message):
    with pytest.raises(TableError, match=message):
        read_csv(text, {"n": Kind.WHOLE})


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n-2,\n",
        "a\n0.50\n1.00\n",
        'a,b\n"x, y","say ""hi"""\n',
        "a,b\ntrue,2024-02-29\n",
    ],
    ids=range(4),
)
def test_what_is_read_is_written_as_it_was(text):
    assert write_csv(read_csv(text)) == text
