"""Orders and stock together."""

from itertools import count

from stockyard.order import Line, Order
from stockyard.state import State, WrongState
from stockyard.stock import OutOfStock, Stock


class Shop:
    """Takes orders and keeps them as far as the stock allows."""

    def __init__(self) -> None:
        self.stock = Stock()
        self._numbers = count(1)
        self._waiting: list[Order] = []

    @property
    def waiting(self) -> list[Order]:
        """The orders that wait for goods, the oldest first."""
        return list(self._waiting)

    def order(self, *lines: tuple[str, int]) -> Order:
        """A new order that nobody has submitted yet."""
        return Order(next(self._numbers), [Line(goods, quantity) for goods, quantity in lines])

    def submit(self, order: Order) -> State:
        """Places an order, or lets it wait; what became of it.

        Raises:
            WrongState: it was submitted before.
        """
        order.require(State.WAITING)
        try:
            self._place(order)
        except OutOfStock:
            order.become(State.WAITING)
            self._waiting.append(order)
        return order.state

    def receive(self, goods: str, quantity: int) -> list[Order]:
        """Takes goods in; the waiting orders that could be placed with them."""
        self.stock.receive(goods, quantity)
        return self._retry()

    def ship(self, order: Order) -> None:
        """Sends out a placed order.

        Raises:
            WrongState: it is not placed.
        """
        order.become(State.SHIPPED)
        for line in order.lines:
            self.stock.ship(line.goods, line.quantity)

    def take_back(self, order: Order) -> list[Order]:
        """Takes the goods of a shipped order in again; the waiting orders that could be placed with them.

        Raises:
            WrongState: it was not shipped.
        """
        order.become(State.RETURNED)
        for line in order.lines:
            self.stock.receive(line.goods, line.quantity)
        return self._retry()

    def cancel(self, order: Order) -> list[Order]:
        """Gives an order up; the waiting orders that could be placed with what it had reserved.

        Raises:
            WrongState: it was shipped, or cancelled before.
        """
        had_reserved = order.state is State.PLACED
        order.become(State.CANCELLED)
        if order in self._waiting:
            self._waiting.remove(order)
        if had_reserved:
            for line in order.lines:
                self.stock.release(line.goods, line.quantity)
        return self._retry()

    def amend(self, order: Order, position: int, quantity: int) -> list[Order]:
        """Gives a line of an order another quantity; the waiting orders that could be placed with what became free.

        Raises:
            OutOfStock: the order is placed, and there is not so much more available.
            WrongState: the order was shipped or cancelled.
        """
        if order.state not in (State.DRAFT, State.WAITING, State.PLACED):
            raise WrongState(f"order {order.number} is {order.state.value}, and cannot be amended")
        line = Line(order.lines[position].goods, quantity)
        if order.state is State.PLACED:
            self.stock.release(line.goods, order.lines[position].quantity)
            self.stock.reserve(line.goods, quantity)
        order.change_line(position, quantity)
        return self._retry()

    def _place(self, order: Order) -> None:
        for line in order.lines:
            self.stock.reserve(line.goods, line.quantity)
        order.become(State.PLACED)

    def _retry(self) -> list[Order]:
        placed = []
        for order in list(self._waiting):
            try:
                self._place(order)
            except OutOfStock:
                continue
            self._waiting.remove(order)
            placed.append(order)
        return placed
