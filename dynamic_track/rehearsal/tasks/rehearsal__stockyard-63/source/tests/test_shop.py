import pytest

from stockyard import OutOfStock, Shop, State, WrongState


def shop(**goods):
    made = Shop()
    for name, quantity in goods.items():
        made.receive(name, quantity)
    return made


def submitted(made, *lines):
    order = made.order(*lines)
    made.submit(order)
    return order


def left(made, *goods):
    return [made.stock.available(name) for name in goods]


def test_a_placed_order_has_its_goods_reserved():
    made = shop(bolt=10, nut=3)
    order = submitted(made, ("bolt", 4), ("nut", 3))
    assert order.state is State.PLACED
    assert left(made, "bolt", "nut") == [6, 0]


def test_several_lines_may_name_the_same_goods():
    made = shop(bolt=10)
    assert submitted(made, ("bolt", 4), ("bolt", 6)).state is State.PLACED
    assert left(made, "bolt") == [0]


def test_an_order_without_its_goods_waits():
    made = shop(bolt=3)
    order = submitted(made, ("bolt", 4))
    assert order.state is State.WAITING
    assert made.waiting == [order]
    assert left(made, "bolt") == [3]


def test_the_oldest_waiting_order_goes_first():
    made = shop()
    first, second, third = (submitted(made, ("bolt", quantity)) for quantity in (5, 3, 2))
    assert made.receive("bolt", 4) == [second]
    assert made.waiting == [first, third]
    assert made.receive("bolt", 4) == [first]


def test_a_waiting_order_may_be_cancelled():
    made = shop()
    order = submitted(made, ("bolt", 1))
    made.cancel(order)
    assert made.waiting == []
    assert made.receive("bolt", 1) == []


def test_a_cancelled_order_frees_its_goods():
    made = shop(bolt=10)
    order = submitted(made, ("bolt", 8))
    later = submitted(made, ("bolt", 7))
    assert made.cancel(order) == [later]
    assert left(made, "bolt") == [3]


def test_shipping_and_returning():
    made = shop(bolt=10)
    order = submitted(made, ("bolt", 8))
    made.ship(order)
    assert (made.stock.on_hand("bolt"), made.stock.reserved("bolt")) == (2, 0)
    later = submitted(made, ("bolt", 7))
    assert made.take_back(order) == [later]
    assert left(made, "bolt") == [3]


def test_what_cannot_come_next_is_refused():
    made = shop(bolt=10)
    order = submitted(made, ("bolt", 8))
    with pytest.raises(WrongState, match="is placed, and cannot become waiting"):
        made.submit(order)
    made.ship(order)
    for method in (made.ship, made.cancel):
        with pytest.raises(WrongState, match="is shipped"):
            method(order)
    with pytest.raises(WrongState, match="cannot be amended"):
        made.amend(order, 0, 1)


def test_amending_a_placed_order():
    made = shop(bolt=10)
    order = submitted(made, ("bolt", 4))
    made.amend(order, 0, 3)
    assert left(made, "bolt") == [7]
    made.amend(order, 0, 9)
    assert left(made, "bolt") == [1]
    made.ship(order)
    assert made.stock.on_hand("bolt") == 1


def test_amending_a_placed_order_beyond_the_stock_is_refused():
    made = shop(bolt=10)
    with pytest.raises(OutOfStock, match="bolt wanted"):
        made.amend(submitted(made, ("bolt", 4)), 0, 11)


def test_amending_a_waiting_order_may_place_it():
    made = shop(bolt=3)
    order = submitted(made, ("bolt", 4))
    assert made.amend(order, 0, 3) == [order]
    assert left(made, "bolt") == [0]


def test_what_an_amendment_frees_goes_to_those_who_wait():
    made = shop(bolt=10)
    order, later = submitted(made, ("bolt", 8)), submitted(made, ("bolt", 5))
    assert made.amend(order, 0, 5) == [later]
