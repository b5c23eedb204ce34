"""Measurements as they go from a part's process to the table."""

from __future__ import annotations

import json

import pytest

from benchmarks.measuring import Measurement


@pytest.mark.parametrize(
    "measurement",
    [Measurement("a score", "1 ms", "another", 1.5, 1.6), Measurement("memory", "9 MiB", "–", 9, 10, True, " MiB")],
)
def test_a_measurement_is_the_same_after_it_was_json(measurement: Measurement) -> None:
    assert Measurement.from_json(json.loads(json.dumps(measurement.to_json()))) == measurement
