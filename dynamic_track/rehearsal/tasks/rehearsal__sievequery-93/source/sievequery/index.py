"""Sorted values of one field, for finding records without looking at each."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping

from sievequery.evaluate import kind
from sievequery.nodes import Value


class FieldIndex:
    """The positions of records by the value of one field."""

    def __init__(self, field: str, records: Iterable[Mapping[str, object]]) -> None:
        self.field = field
        found: dict[str, list[tuple[object, int]]] = {}
        for position, record in enumerate(records):
            group = kind(record.get(field))
            if group is not None:
                found.setdefault(group, []).append((record[field], position))
        self._values: dict[str, list[object]] = {}
        self._positions: dict[str, list[int]] = {}
        for group, pairs in found.items():
            pairs.sort()
            self._values[group] = [value for value, _ in pairs]
            self._positions[group] = [position for _, position in pairs]

    def matching(self, operator: str, value: Value) -> set[int]:
        """The positions of the records for which the comparison holds."""
        group = kind(value) or ""
        values = self._values.get(group, [])
        positions = self._positions.get(group, [])
        low = bisect_left(values, value)
        high = bisect_right(values, value)
        match operator:
            case "=":
                return set(positions[low:high])
            case "!=":
                return self.positions() - set(positions[low:high])
            case "<":
                return set(positions[:low])
            case "<=":
                return set(positions[:high])
            case ">":
                return set(positions[high:])
            case _:
                return set(positions[low:])

    def positions(self) -> set[int]:
        """The positions of all records in the index."""
        return {position for group in self._positions.values() for position in group}
