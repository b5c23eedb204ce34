"""Expressions rewritten so that they are cheap to answer."""

from sievequery.nodes import And, Compare, Node, Not, Or

OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def simplify(node: Node) -> Node:
    """An expression of the same meaning without double negations and without nested chains of one kind.

    Negations are pushed down to the comparisons, where indexes can help.
    """
    match node:
        case Not(operand):
            return negate(operand)
        case And(operands):
            return chain(And, [simplify(operand) for operand in operands])
        case Or(operands):
            return chain(Or, [simplify(operand) for operand in operands])
        case _:
            return node


def negate(node: Node) -> Node:
    """The simplified opposite of an expression."""
    match node:
        case Not(operand):
            return simplify(operand)
        case And(operands):
            return chain(Or, [negate(operand) for operand in operands])
        case Or(operands):
            return chain(And, [negate(operand) for operand in operands])
        case Compare(field, operator, value):
            return Compare(field, OPPOSITE[operator], value)


def chain(kind: type[And] | type[Or], operands: list[Node]) -> Node:
    """One flat conjunction or disjunction, each operand once."""
    flat: dict[Node, None] = {}
    for operand in operands:
        flat.update(dict.fromkeys(operand.operands if isinstance(operand, kind) else [operand]))
    return next(iter(flat)) if len(flat) == 1 else kind(tuple(flat))
