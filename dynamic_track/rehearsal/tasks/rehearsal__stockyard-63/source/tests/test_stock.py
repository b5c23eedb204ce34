import pytest

from stockyard import OutOfStock, Stock


def stock(**goods):
    made = Stock()
    for name, quantity in goods.items():
        made.receive(name, quantity)
    return made


def test_what_is_reserved_is_not_available():
    made = stock(bolt=10)
    made.reserve("bolt", 4)
    assert (made.on_hand("bolt"), made.reserved("bolt"), made.available("bolt")) == (10, 4, 6)


def test_only_what_is_available_can_be_reserved():
    made = stock(bolt=10)
    made.reserve("bolt", 8)
    with pytest.raises(OutOfStock, match="3 of bolt wanted, 2 available"):
        made.reserve("bolt", 3)
    assert made.available("bolt") == 2


def test_only_what_is_reserved_can_be_released_or_shipped():
    made = stock(bolt=10)
    made.reserve("bolt", 2)
    for method in (made.release, made.ship):
        with pytest.raises(ValueError, match="2 reserved"):
            method("bolt", 3)
    made.ship("bolt", 2)
    assert (made.on_hand("bolt"), made.available("bolt")) == (8, 8)


def test_unknown_goods_are_not_there():
    assert stock().available("bolt") == 0
