"""Invoices and credit notes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pennyledger.ledger import Entry, Posting
from pennyledger.money import Money


@dataclass(frozen=True)
class Line:
    """A quantity of something at a price, booked to a revenue account; credit notes have negative quantities."""

    description: str
    unit_price: Money
    quantity: int
    account: str

    @property
    def amount(self) -> Money:
        """Price times quantity."""
        return self.unit_price * self.quantity


@dataclass(frozen=True)
class Invoice:
    """What a customer owes, or with negative quantities what a customer gets back."""

    number: str
    lines: Sequence[Line]
    tax_rate: Fraction = Fraction(0)
    discount_rate: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if len({line.quantity > 0 for line in self.lines}) != 1 or not all(line.quantity for line in self.lines):
            raise ValueError(f"{self.number}: all lines bill, or all lines credit")

    @property
    def gross(self) -> Money:
        """The sum of the lines before discount and tax."""
        return Money.sum((line.amount for line in self.lines), self.lines[0].unit_price.currency)

    @property
    def discount(self) -> Money:
        """What is taken off the gross sum."""
        return self.gross * self.discount_rate

    def net_lines(self) -> list[Money]:
        """What is left of each line after its share of the discount."""
        shares = self.discount.allocate([abs(line.amount.minor) for line in self.lines])
        return [line.amount - share for line, share in zip(self.lines, shares, strict=True)]

    @property
    def tax(self) -> Money:
        """The tax on what is left after the discount."""
        return (self.gross - self.discount) * self.tax_rate

    @property
    def total(self) -> Money:
        """What is to be paid."""
        return self.gross - self.discount + self.tax

    def entry(self) -> Entry:
        """The entry that books the invoice: receivables against revenue and tax."""
        postings = [Posting("receivables", self.total)]
        for line, net in zip(self.lines, self.net_lines(), strict=True):
            postings.append(Posting(line.account, -net))
        if self.tax.minor:
            postings.append(Posting("tax", -self.tax))
        return Entry(self.number, postings)

    def credit_note(self, number: str) -> "Invoice":
        """The document that takes this invoice back as a whole."""
        return replace(self, number=number, lines=[replace(line, quantity=-line.quantity) for line in self.lines])
