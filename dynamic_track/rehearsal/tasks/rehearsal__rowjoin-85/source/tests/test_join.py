import pytest

from rowjoin import join, read_csv, write_csv

ORDERS = read_csv("order,customer,total\n1,7,19.90\n2,8,5.00\n3,,1.00\n4,7,2.50\n5,9,8.00\n")
CUSTOMERS = read_csv("customer,name\n7,Ann\n8,Bob\n,Nobody\n")


def test_rows_with_the_same_key_belong_together():
    joined = join(ORDERS, CUSTOMERS, on="customer").select("order", "name")
    assert list(joined.rows) == [(1, "Ann"), (2, "Bob"), (4, "Ann")]


def test_a_left_join_keeps_rows_without_a_partner():
    joined = join(ORDERS, CUSTOMERS, on="customer", how="left").select("order", "name")
    assert list(joined.rows) == [(1, "Ann"), (2, "Bob"), (3, None), (4, "Ann"), (5, None)]


def test_several_partners_make_several_rows():
    joined = join(CUSTOMERS, ORDERS, on="customer").select("name", "order")
    assert list(joined.rows) == [("Ann", 1), ("Ann", 4), ("Bob", 2)]


def test_keys_of_different_kinds_are_compared_by_their_text():
    left = read_csv("key,a\n7,x\n8,y\n")
    right = read_csv("key,b\n7,v\nseven,w\n")
    assert list(join(left, right, on="key").rows) == [(7, "x", "v")]


def test_columns_that_both_have_are_told_apart():
    joined = join(read_csv("k,n\n1,a\n"), read_csv("k,n\n1,b\n"), on="k")
    assert write_csv(joined) == "k,n,n_2\n1,a,b\n"


def test_unknown_columns_and_kinds_of_join_are_refused():
    with pytest.raises(KeyError, match="no column 'zip' among customer, name"):
        CUSTOMERS.select("zip")
    with pytest.raises(ValueError, match="how is inner or left"):
        join(ORDERS, CUSTOMERS, on="customer", how="right")
