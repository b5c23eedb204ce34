"""Tables of checks, which several commands print."""

from __future__ import annotations

from collections.abc import Sequence

from twinbench.cli.output import Column


def check_columns(subject: str = "Of", more: Sequence[Column] = ()) -> list[Column]:
    """Return the columns of a table whose rows are ``CheckResult.to_json()`` or have the same keys.

    Args:
        subject: the title of the column with what was checked.
        more: further columns, before the reason.
    """
    return [
        Column("name", "Check"),
        Column("subject", subject),
        Column("status", "Status"),
        Column("value", "Value", kind=float, for_people=False),
        *more,
        Column("reason", "Reason"),
    ]
