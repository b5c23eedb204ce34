"""Accounts, and the entries that move money between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pennyledger.currency import Currency
from pennyledger.money import Money


@dataclass(frozen=True)
class Posting:
    """One side of an entry: debits are positive, credits are negative."""

    account: str
    amount: Money


@dataclass(frozen=True)
class Entry:
    """Postings that belong together and sum up to zero."""

    reference: str
    postings: Sequence[Posting]


class Ledger:
    """The entries of one currency in the order they were posted."""

    def __init__(self, currency: Currency) -> None:
        self.currency = currency
        self._entries: list[Entry] = []

    def post(self, entry: Entry) -> None:
        """Takes an entry into the books.

        Raises:
            ValueError: the postings do not sum up to zero, or the reference is taken.
        """
        if any(entry.reference == known.reference for known in self._entries):
            raise ValueError(f"{entry.reference} is in the books already")
        difference = Money.sum((posting.amount for posting in entry.postings), self.currency)
        if difference.minor:
            raise ValueError(f"{entry.reference} is out of balance by {difference}")
        self._entries.append(entry)

    def balance(self, account: str) -> Money:
        """What all postings to the account and its ``account:…`` children sum up to."""
        return Money.sum(
            (
                posting.amount
                for entry in self._entries
                for posting in entry.postings
                if posting.account == account or posting.account.startswith(f"{account}:")
            ),
            self.currency,
        )

    def open_accounts(self) -> dict[str, Money]:
        """The accounts whose balance is not zero, by name."""
        names = sorted({posting.account for entry in self._entries for posting in entry.postings})
        balances = {name: Money.sum(self._amounts(name), self.currency) for name in names}
        return {name: balance for name, balance in balances.items() if balance.minor}

    def _amounts(self, account: str) -> list[Money]:
        return [posting.amount for entry in self._entries for posting in entry.postings if posting.account == account]
