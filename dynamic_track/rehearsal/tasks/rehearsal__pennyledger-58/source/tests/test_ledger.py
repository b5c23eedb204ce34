from fractions import Fraction

import pytest

from pennyledger import EUR, Entry, Invoice, Ledger, Line, Money, Posting


def invoice(number="R-1", prices=("10.00",), **rates):
    lines = [Line("something", Money.parse(price, EUR), 1, f"sales:{index}") for index, price in enumerate(prices)]
    return Invoice(number, lines, **rates)


def test_an_invoice_is_booked_in_balance():
    ledger = Ledger(EUR)
    ledger.post(invoice(prices=("10.00", "5.00"), tax_rate=Fraction(1, 5)).entry())
    assert str(ledger.balance("receivables")) == "18.00 EUR"
    assert str(ledger.balance("sales")) == "-15.00 EUR"
    assert str(ledger.balance("tax")) == "-3.00 EUR"


def test_an_entry_out_of_balance_is_refused():
    entry = Entry("X-1", [Posting("cash", Money(1, EUR)), Posting("sales", Money(-2, EUR))])
    with pytest.raises(ValueError, match=r"out of balance by -0\.01 EUR"):
        Ledger(EUR).post(entry)


def test_a_reference_is_booked_once():
    ledger = Ledger(EUR)
    ledger.post(invoice().entry())
    with pytest.raises(ValueError, match="R-1 is in the books already"):
        ledger.post(invoice().entry())


def test_a_balance_includes_children_and_no_namesakes():
    ledger = Ledger(EUR)
    ledger.post(Entry("X-1", [Posting("sales:a", Money(3, EUR)), Posting("salesroom", Money(-3, EUR))]))
    assert ledger.balance("sales").minor == 3


def test_open_accounts_are_those_with_a_balance():
    ledger = Ledger(EUR)
    ledger.post(invoice().entry())
    assert list(ledger.open_accounts()) == ["receivables", "sales:0"]


def test_a_credit_note_takes_a_round_invoice_back():
    ledger = Ledger(EUR)
    billed = invoice(prices=("10.00", "20.00"), tax_rate=Fraction(1, 5), discount_rate=Fraction(1, 10))
    ledger.post(billed.entry())
    ledger.post(billed.credit_note("C-1").entry())
    assert ledger.open_accounts() == {}
