"""The parts of a parsed expression."""

from dataclasses import dataclass

Value = str | int | float | bool


@dataclass(frozen=True)
class Compare:
    """A field compared with a value."""

    field: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {write_value(self.value)}"


@dataclass(frozen=True)
class Not:
    """Holds where its operand does not."""

    operand: "Node"

    def __str__(self) -> str:
        return f"not {_nested(self.operand)}"


@dataclass(frozen=True)
class And:
    """Holds where all operands do."""

    operands: tuple["Node", ...]

    def __str__(self) -> str:
        return " and ".join(map(_nested, self.operands))


@dataclass(frozen=True)
class Or:
    """Holds where at least one operand does."""

    operands: tuple["Node", ...]

    def __str__(self) -> str:
        return " or ".join(map(_nested, self.operands))


Node = Compare | Not | And | Or


def write_value(value: Value) -> str:
    """A value as it is written in an expression."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def _nested(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)
