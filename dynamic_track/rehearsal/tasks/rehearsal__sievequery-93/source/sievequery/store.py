"""Records, and the ways to ask for them."""

from collections.abc import Iterable, Mapping

from sievequery.evaluate import holds
from sievequery.index import FieldIndex
from sievequery.nodes import And, Compare, Node, Or
from sievequery.parser import parse
from sievequery.simplify import simplify

Record = Mapping[str, object]


class Store:
    """A fixed list of records with optional indexes."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = list(records)
        self._indexes: dict[str, FieldIndex] = {}

    def __len__(self) -> int:
        return len(self._records)

    def create_index(self, field: str) -> None:
        """Makes expressions about a field cheaper; answers stay the same."""
        self._indexes[field] = FieldIndex(field, self._records)

    def find(self, text: str) -> list[Record]:
        """The records for which the expression holds, in their order.

        Raises:
            QueryError: the text is no expression.
        """
        node = simplify(parse(text))
        positions = self._candidates(node)
        looked_at = range(len(self._records)) if positions is None else sorted(positions)
        return [self._records[position] for position in looked_at if holds(node, self._records[position])]

    def explain(self, text: str) -> str:
        """The expression as it is answered, and how many records have to be looked at."""
        node = simplify(parse(text))
        positions = self._candidates(node)
        return f"{node} [{len(self._records) if positions is None else len(positions)}]"

    def _candidates(self, node: Node) -> set[int] | None:
        """Positions among which all answers are; None where the indexes do not help."""
        match node:
            case Compare(field, operator, value) if field in self._indexes:
                return self._indexes[field].matching(operator, value)
            case And(operands):
                narrowed = [found for operand in operands if (found := self._candidates(operand)) is not None]
                return set.intersection(*narrowed) if narrowed else None
            case Or(operands):
                parts = [self._candidates(operand) for operand in operands]
                return None if None in parts else set().union(*(part for part in parts if part is not None))
            case _:
                return None
