import pytest

from gridwrap import Column, Table, text_width


def table(*rows, **options):
    made = Table([Column("name", **options), Column("n", align="right")])
    for row in rows:
        made.add(*row)
    return made.render().split("\n")


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(("ann", 5), ("roberta", 1234)) == [
        "name    |    n",
        "--------+-----",
        "ann     |    5",
        "roberta | 1234",
    ]


def test_a_long_cell_is_wrapped():
    assert table(("ann of the hill", 5), max_width=6) == [
        "name   | n",
        "-------+--",
        "ann of | 5",
        "the    |  ",
        "hill   |  ",
    ]


def test_a_cell_may_hold_line_ends():
    assert table(("a\nb", 5)) == ["name | n", "-----+--", "a    | 5", "b    |  "]


def test_a_row_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="a row has 2 cells, got 1"):
        table(("ann",))


def test_senseless_columns_are_refused():
    with pytest.raises(ValueError, match="align is one of"):
        Column("name", align="middle")
    with pytest.raises(ValueError, match="at least 2 columns"):
        Column("name", max_width=1)
    with pytest.raises(ValueError, match="at least one column"):
        Table([])
