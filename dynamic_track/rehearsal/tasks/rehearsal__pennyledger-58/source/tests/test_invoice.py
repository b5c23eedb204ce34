from fractions import Fraction

import pytest

from pennyledger import EUR, Invoice, Line, Money

SEVEN_PERCENT = Fraction(7, 100)


def line(price, quantity=1, account="sales"):
    return Line("something", Money.parse(price, EUR), quantity, account)


def test_tax_is_reckoned_on_the_sum():
    invoice = Invoice("R-1", [line("0.10"), line("0.10"), line("0.10")], tax_rate=SEVEN_PERCENT)
    assert (invoice.tax.minor, invoice.total.minor) == (2, 32)


def test_half_a_cent_of_tax_is_rounded_up():
    assert Invoice("R-1", [line("0.50")], tax_rate=SEVEN_PERCENT).tax.minor == 4


def test_a_discount_is_shared_by_the_lines():
    invoice = Invoice("R-1", [line("10.00"), line("10.00"), line("10.00")], discount_rate=Fraction(1, 300))
    assert invoice.discount.minor == 10
    assert [net.minor for net in invoice.net_lines()] == [996, 997, 997]


def test_an_invoice_does_not_mix_billing_and_crediting():
    with pytest.raises(ValueError, match="all lines"):
        Invoice("R-1", [line("1.00"), line("1.00", -1)])


def test_an_invoice_has_no_line_of_nothing():
    with pytest.raises(ValueError, match="all lines"):
        Invoice("R-1", [line("1.00", 0)])
