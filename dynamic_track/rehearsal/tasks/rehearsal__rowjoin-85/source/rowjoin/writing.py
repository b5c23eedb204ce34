"""Tables as CSV text."""

import csv
import io

from rowjoin.kinds import text_of
from rowjoin.table import Table


def write_csv(table: Table) -> str:
    """The text of a table, which reads back as the same table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([text_of(value) for value in row] for row in table.rows)
    return out.getvalue()
