"""What can become of an order."""

from enum import Enum


class State(Enum):
    """How far an order is."""

    DRAFT = "draft"
    WAITING = "waiting"
    PLACED = "placed"
    SHIPPED = "shipped"
    RETURNED = "returned"
    CANCELLED = "cancelled"


NEXT = {
    State.DRAFT: {State.WAITING, State.PLACED, State.CANCELLED},
    State.WAITING: {State.PLACED, State.CANCELLED},
    State.PLACED: {State.SHIPPED, State.CANCELLED},
    State.SHIPPED: {State.RETURNED},
    State.RETURNED: set(),
    State.CANCELLED: set(),
}


class WrongState(RuntimeError):
    """Something that cannot be done with an order as far as it is."""
