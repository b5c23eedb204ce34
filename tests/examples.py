"""How many examples property tests draw: some in the suite, all in ``make acceptance PART=properties``."""

from __future__ import annotations

import os

from hypothesis import settings

ALL_VARIABLE = "TWINBENCH_ALL_EXAMPLES"
"""Set to 1, property tests draw all their examples."""


def examples(in_suite: int, in_acceptance: int) -> settings:
    """Decorate a property test: ``@examples(40, 300)`` draws 40 examples in the suite and 300 in acceptance.

    Args:
        in_suite: enough to find what is commonly wrong; each run of the suite draws others.
        in_acceptance: what is drawn where there is time.
    """
    return settings(max_examples=in_acceptance if os.environ.get(ALL_VARIABLE) == "1" else in_suite)
