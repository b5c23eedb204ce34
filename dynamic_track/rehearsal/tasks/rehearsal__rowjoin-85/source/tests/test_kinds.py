import pytest

from rowjoin import kind_of


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["true", "false"], "truth"),
        (["0", "42", "-3"], "whole"),
        (["1", "0.5", "-12.25"], "decimal"),
        (["2024-02-29", "1999-12-31"], "date"),
        (["2023-02-29"], "text"),
        (["1", "one"], "text"),
        (["true", "1"], "text"),
        (["7", "", "8"], "whole"),
        (["", ""], "text"),
        (["1.", ".5"], "text"),
        (["+1"], "text"),
    ],
    ids=range(11),
)
def test_a_column_has_the_first_kind_that_fits_all_cells(cells, kind):
    assert kind_of(cells).value == kind


def test_kinds_are_found_from_any_iterable():
    assert kind_of(iter("123")).value == "whole"
