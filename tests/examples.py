"""What of many examples and cases runs in the suite, and what in acceptance."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import settings

ALL_VARIABLE = "TWINBENCH_ALL_EXAMPLES"
"""Set to 1, property tests draw all their examples."""


def examples(in_suite: int, in_acceptance: int) -> settings:
    """Decorate a property test: ``@examples(40, 300)`` draws 40 examples in the suite and 300 in acceptance.

    Args:
        in_suite: enough to find what is commonly wrong; each run of the suite draws others.
        in_acceptance: what is drawn where there is time.
    """
    return settings(max_examples=number_of(in_suite, in_acceptance))


def number_of(in_suite: int, in_acceptance: int) -> int:
    """How many examples a test draws that draws them itself, and is marked ``drawn``."""
    return in_acceptance if os.environ.get(ALL_VARIABLE) == "1" else in_suite


def thinned(values: Iterable[Any], every: int) -> list[ParameterSet]:
    """Cases of a test of which one in ``every`` runs in the suite and the others in acceptance.

    For many cases that take the same path through the code, each of which takes a process or a second.

    Args:
        values: a tuple, or a ``pytest.param``, holds several arguments of the test.
        every: the first case always runs.
    """
    found = [value if isinstance(value, ParameterSet) else pytest.param(*_arguments(value)) for value in values]
    return [
        each._replace(marks=(*each.marks, pytest.mark.acceptance)) if place % every else each
        for place, each in enumerate(found)
    ]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
