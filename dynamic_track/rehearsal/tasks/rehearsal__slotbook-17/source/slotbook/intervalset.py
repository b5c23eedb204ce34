"""Sets of minutes, kept as sorted stretches that neither overlap nor touch."""

from collections.abc import Iterable, Iterator

from slotbook.interval import Interval


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same minutes as sorted stretches that neither overlap nor touch."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and merged[-1].meets(interval):
            merged[-1] = merged[-1].join(interval)
        else:
            merged.append(interval)
    return merged


class IntervalSet:
    """An immutable set of minutes."""

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self._stretches = tuple(merge(intervals))

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._stretches)

    def __len__(self) -> int:
        return len(self._stretches)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._stretches == other._stretches

    def __hash__(self) -> int:
        return hash(self._stretches)

    def __repr__(self) -> str:
        return f"IntervalSet({', '.join(map(str, self._stretches))})"

    @property
    def total(self) -> int:
        """Minutes in the set."""
        return sum(stretch.length for stretch in self._stretches)

    def add(self, new: Interval) -> "IntervalSet":
        """This set with one more interval; cheaper than building it anew, since only neighbours are looked at."""
        before = [stretch for stretch in self._stretches if stretch.end < new.start]
        after = [stretch for stretch in self._stretches if stretch.start > new.end]
        met = self._stretches[len(before) : len(self._stretches) - len(after)]
        joined, *rest = sorted([new, *met])
        for stretch in rest:
            joined = joined.join(stretch)
        grown = IntervalSet()
        grown._stretches = (*before, joined, *after)
        return grown

    def overlaps(self, interval: Interval) -> bool:
        """Whether any minute of the interval is in the set."""
        return any(stretch.overlaps(interval) for stretch in self._stretches)

    def gaps(self, bounds: Interval) -> list[Interval]:
        """The stretches inside ``bounds`` that are not in the set."""
        gaps = []
        cursor = bounds.start
        for stretch in self._stretches:
            inside = stretch.clip(bounds)
            if inside is None:
                continue
            if inside.start > cursor:
                gaps.append(Interval(cursor, inside.start))
            cursor = inside.end
        if cursor < bounds.end:
            gaps.append(Interval(cursor, bounds.end))
        return gaps
