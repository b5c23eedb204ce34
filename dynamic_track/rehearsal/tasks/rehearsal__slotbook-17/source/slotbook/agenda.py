"""One person's day, and the time that several people have in common."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from slotbook.interval import Interval
from slotbook.intervalset import IntervalSet


@dataclass(frozen=True)
class Booking:
    """Something that takes place at a time."""

    title: str
    when: Interval


class Agenda:
    """The bookings of one person within working hours; bookings may overlap."""

    def __init__(self, hours: Interval) -> None:
        self.hours = hours
        self._bookings: list[Booking] = []
        self._busy = IntervalSet()

    @property
    def bookings(self) -> list[Booking]:
        """All bookings in the order of their time."""
        return sorted(self._bookings, key=lambda booking: (booking.when, booking.title))

    @property
    def busy(self) -> IntervalSet:
        """The minutes in which at least one booking takes place."""
        return self._busy

    def book(self, title: str, when: Interval) -> Booking:
        """Adds a booking; it may overlap others and reach beyond the working hours."""
        booking = Booking(title, when)
        self._bookings.append(booking)
        self._busy = self._busy.add(when)
        return booking

    def cancel(self, booking: Booking) -> None:
        """Takes a booking out again.

        Raises:
            ValueError: there is no such booking.
        """
        self._bookings.remove(booking)
        self._busy = IntervalSet(other.when for other in self._bookings)

    def is_free(self, when: Interval) -> bool:
        """Whether the whole interval lies in working hours and nothing is booked in it."""
        return when.clip(self.hours) == when and not self._busy.overlaps(when)

    def free(self, at_least: int = 1) -> list[Interval]:
        """The free stretches of the working hours that last ``at_least`` minutes."""
        return [gap for gap in self._busy.gaps(self.hours) if gap.length >= at_least]

    def conflicts(self) -> list[tuple[Booking, Booking]]:
        """The pairs of bookings that overlap."""
        return [pair for pair in combinations(self.bookings, 2) if pair[0].when.overlaps(pair[1].when)]


def common_free(agendas: Iterable[Agenda], at_least: int = 1) -> list[Interval]:
    """The stretches in which every one of the agendas is in working hours and free."""
    people = list(agendas)
    if not people:
        return []
    start = max(person.hours.start for person in people)
    end = min(person.hours.end for person in people)
    if end <= start:
        return []
    busy = IntervalSet(booking.when for person in people for booking in person.bookings)
    return [gap for gap in busy.gaps(Interval(start, end)) if gap.length >= at_least]
