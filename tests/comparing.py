"""Scores compared leaf by leaf."""

from __future__ import annotations

from typing import Any

import pytest

TOLERANCE = 1e-9


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """The numbers, texts and nulls of a nested value by their path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = dict(enumerate(value)).items()
    else:
        return {path: value}
    return {p: leaf for key, item in items for p, leaf in leaves(item, f"{path}/{key}" if path else f"{key}").items()}


def assert_agree(got: Any, wanted: Any) -> None:
    """Both have the same leaves: floats to 1e-9, everything else exactly, a count never as a float."""
    found, expected = leaves(got), leaves(wanted)
    assert set(found) == set(expected)
    wrong = {path: (found[path], value) for path, value in expected.items() if not _agree(found[path], value)}
    assert not wrong, "path: (got, wanted)"


def _agree(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return isinstance(got, float | int) and got == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
    return type(got) is type(wanted) and bool(got == wanted)
