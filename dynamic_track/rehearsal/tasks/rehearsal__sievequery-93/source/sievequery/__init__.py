"""Records filtered by short readable expressions."""

from sievequery.parser import parse
from sievequery.store import Store
from sievequery.tokens import QueryError

__all__ = ["QueryError", "Store", "parse"]
