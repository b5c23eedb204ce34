"""Invoices and a double-entry ledger in whole minor units."""

from pennyledger.currency import EUR, JPY, KWD, Currency
from pennyledger.invoice import Invoice, Line
from pennyledger.ledger import Entry, Ledger, Posting
from pennyledger.money import Money

__all__ = ["EUR", "JPY", "KWD", "Currency", "Entry", "Invoice", "Ledger", "Line", "Money", "Posting"]
