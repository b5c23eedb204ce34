"""Orders."""

from collections.abc import Iterable
from dataclasses import dataclass

from stockyard.state import NEXT, State, WrongState


@dataclass(frozen=True)
class Line:
    """So much of some goods."""

    goods: str
    quantity: int

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError(f"a line has a quantity of at least 1, got {self.quantity}")


class Order:
    """What somebody wants, and how far it is."""

    def __init__(self, number: int, lines: Iterable[Line]) -> None:
        self.number = number
        self.lines = list(lines)
        self._state = State.DRAFT
        if not self.lines:
            raise ValueError("an order has at least one line")

    @property
    def state(self) -> State:
        """How far it is."""
        return self._state

    def require(self, state: State) -> None:
        """Refuses what leads to a state that cannot come next.

        Raises:
            WrongState: it cannot.
        """
        if state not in NEXT[self._state]:
            raise WrongState(f"order {self.number} is {self._state.value}, and cannot become {state.value}")

    def become(self, state: State) -> None:
        """Goes on to a state.

        Raises:
            WrongState: it cannot come next.
        """
        self.require(state)
        self._state = state

    def change_line(self, position: int, quantity: int) -> None:
        """Gives a line another quantity."""
        self.lines[position] = Line(self.lines[position].goods, quantity)
