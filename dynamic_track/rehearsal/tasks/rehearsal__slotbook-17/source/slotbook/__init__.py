"""Bookings of one day, and the time that is left between them."""

from slotbook.agenda import Agenda, Booking, common_free
from slotbook.interval import Interval
from slotbook.intervalset import IntervalSet

__all__ = ["Agenda", "Booking", "Interval", "IntervalSet", "common_free"]
