"""What an expression says about one record."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sievequery.nodes import And, Compare, Node, Not, Value

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def kind(value: object) -> str | None:
    """The kind of a value, within which values compare; None for what cannot be compared at all."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def holds(node: Node, record: Mapping[str, object]) -> bool:
    """Whether the expression holds for a record."""
    match node:
        case Compare(field, "!=", value):
            return not compares(record.get(field), "=", value)
        case Compare(field, symbol, value):
            return compares(record.get(field), symbol, value)
        case Not(operand):
            return not holds(operand, record)
        case And(operands):
            return all(holds(operand, record) for operand in operands)
        case _:
            return any(holds(operand, record) for operand in node.operands)


def compares(found: object, symbol: str, value: Value) -> bool:
    """Whether a value of a record, None for a missing one, compares so with the value of an expression."""
    return kind(found) == kind(value) and OPERATORS[symbol](found, value)
