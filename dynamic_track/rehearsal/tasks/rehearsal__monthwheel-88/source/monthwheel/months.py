"""Reckoning with months."""

from calendar import monthrange
from datetime import date


def days_in_month(year: int, month: int) -> int:
    """How many days a month has."""
    return monthrange(year, month)[1]


def shift_month(year: int, month: int, months: int) -> tuple[int, int]:
    """Year and month that come so many months later."""
    whole = year * 12 + month - 1 + months
    return whole // 12, whole % 12 + 1


def months_between(first: date, second: date) -> int:
    """How many months the month of ``second`` comes after that of ``first``, whatever their days."""
    return (second.year - first.year) * 12 + second.month - first.month


def place(year: int, month: int, day: int, short: str) -> date | None:
    """The day in a month: where the month is too short for it, its last day or, with ``short="skip"``, None."""
    last = days_in_month(year, month)
    if day > last and short == "skip":
        return None
    return date(year, month, min(day, last))
