"""CSV tables with typed columns, and joins of two of them."""

from rowjoin.join import join
from rowjoin.kinds import Kind, kind_of
from rowjoin.reading import TableError, read_csv
from rowjoin.table import Table
from rowjoin.writing import write_csv

__all__ = ["Kind", "Table", "TableError", "join", "kind_of", "read_csv", "write_csv"]
