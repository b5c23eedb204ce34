"""What is there, and what of it is spoken for."""

from collections import Counter


class OutOfStock(LookupError):
    """There is not enough that nobody has reserved."""

    def __init__(self, goods: str, wanted: int, available: int) -> None:
        super().__init__(f"{wanted} of {goods} wanted, {available} available")
        self.goods = goods


class Stock:
    """Quantities by goods."""

    def __init__(self) -> None:
        self._on_hand: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()

    def on_hand(self, goods: str) -> int:
        """What lies in the shelf."""
        return self._on_hand[goods]

    def reserved(self, goods: str) -> int:
        """What of it is spoken for."""
        return self._reserved[goods]

    def available(self, goods: str) -> int:
        """What can still be reserved."""
        return self._on_hand[goods] - self._reserved[goods]

    def receive(self, goods: str, quantity: int) -> None:
        """Puts goods into the shelf."""
        if quantity < 1:
            raise ValueError(f"a quantity is at least 1, got {quantity}")
        self._on_hand[goods] += quantity

    def reserve(self, goods: str, quantity: int) -> None:
        """Speaks for goods.

        Raises:
            OutOfStock: there are not so many available.
        """
        if quantity > self.available(goods):
            raise OutOfStock(goods, quantity, self.available(goods))
        self._reserved[goods] += quantity

    def release(self, goods: str, quantity: int) -> None:
        """Gives up a reservation.

        Raises:
            ValueError: there are not so many reserved.
        """
        if quantity > self._reserved[goods]:
            raise ValueError(f"{quantity} of {goods} to release, {self._reserved[goods]} reserved")
        self._reserved[goods] -= quantity

    def ship(self, goods: str, quantity: int) -> None:
        """Takes reserved goods out of the shelf.

        Raises:
            ValueError: there are not so many reserved.
        """
        self.release(goods, quantity)
        self._on_hand[goods] -= quantity
